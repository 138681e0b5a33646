"""How births are distributed: histograms of weight, weeks of gestation and the mother's age.

Belongs here: which distributions there are, their bins and what they are by.
Does not belong here: medians and percentiles, which are computed where somebody asks.
"""

from __future__ import annotations

from analytics_assets.core.columns import Dimension, MeasureList
from analytics_assets.core.declaration import Publish, Table
from analytics_assets.core.partitions import YEARLY
from analytics_assets.core.table_set import TableSet
from analytics_assets.domains.births.grains import (
    AGE,
    AGE_GROUP,
    STATE,
    STATE_WORDS,
    UNKNOWN_AGE,
    YEAR,
    bins,
)
from analytics_assets.domains.births.measures import known_measure

_READ = {"birth_weight": "PESO", "gestational_weeks": "SEMAGESTAC", "maternal_age": "IDADEMAE"}
_WEIGHT_50, _WEIGHT_10 = (bins("birth_weight", width, "grams") for width in (50, 10))
_OF_AGE = f"coalesce(IDADEMAE, {UNKNOWN_AGE}) as maternal_age,"


def declare(tables: TableSet, births: Table, promoted: bool) -> None:
    """Add them to the tables of the domain."""

    def distribution(name: str, cut: Dimension, *grain: Dimension, by: str = "") -> None:
        assert cut.bins
        of, column = cut.bins.of, _READ[cut.bins.of]
        named = " and ".join(axis.name.replace("_", " ") for axis in (*grain, YEAR))
        in_words = of.replace("_", " ")
        in_words += f", in bins of {cut.bins.width} {cut.bins.unit}" * (cut.bins.width > 1)
        tables.from_sql(
            name,
            file="distribution_by_state" if STATE in grain else "distribution",
            layer="aggregates",
            grain=(YEAR, *grain, cut),
            period=YEARLY,
            measures=MeasureList((known_measure(of, column),)),
            measured_from=births,
            measured_where=f"{column} is not null",
            publish=Publish() if promoted else None,
            words={
                **STATE_WORDS,
                "bin": cut.bins.from_sql(column),
                "bin_column": cut.columns[0].name,
                "column": column,
                "by": by,
                "by_names": f"cells.{by}" if by else "",
            },
            description=f"Births by {in_words}, by {named}.",
        )

    distribution("agg_birth_weight_yearly", _WEIGHT_50, STATE, AGE_GROUP, by="maternal_age_group,")
    distribution("agg_birth_weight_by_age_yearly", _WEIGHT_10, AGE, by=_OF_AGE)
    distribution("agg_gestational_weeks_yearly", bins("gestational_weeks", 1, "weeks"), STATE)
    distribution("agg_maternal_age_yearly", bins("maternal_age", 1, "years"), STATE)
