"""What people are told of a partition that has landed.

Belongs here: the metadata that every feed gives.
Does not belong here: what a domain tells beside it (its ``sources.py``), what is wrong with rows.
"""

from __future__ import annotations

from collections.abc import Mapping

from analytics_assets.core.contracts import quoted
from analytics_assets.core.source import Landing
from analytics_assets.core.telling import header
from analytics_assets.landing.feed import Feed
from analytics_assets.landing.files import LandedFile
from analytics_assets.landing.looking import Content


def tell(
    landing: Landing, feed: Feed, files: Mapping[LandedFile, Content], offered: int, rows: str
) -> None:
    """Which files had news, how many rows they offered and what became of them; ``rows``: the table
    of what lands."""
    report = landing.report
    (landed,) = landing.session.execute(f"select count(*) from {rows} where rank > 0").fetchone()
    report["files with news"] = ", ".join(file.path.name for file in files) or "none"
    report["rows offered"] = offered
    report["rows landed"] = landed
    report["rows repeated"] = offered - landed
    if unknown := {name for content in files.values() for name in content.unknown}:
        report["columns left out"] = ", ".join(sorted(unknown))
    mended = [f"{file.path.name}: {note}" for file, c in files.items() for note in c.notes]
    if mended:
        report["mended"] = "\n".join(mended)
    if feed.rest:
        _tell_rest(landing, rows, quoted(feed.rest))


def _tell_rest(landing: Landing, rows: str, column: str) -> None:
    """Count the fields that are kept as JSON, by their names alone: values may be personal."""
    found = landing.session.execute(
        f"select field, count(*) from (select unnest(json_keys({column})) as field"
        f" from {rows} where {column} is not null) group by 1 order by 1 limit 50"
    ).fetchall()
    if found:
        landing.report["other fields, kept as JSON"] = ", ".join(
            f"{header(name)}: {count:,}" for name, count in found
        )
