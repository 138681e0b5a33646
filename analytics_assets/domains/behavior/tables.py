"""The tables of the behavior domain, one declaration each.

Belongs here: declarations. Everything else about a table derives from its own.
Does not belong here: the code book (``columns.py``), reading the source (``sources.py``), the
analyses (``analysis/``), what is watched beside the rows (``monitoring.py``).
"""

from __future__ import annotations

import os
from pathlib import Path

from analytics_assets.core import calendar
from analytics_assets.core.columns import Column, Dimension, Measure, MeasureList, Ratio
from analytics_assets.core.declaration import Check, Publish
from analytics_assets.core.partitions import DAILY
from analytics_assets.core.table_set import TableSet
from analytics_assets.domains.behavior.analysis.rows import abab_rows, its_rows
from analytics_assets.domains.behavior.analysis.wwc import CRITERIA, FAILS, MEETS, RESERVATIONS
from analytics_assets.domains.behavior.columns import (
    EVENT_COLUMNS,
    ID_PATTERN,
    PHASES,
    QUALITY,
    REQUIRED,
    event_checks,
    snake,
)
from analytics_assets.domains.behavior.pseudonyms import PUBLIC_USER, pseudonym_rows
from analytics_assets.domains.behavior.sources import BehavioralEventsSource

# Thresholds of the warnings.
FEWEST_USERS, MOST_NULLS, MOST_WITHOUT_PHASE = 5, 0.1, 0.9


# ---- source -------------------------------------------------------------------------------------

tables = TableSet("behavior", Path(__file__).parent / "sql")
behavioral_events = tables.source(
    "behavioral_events",
    BehavioralEventsSource(),
    period=DAILY,
    columns=EVENT_COLUMNS,
    unique=("id",),
    time_column='cast("timestamp" as date)',
    checks=event_checks("behavior.behavioral_events"),
    compression="snappy",
    failures_csv=True,
    # For dashboards that ask often: see README.
    indexed=(
        ("userId, timestamp", "experimentPhase")
        if os.environ.get("BEHAVIOR_MATERIALIZED") == "1"
        else ()
    ),
    description="Behavioural events as the operational database had them, by day in UTC.",
)


# ---- aggregates ---------------------------------------------------------------------------------

DAY = calendar.day("day", "The day, in UTC.")
USER = Dimension(
    "user",
    (Column("user_id", "text", "The user.", nullable=False, pattern=ID_PATTERN, personal=True),),
)
PHASE = Dimension(
    "phase",
    (
        Column(
            "phase", "text", "Phase of the experiment.", nullable=False, values=(*PHASES, "none")
        ),
    ),
)
PERFORMANCE = MeasureList(
    (
        Measure("events", "count(*)", "Events.", "events"),
        Measure(
            "scored_events", 'count("sessionPerformanceScore")', "Events with a score.", "events"
        ),
        Measure(
            "score_sum",
            'coalesce(sum("sessionPerformanceScore"), 0)',
            "Sum of their scores.",
            "points",
            "bigint",
        ),
    ),
    (Ratio("mean_score", "score_sum", "scored_events", "Mean score.", "points"),),
)
daily_performance = tables.from_sql(
    "daily_performance",
    layer="aggregates",
    period=DAILY,
    grain=(DAY, USER, PHASE),
    measures=PERFORMANCE,
    measured_from=behavioral_events,
    description="Events and scores by user, day and phase of the experiment.",
)


def _warning(name: str, description: str, shown: str, broken: str, advice: str) -> Check:
    table = "behavior.export_quality"
    return Check(
        name,
        description,
        f"select _partition, day, total_rows, {shown} from {table} where {broken}",
        advice,
        blocking=False,
    )


