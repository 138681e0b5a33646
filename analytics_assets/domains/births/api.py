"""Routes of the births domain: every promoted aggregate as a list.

Belongs here: which tables are served where, their filters, and what the brief's queries compute
beside the columns: the change to a year before and the mean of seven days.
Does not belong here: how a list is read (``listing.py``).
"""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query

from analytics_assets.api.database import Database
from analytics_assets.api.errors import Problem, documented
from analytics_assets.api.filters import time_axis
from analytics_assets.api.listing import Beside, Listing, serve_list, view_of
from analytics_assets.api.meta import V1
from analytics_assets.api.models import NoParameters
from analytics_assets.core.columns import Column, Dimension
from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import PERIODS, Period

DOMAIN = "births"
_PERIODS = {period.unit: period for period in PERIODS}
_WHOLE = "nation"


def router(tables: Sequence[Table], database: Database) -> APIRouter:
    """``/births/{grain}/{period}`` of every promoted aggregate that has an axis of time."""
    routes = APIRouter(prefix=f"{V1}/{DOMAIN}", tags=[DOMAIN])
    served: dict[str, Listing] = {}
    for table in tables:
        axis = time_axis(table)
        if table.domain == DOMAIN and table.layer == "aggregates" and axis:
            path = _path(table, _PERIODS[axis.name])
            served[path] = Listing(table, beside=_beside(table, axis))
            serve_list(routes, path, served[path], database)

    @routes.get("/{grain}/{period}", responses=documented(404, 422), response_model=None)
    async def no_such_aggregate(
        grain: str, period: str, query: Annotated[NoParameters, Query()]
    ) -> Any:
        """Answers what no other route does: says which aggregates there are."""
        raise Problem(404, "not_found", f"There are {', '.join(sorted(served))}.")

    return routes


def _path(table: Table, period: Period) -> str:
    """``state/yearly`` of ``agg_state_yearly``."""
    grain = table.published_name.removeprefix("agg_").removesuffix(period.name).rstrip("_")
    return f"/{grain or _WHOLE}/{period.name}"


def _beside(table: Table, axis: Dimension) -> Beside:
    assert table.measures
    total = table.measures.measures[0]
    now, before = f"page.{quoted(total.name)}", f"before.{quoted(total.name)}"
    keys = [name for name in table.unique_columns if name not in axis.key_names]
    same = "".join(f" and before.{quoted(name)} = page.{quoted(name)}" for name in keys)
    if axis.name == "day":
        return _seven_days(table, axis.key_names[0], total.name, same)
    if "year" not in axis.key_names:
        return Beside()
    same += " and before.month = page.month" if "month" in axis.key_names else ""
    return Beside(
        (
            Column("prev_year", total.type, f"{total.name} of a year before.", total.unit),
            Column("yoy_change_pct", "decimal", f"Change of {total.name} to that.", "percent"),
        ),
        (before, f"round(100.0 * ({now} - {before}) / nullif({before}, 0), 2)"),
        f"left join {view_of(table)} as before on before.year = page.year - 1{same}",
    )


def _seven_days(table: Table, day: str, total: str, same: str) -> Beside:
    """The mean of a day and the six before it, or of as many as the table has on its first days.

    A day without a row had no births; where rows may be withheld it is unknown, and so is the mean.
    """
    view, day = view_of(table), quoted(day)
    days = ", ".join(f"page.{day} - {back}" for back in range(7))
    mean = "round(1.0 * before.total / before.days, 2)"
    if table.withholds:
        mean = f"case when before.known = before.days then {mean} end"
    return Beside(
        (Column("ma_7day", "decimal", f"Mean {total} of the 7 days to this one.", "births"),),
        (mean,),
        f"""cross join (select min({day}) as first_day from {view}) as begun
left join lateral (
    select sum({quoted(total)}) as total, count({quoted(total)}) as known,
        least(7, page.{day} - begun.first_day + 1) as days
    from {view} as before where before.{day} in ({days}){same}
) as before on true""",
    )
