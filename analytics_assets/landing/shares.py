"""How many of the rows that were offered may be rejected: the rule for every source.

Belongs here: the check of that share, from whatever says what became of rows.
Does not belong here: why a row is rejected, and the table of those that are (``rejected.py``).

What is offered is landed, rejected or a repetition, and all three are counted. A feed gives the
counts itself. A source of another kind does it in one of two ways: it has ``tallies``
(``core.source.CountedSource``), and its table ``checks=(rejected_share(),)``; or rejected rows lie
in its table beside the good ones, and ``counts`` is a SELECT of what is said below.
"""

from __future__ import annotations

from analytics_assets.core.declaration import Check
from analytics_assets.core.refusals import DeclarationError

# Shares of the rows offered: above the first a check warns, above the second it holds back.
TOLD, MOST = 0.005, 0.05
# So few say nothing of a file, unless there is nothing else in it.
FEW = 2


def rejected_share(
    told: float = TOLD, most: float = MOST, few: int = FEW, counts: str = "select * from _tally"
) -> Check:
    """Of what each file offers to a partition at most ``most`` is rejected, or ``few`` rows of
    more; above ``told`` it warns.

    ``counts`` (SQL): ``_partition``, ``file``, ``offered``, ``rejected``, ``reason`` (why most are)
    and ``first_row`` (the number of the first of those), a row for each file of a partition.
    """
    if not 0 <= told <= most <= 1:
        raise DeclarationError(
            f"shares of rejected rows: 0 <= {told:g} <= {most:g} <= 1 does not hold; give the share"
            " that warns, then the one that holds back"
        )
    is_few = f"rejected <= {few} and rejected < offered"
    return Check(
        "rejected_share",
        f"Of the rows that a file offers at most {most:.1%} are rejected; above {told:.1%} it"
        " warns",
        f"""
select _partition, file, rejected, offered, reason, first_row,
    file || ': ' || rejected || ' of ' || offered || ' rows, most as ' || reason || ', first row '
        || first_row as counted,
    rejected <= {most} * offered or ({is_few}) as only_told
from ({counts}) where rejected > {told} * offered
order by rejected / offered desc, file""",
        "Mend the file and send it again, or take it out.",
        # Of the rejected there is no row in the table: they are asked for where they are kept.
        at_fault="false",
        told="counted",
        shows=("file", "reason"),
        warns="only_told",
    )
