"""Words of the experiment that both its tables and its pages know.

Belongs here: plain names.
Does not belong here: what a value may be (``columns.py``).
"""

PHASES = ("baseline_1", "intervention_A_1", "baseline_2", "intervention_A_2")
EVENT_TYPES = (
    "MISSION_STARTED",
    "MISSION_COMPLETED",
    "CARD_REVIEWED",
    "VALIDATION_COMPLETED",
    "SESSION_STARTED",
    "SESSION_ENDED",
    "LECTURE_UPLOADED",
    "SEARCH_PERFORMED",
    "GRAPH_VIEWED",
    "RECOMMENDATION_VIEWED",
    "RECOMMENDATION_CLICKED",
    "RECOMMENDATION_DISMISSED",
    "RECOMMENDATION_RATED",
)