_REQUIRED_NULLS = [f"{snake(name)}_nulls" for name in REQUIRED]
export_quality = tables.from_sql(
    "export_quality",
    layer="aggregates",
    period=DAILY,
    columns=(
        *DAY.columns,
        Column("total_rows", "integer", "Events.", "events", nullable=False, minimum=1),
        Column("unique_users", "integer", "Users.", "users", nullable=False, minimum=1),
        Column("first_event_at", "timestamp", "The first event.", nullable=False),
        Column("last_event_at", "timestamp", "The last event.", nullable=False),
        *(
            Column(name, "integer", text, "events", nullable=False, minimum=0)
            for name, (_, text) in QUALITY.items()
        ),
    ),
    unique=("day",),
    time_column="day",
    publish=Publish(),
    words={"quality": ",\n".join(f"{sql} as {name}" for name, (sql, _) in QUALITY.items())},
    checks=(
        _warning(
            "enough_users",
            f"At least {FEWEST_USERS} users",
            "unique_users",
            f"unique_users < {FEWEST_USERS}",
            "Look whether the application still records everybody.",
        ),
        _warning(
            "required_not_null",
            f"At most {MOST_NULLS:.0%} of what the analyses need is NULL",
            ", ".join(_REQUIRED_NULLS),
            " or ".join(f"{name} > {MOST_NULLS} * total_rows" for name in _REQUIRED_NULLS),
            "Look at the release of the application that stopped to set it.",
        ),
        _warning(
            "phases_known",
            f"experimentPhase is NULL in at most {MOST_WITHOUT_PHASE:.0%}",
            "experiment_phase_nulls",
            f"experiment_phase_nulls > {MOST_WITHOUT_PHASE} * total_rows",
            "Look whether experiments still run. If none should, there is nothing to do.",
        ),
    ),
    description="What was exported: rows, users, types, phases and missing values of a day.",
)


# ---- analyses -----------------------------------------------------------------------------------


def _estimate(name: str, description: str, unit: str) -> tuple[Column, ...]:
    """A value, its 95 % interval (NULL where infinite) and its p-value."""
    return (
        Column(name, "decimal6", description, unit),
        Column(f"{name}_low", "decimal6", "Lower end of its 95 % interval.", unit),
        Column(f"{name}_high", "decimal6", "Upper end of its 95 % interval.", unit),
        Column(f"{name}_p_value", "decimal6", "Against no effect.", minimum=0, maximum=1),
    )


