"""The axes of time, once for all domains: day, ISO week, month, quarter and year of a date.

Belongs here: the columns of each axis, how they read from a date, and how its first day reads from
them. Does not belong here: partitions (``partitions.py``), any other axis.
"""

from __future__ import annotations

from analytics_assets.core.columns import Column, Dimension
from analytics_assets.core.partitions import MONTHLY, UNPARTITIONED, WEEKLY, YEARLY, Period

_PART = "cast(extract({part} from {{date}}) as integer)"
_YEAR, _QUARTER, _MONTH = (_PART.format(part=part) for part in ("year", "quarter", "month"))
# How the columns of years and months read is one part of what their rows mean: a year without its
# month would be another meaning of the same rows, and so a rebuild of all of them.
_YEARS_AND_MONTHS = {"year": _YEAR, "month": _MONTH}
_PERIODS = {"week": WEEKLY, "month": MONTHLY, "quarter": YEARLY, "year": YEARLY}


def day(name: str = "day", description: str = "The day.") -> Dimension:
    """A date, in the column ``name``."""
    return _first_day("day", name, description, "{date}")


def week(name: str = "week", description: str = "Monday of the week.") -> Dimension:
    """An ISO week, by its Monday, in the column ``name``."""
    return _first_day("week", name, description, "cast(date_trunc('week', {date}) as date)")


def month(of: str = "", since: int | None = None) -> Dimension:
    """The columns ``year`` and ``month`` (1 to 12); ``of``: whose; ``since``: the first year."""
    column = _column("month", of, 1, 12)
    return Dimension(
        "month", (_year(of, since), column), 2, "make_date(year, month, 1)", _YEARS_AND_MONTHS
    )


def quarter(of: str = "", since: int | None = None) -> Dimension:
    """The columns ``year`` and ``quarter`` (1 to 4); ``of``: whose; ``since``: the first year."""
    columns = (_year(of, since), _column("quarter", of, 1, 4))
    first = "make_date(year, quarter * 3 - 2, 1)"
    return Dimension("quarter", columns, 2, first, {"year": _YEAR, "quarter": _QUARTER})


def year(of: str = "", since: int | None = None) -> Dimension:
    """The column ``year``; ``of``: whose; ``since``: the first one."""
    return Dimension("year", (_year(of, since),), 1, "make_date(year, 1, 1)", _YEARS_AND_MONTHS)


def partitions_of(grain: tuple[Dimension, ...], finer: Period) -> Period:
    """The partitions of an aggregate: those of its axis of time, and of days those of the finer
    table; a quarter lies with its year."""
    axis = next((axis for axis in grain if axis.date_sql), None)
    return _PERIODS.get(axis.name, finer) if axis else UNPARTITIONED


def _first_day(axis: str, name: str, description: str, read: str) -> Dimension:
    column = Column(name, "date", description, nullable=False)
    return Dimension(axis, (column,), date_sql=name, from_date={name: read})


def _year(of: str, since: int | None) -> Column:
    return _column("year", of, since, None)


def _column(name: str, of: str, minimum: int | None, maximum: int | None) -> Column:
    said = f"{name.capitalize()} of {of}." if of else f"{name.capitalize()}."
    return Column(name, "integer", said, name, False, minimum, maximum)
