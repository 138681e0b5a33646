"""The sources of the ad metrics: what people are told of events and users, and which rows of Meta's
are one.

Belongs here: which events are not known, which rows of files are parts of a sum, or cannot be.
Does not belong here: what a file is called and holds (``landing.py``), reading it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from analytics_assets.core.columns import text
from analytics_assets.core.source import Landing, SourceError
from analytics_assets.core.telling import word
from analytics_assets.domains.ad_metrics.columns import AD_IDS
from analytics_assets.domains.ad_metrics.landing import covered
from analytics_assets.domains.ad_metrics.words import BREAKDOWNS, EVENT_NAMES, NO_ID
from analytics_assets.landing import reading
from analytics_assets.landing.sources import FileSource, Look, Part
from analytics_assets.warehouse.session import literal


class EventsSource(FileSource):
    """Mixpanel's raw event export, a line an event, by day (UTC).

    A long gap in the files of all feeds is a single day without a file, here: it is told once, and
    what needs all days waits for it.
    """

    def inputs(self) -> Mapping[str, Mapping[str, str]]:
        """As of any feed, and the first day of each long gap."""
        last = reading.today().isoformat()
        gaps = {day: {"gap": why} for day, why in covered().gaps.items() if day <= last}
        return {**super().inputs(), **gaps}

    def problems(self) -> list[str]:
        """As of any feed, and each long gap."""
        return super().problems() + [f"{self._where}: {why}?" for why in covered().gaps.values()]

    def _refuse(self, look: Look, key: str) -> None:
        if not look.has(key) and (why := covered().gaps.get(key)):
            raise SourceError(f"{why}?", self._where, "Rename it, or send the days between")
        super()._refuse(look, key)

    def report(self, landing: Landing, look: Look, parts: Sequence[Part], rows: str) -> None:
        """As of any feed, and which events the metrics do not know, or do not count."""
        super().report(landing, look, parts, rows)
        known = ", ".join(map(literal, EVENT_NAMES))
        unknown = landing.session.execute(
            f"select event, count(*) from {rows} where event not in ({known})"
            " group by 1 order by 1 limit 50"
        ).fetchall()
        if unknown:
            landing.report["other events, kept and not counted"] = ", ".join(
                f"{word(name, EVENT_NAMES)}: {count:,}" for name, count in unknown
            )
        (sandbox,) = landing.session.execute(
            f"select count(*) from {rows} where upper(environment) = 'SANDBOX'"
        ).fetchone()
        if sandbox:
            landing.report["events of the sandbox, kept and not counted"] = sandbox


class UsersSource(FileSource):
    """Mixpanel's people export."""

    def report(self, landing: Landing, look: Look, parts: Sequence[Part], rows: str) -> None:
        """As of any feed, and how many users have a placeholder for an ad."""
        super().report(landing, look, parts, rows)
        (without,) = landing.session.execute(
            f"select count(*) from {rows} where regexp_matches(ad_id, {literal(NO_ID)})"
        ).fetchone()
        if without:
            landing.report["users whose ad is a placeholder"] = without


_PART = text(
    "part", "JSON of further breakdowns, of which the row is a part; empty: it is whole.", False
)
_SAME = f"{', '.join(column.name for column in AD_IDS)}, lower(nfc_normalize(breakdown_value))"
_TIME = "regexp_extract(date_start, '[T ]+([0-9]{1,2}:[0-9]{2}.*)$', 1)"


class InsightsSource(FileSource):
    """Meta's rows of a day. The file that came last says what an ad's numbers are, and by which
    further breakdowns: rows that differ in one of those are parts, and all count. Rows of one file
    that differ in anything else cannot both be right."""

    @property
    def declared(self) -> dict[str, Any]:
        """With the part that a row is."""
        of_feed = super().declared
        return {**of_feed, "columns": (*of_feed["columns"], _PART)}

    @property
    def unique(self) -> tuple[str, ...]:
        """With the part."""
        return (*super().unique, _PART.name)

    def columns(self) -> str:
        """With the part."""
        return f"{super().columns()}, part"

    def _last_sql(self, staged: str) -> str:
        own = {"country": "country", "region": "region", "device": "impression_device"}
        mine = own.get(self.feed.name.rpartition("_")[2])
        names = [name for name in BREAKDOWNS if name != mine]
        paths = ", ".join(literal(f'$."{name}"') for name in names)
        # Midnight says no more than the day.
        time = f"case when regexp_matches({_TIME}, '[1-9]') then {_TIME} end"
        return f"""
with parts as (
    select *, list_filter(
        list_zip(
            [{", ".join(map(literal, ["date_start", *names]))}],
            list_concat([{time}], json_extract_string(coalesce(other_fields, '{{}}'), [{paths}]))
        ), lambda pair: pair[2] is not null
    ) as pairs
    from {staged}
),
told as (
    select
        * exclude (pairs),
        cast(list_transform(pairs, lambda pair: pair[1]) as varchar) as by_what,
        case when len(pairs) > 0 then cast(to_json(map_from_entries(pairs)) as varchar) else '' end
            as part
    from parts
),
last as (select *, max(rank) over (partition by {_SAME}) as last_rank from told)
select * exclude (last_rank) from last
qualify bool_or(rank = last_rank) over (partition by {_SAME}, breakdown_value, by_what)
    and rank = max(rank) over (partition by {_SAME}, breakdown_value, part)"""

    def report(self, landing: Landing, look: Look, parts: Sequence[Part], rows: str) -> None:
        """As of any feed; ``SourceError`` where rows of one file exclude each other."""
        super().report(landing, look, parts, rows)
        entity = f"{_SAME}, breakdown_value"
        # Nearly always all is well, and counting costs a third of the windows below.
        (well,) = landing.session.execute(
            f"select count(*) = count(distinct ({entity}, part))"
            f" and count(distinct ({entity}, by_what)) = count(distinct ({entity})) from {rows}"
        ).fetchone()
        if well:
            return
        found = landing.session.execute(
            f"select * from {rows} qualify count(*) over (partition by {entity}, part) > 1"
            f" or count(distinct by_what) over (partition by {entity}) > 1"
            f" order by {entity}, rank desc, file_row limit 1000"
        )
        names = [name for name, *_ in found.description]
        wrong = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        first = wrong[0]
        second = next(
            row
            for row in wrong[1:]
            if row["part"] == first["part"] or row["by_what"] != first["by_what"]
        )
        raise SourceError(
            f"its rows {first['file_row']:,} and {second['file_row']:,} are of one ad and differ in"
            f" {', '.join(_differing(first, second)) or 'the order of their fields'}: they can"
            " neither be added up nor told apart",
            str(parts[first["rank"] - 1].file.path),
            "Export it with one row an ad, or one for each value of the same breakdowns",
        )


def _differing(*rows: Mapping[str, Any]) -> list[str]:
    """The names of the fields in which these rows differ."""
    flat = [{**row, **json.loads(row["other_fields"] or "{}")} for row in rows]
    beside = ("other_fields", "rank", "copies", "file_row", "row_name", "by_what", "part")
    names = dict.fromkeys(name for row in flat for name in row if name not in beside)
    return [name for name in names if len({repr(row.get(name)) for row in flat}) > 1]