_DEVIATIONS = "standard deviations"
_SUBJECT = Column("subject", "text", "The user, or all.", nullable=False, personal=True)
_REFUSAL = Column("refusal", "text", "Why the series cannot be analysed.")
_WARNING = Column("warning", "text", "Where an interval may be too narrow, or why one is missing.")
_UNIT = "points, or factor for events"
_ITS_COLUMNS = (
    Column("outcome", "text", "What is analysed.", nullable=False, values=("mean_score", "events")),
    *_estimate("level_change", "Change at the start of the intervention.", _UNIT),
    *_estimate("slope_change", "Change of the trend, per day.", _UNIT),
    *_estimate("slope_before", "Trend before the intervention, per day.", _UNIT),
    Column("level_before", "decimal6", "Where the trend before leads to at the start."),
    Column("points_before", "integer", "Days before the intervention.", "days"),
    Column("points_after", "integer", "Days under it.", "days"),
    Column("autocorrelation", "decimal6", "Of neighbouring days.", minimum=0, maximum=1),
    Column("degrees_of_freedom", "decimal6", "Of the interval of the level change.", minimum=1),
    Column("model", "text", "What was fitted, in one line."),
    _WARNING,
    _REFUSAL,
)
its_analysis = tables.from_sql(
    "its_analysis",
    layer="aggregates",
    compute=its_rows,
    columns=(_SUBJECT, *_ITS_COLUMNS),
    unique=("subject", "outcome"),
    description="Interrupted time series from the first baseline to the first intervention: mean"
    " score (change in points) and number of events (factor), by user and for all.",
)
_ABAB_COLUMNS = (
    *_estimate("effect", "Mean score under intervention less that in baseline.", "points"),
    *(Column(f"{name}_mean", "decimal6", f"Mean in {name}.", "points") for name in PHASES),
    *(Column(f"{name}_points", "integer", f"Days in {name}.", "days") for name in PHASES),
    Column("designs", "integer", "Assignments in the randomisation test.", minimum=0),
    Column(
        "mean_phase_difference",
        "decimal6",
        "Each intervention less the baseline before it, both pairs counting alike.",
        "points",
    ),
    Column(
        "within_case_smd",
        "decimal6",
        "Effect in standard deviations within phases of this user; no effect size of a trial.",
        _DEVIATIONS,
    ),
    Column(
        "between_case_smd",
        "decimal6",
        "Effect in standard deviations within and between users, for all (Hedges, Pustejovsky"
        " and Shadish 2012).",
        _DEVIATIONS,
    ),
    Column("between_case_smd_standard_error", "decimal6", "Its standard error.", _DEVIATIONS),
    Column("between_case_smd_low", "decimal6", "Lower end of its 95 % interval.", _DEVIATIONS),
    Column("between_case_smd_high", "decimal6", "Upper end of its 95 % interval.", _DEVIATIONS),
    Column("between_case_smd_degrees_of_freedom", "decimal6", "Of its interval.", minimum=1),
    Column("nap", "decimal6", "Non-overlap of all pairs.", minimum=0, maximum=1),
    Column("tau_u", "decimal6", "Non-overlap less the trend of the baseline."),
    *(Column(name, "boolean", text) for name, text in CRITERIA.items()),
    Column(
        "rating",
        "text",
        "Design by What Works Clearinghouse.",
        values=(MEETS, RESERVATIONS, FAILS),
    ),
    _WARNING,
    _REFUSAL,
)
abab_analysis = tables.from_sql(
    "abab_analysis",
    layer="aggregates",
    compute=abab_rows,
    columns=(_SUBJECT, *_ABAB_COLUMNS),
    unique=("subject",),
    description="Effect of the intervention over four phases (ABAB) on the daily mean score, with a"
    " randomisation test, effect sizes and published criteria, by user and for all.",
)


# ---- what readers get: users by their pseudonyms ------------------------------------------------

user_pseudonym = tables.from_sql(
    "user_pseudonym",
    "select distinct user_id from behavior.daily_performance",
    layer="dimensions",
    compute=pseudonym_rows,
    columns=(*USER.columns, *PUBLIC_USER.columns),
    unique=("user_id",),
    description="The keyed hash by which readers know a user.",
)
_NAMED = "join behavior.user_pseudonym as named"
tables.from_sql(
    "public_daily_performance",
    "select day, pseudonym, phase, events, scored_events, score_sum"
    f" from behavior.daily_performance as own {_NAMED} on named.user_id = own.user_id",
    layer="aggregates",
    period=DAILY,
    grain=(DAY, PUBLIC_USER, PHASE),
    measures=PERFORMANCE,
    also_reads=(behavioral_events,),
    measured_from=behavioral_events,
    publish=Publish(name="daily_performance"),
    description="Events and scores by user (pseudonym), day and phase of the experiment.",
)


def _public(name: str, columns: tuple[Column, ...], unique: tuple[str, ...], about: str) -> None:
    """The rows of an analysis, its subjects by their pseudonyms."""
    kept = ", ".join(column.name for column in columns)
    subject = Column("subject", "text", "The user's pseudonym, or all.", nullable=False, told=True)
    tables.from_sql(
        f"public_{name}",
        f"select coalesce(pseudonym, 'all') as subject, {kept} from behavior.{name} as own"
        f" left {_NAMED} on named.user_id = own.subject where pseudonym is not null"
        " or subject = 'all'",
        layer="aggregates",
        columns=(subject, *columns),
        unique=unique,
        publish=Publish(name=name),
        description=about.rstrip(".") + ". Users are pseudonyms.",
    )


_public("its_analysis", _ITS_COLUMNS, ("subject", "outcome"), its_analysis.description)
_public("abab_analysis", _ABAB_COLUMNS, ("subject",), abab_analysis.description)

TABLES = tables.all
