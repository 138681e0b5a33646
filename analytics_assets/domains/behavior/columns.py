"""The code book of behavioural events: columns, their rules, and words for the SQL.

Belongs here: what a value of the operational table may be.
Does not belong here: reading that table (``sources.py``), or what is computed (``tables.py``).
"""

from __future__ import annotations

from analytics_assets.core.columns import Column
from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Check
from analytics_assets.domains.behavior.words import EVENT_TYPES, PHASES
from analytics_assets.warehouse.session import literal

ID_PATTERN = "^c[a-z0-9]{24}$"

EVENT_COLUMNS = (
    # A random word that the application gives an event.
    Column("id", "text", "The event.", nullable=False, pattern=ID_PATTERN, told=True),
    Column("userId", "text", "Who did it.", nullable=False, pattern=ID_PATTERN, personal=True),
    Column("eventType", "text", "What was done.", nullable=False, values=EVENT_TYPES),
    # What somebody searched for, or wrote, is theirs.
    Column("eventData", "text", "What else the application noted, as JSON.", personal=True),
    Column("timestamp", "timestamp", "When, in UTC.", nullable=False),
    Column(
        "completionQuality",
        "text",
        "How thoroughly a mission was done.",
        values=("RUSHED", "NORMAL", "THOROUGH"),
    ),
    Column("contentType", "text", "Kind of content that the event is about."),
    Column("dayOfWeek", "integer", "0 is Monday.", "day", minimum=0, maximum=6),
    Column("difficultyLevel", "text", "Difficulty of the content."),
    Column("engagementLevel", "text", "Engagement.", values=("LOW", "MEDIUM", "HIGH")),
    Column("sessionPerformanceScore", "integer", "Score.", "points", minimum=0, maximum=100),
    Column("timeOfDay", "integer", "Hour of the day, UTC.", "hour", minimum=0, maximum=23),
    Column("experimentPhase", "text", "Phase of the user's experiment.", values=PHASES),
    Column("randomizationSeed", "bigint", "Seed that drew when the user's phases begin."),
    Column("contextMetadataId", "text", "Context in which the experiment runs."),
)
# What the analyses read, so that a day without it says little although it breaks no rule.
REQUIRED = ("dayOfWeek", "timeOfDay", "sessionPerformanceScore")
_NULLABLE = tuple(column.name for column in EVENT_COLUMNS if column.nullable)


def snake(name: str) -> str:
    """``sessionPerformanceScore`` -> ``session_performance_score``."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


# Column of export_quality -> SQL over the events of a day, and what it says.
QUALITY = {
    **{
        f"{value.lower()}_rows": (
            f'count(*) filter (where "eventType" = {literal(value)})',
            f"Events {value}.",
        )
        for value in EVENT_TYPES
    },
    **{
        f"{value.lower()}_rows": (
            f'count(*) filter (where "experimentPhase" = {literal(value)})',
            f"Events in phase {value}.",
        )
        for value in PHASES
    },
    **{
        f"{snake(name)}_nulls": (
            f"count(*) filter (where {quoted(name)} is null)",
            f"Events without {name}.",
        )
        for name in _NULLABLE
    },
}


def event_checks(table: str) -> tuple[Check, ...]:
    """Rules between the columns of an event; any row that breaks one holds its day back."""

    def check(name: str, description: str, broken: str, shown: str, advice: str) -> Check:
        return Check(
            name,
            description,
            f"select _partition, id, {shown} from {table} where {broken}",
            f"{advice} in the operational database: the day is exported again when it changes.",
        )

    return (
        check(
            "timestamp_in_day",
            "The timestamp is within the day of its partition",
            "strftime(\"timestamp\", '%Y-%m-%d') <> _partition",
            '"timestamp"',
            "Mend the timestamps, which are in the future or before 2000,",
        ),
        check(
            "agrees_with_timestamp",
            "dayOfWeek and timeOfDay are those of the timestamp",
            '"dayOfWeek" <> isodow("timestamp") - 1 or "timeOfDay" <> hour("timestamp")',
            '"timestamp", "dayOfWeek", "timeOfDay"',
            "Look at the application's time zone, which has to be UTC, and mend the rows",
        ),
        check(
            "phase_has_context",
            "An experimentPhase has a contextMetadataId",
            '"experimentPhase" is not null and "contextMetadataId" is null',
            '"experimentPhase"',
            "Add the context of the experiment to these rows",
        ),
    )
