"""What was readable stays so: the rule for every table into which text is read.

Belongs here: the checks that compare what a partition would be (``_sent``) with its live rows.
Does not belong here: reading text, or how many rows may be rejected (``shares.py``).

A value that the source left empty is its word, and nothing is lost. A value of which the text
cannot be read any more, and a row that cannot be landed any more, hold the partition back, until
they are mended or somebody confirms that they are meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Check
from analytics_assets.core.partitions import START
from analytics_assets.landing.feed import Feed
from analytics_assets.warehouse.session import literal

_ADVICE = (
    "Mend them and send the file again, or take it out; empty cells are taken as empty. If they are"
    " meant, the job confirm_promotion lets the partition be built."
)


def still_landed(feed: Feed, key: Sequence[str], takes_away: bool) -> tuple[Check, ...]:
    """What holds of the rows of a feed, known by ``key``.

    ``takes_away``: a row that is in no file any more goes.
    """
    # A partition may be stored in slices, whose keys begin like its own.
    partition = f"left(_partition, {len(feed.period.key(START))})"
    unread = {
        column: f"coalesce({quoted(column)} is not null and ({read}) is null, false)"
        for column, read in feed.reads.items()
    }
    values = (values_still_readable(unread, key, partition),) if unread else ()
    return (*values, rows_still_landed(_gone(key, partition))) if key and takes_away else values


def values_still_readable(
    unread: Mapping[str, str],
    key: Sequence[str] = (),
    partition: str = "_partition",
    example: str = "",
    anywhere: str = "",
) -> Check:
    """No value cannot be read that the live row of the same ``key`` has.

    ``unread``: column -> SQL that is true for a row whose text of it cannot be read, else false.
    Without a key values are counted: of a column at least so many are lost as more cannot be read
    and fewer are there. ``partition``: SQL of the partition of a row. ``example`` (SQL): what is
    told of one value; by default its text, with a for letters and 9 for digits. ``anywhere`` (SQL):
    whether a row has any such value; by default asked of each column.
    """
    examples = {column: example or _shape(quoted(column)) for column in unread}
    if key:
        sql = _by_key(unread, examples, key, partition)
    else:
        sql = _by_count(unread, examples, partition, anywhere or " or ".join(unread.values()))
    return Check(
        "values_still_readable",
        "No value that was readable cannot be read now",
        sql,
        _ADVICE,
        at_fault="" if key else "false",
        told="lost",
        shows=("column_name",),
        confirmable=True,
    )


def rows_still_landed(losses: str) -> Check:
    """No row is rejected that could be landed.

    ``losses`` (SQL): ``_partition``, ``file``, ``times``, ``reason`` and ``first_row``, as of
    ``rejected_share``, of how many rows this is so.
    """
    return Check(
        "rows_still_landed",
        "No row that could be landed is rejected now",
        f"""
select *, file || ': ' || times || ', most as ' || reason || ', first row ' || first_row as lost
from ({losses}) where times > 0
order by all""",
        _ADVICE,
        at_fault="false",
        told="lost",
        shows=("file", "reason"),
        confirmable=True,
    )


def _by_key(
    unread: Mapping[str, str], examples: Mapping[str, str], key: Sequence[str], partition: str
) -> str:
    keys = ", ".join(map(quoted, key))
    lost = ", ".join(
        f"case when bad[{n}] and known[{n}] then"
        f" {{'name': {literal(column)}, 'example': examples[{n}]}} end"
        for n, column in enumerate(unread, start=1)
    )
    known = ", ".join(f"{quoted(c)} is not null and not ({sql})" for c, sql in unread.items())
    return f"""
with sent as (
    select _partition, {keys}, {partition} as part, [{", ".join(unread.values())}] as bad,
        [{", ".join(examples.values())}] as examples
    from _sent where {" or ".join(unread.values())}
),
live as (select {keys}, {partition} as part, [{known}] as known from _live),
losses as (
    select sent.*, unnest([{lost}]) as one from sent join live on sent.part = live.part
        and {_same(key)}
)
select _partition, {keys}, one.name as column_name,
    one.name || ': ' || count(*) over its || ', such as ' || min(one.example) over its as lost
from losses where one is not null
window its as (partition by part, one.name)
order by all"""


def _by_count(
    unread: Mapping[str, str], examples: Mapping[str, str], partition: str, anywhere: str
) -> str:
    def counted(rows: str) -> str:
        values = ",\n    ".join(
            f"{{'column_name': {literal(column)}, 'there': count({quoted(column)})}}"
            for column in unread
        )
        bad = ",\n    ".join(
            f"case when {sql} then {{'column_name': {literal(column)},"
            f" 'there': {quoted(column)} is not null, 'example': {examples[column]}}} end"
            for column, sql in unread.items()
        )
        # Most rows have no such value, and to look at each for every column takes long.
        return f"""select part, column_name, there - coalesce(kept, 0) as known,
        coalesce(bad, 0) as bad, example
    from (select part, one.* from (
        select {partition} as part, unnest([{values}]) as one from {rows} group by part
    ))
    left join (
        select part, one.column_name, count(*) as bad, count(*) filter (one.there) as kept,
            min(one.example) as example
        from (select {partition} as part, unnest([{bad}]) as one from {rows} where {anywhere})
        where one is not null group by all
    ) using (part, column_name)"""

    return f"""
with live as ({counted("_live")}),
sent as ({counted(f"(from _sent where {partition} in (select {partition} from _live))")}),
losses as (
    select part as _partition, column_name, sent.example,
        least(live.known - sent.known, sent.bad - live.bad) as times
    from sent join live using (part, column_name)
)
select *, column_name || ': ' || times || ', such as ' || example as lost
from losses where times > 0
order by all"""


def _shape(text: str) -> str:
    """A text without what it says: it may be anybody's."""
    letters = rf"regexp_replace(left({text}, 40), '\p{{L}}', 'a', 'g')"
    return f"regexp_replace({letters}, '[0-9]', '9', 'g')"


def _same(key: Sequence[str]) -> str:
    return " and ".join(f"sent.{quoted(k)} is not distinct from live.{quoted(k)}" for k in key)


def _gone(key: Sequence[str], partition: str) -> str:
    """At least so many rows are lost as are gone, and as are rejected beside those of before."""
    keys = ", ".join(map(quoted, key))
    return f"""
with gone as (
    select part, count(*) as rows from (select {keys}, {partition} as part from _live) as live
    where not exists (
        select 1 from (select {keys}, {partition} as part from _sent) as sent
        where sent.part = live.part and {_same(key)}
    )
    group by part
),
rejected as (
    select _partition as part, max(anew) as rows, arg_max(file, rejected) as file,
        arg_max(reason, rejected) as reason, arg_max(first_row, rejected) as first_row
    from _tally group by all
)
select part as _partition, file, least(gone.rows, rejected.rows) as times, reason, first_row
from gone join rejected using (part)"""
