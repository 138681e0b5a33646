"""Interrupted time series and ABAB analyses: plain functions of a frame, usable without Dagster.

Belongs here: estimates, intervals, tests, effect sizes and published criteria.
Does not belong here: reading or storing anything, except ``rows.py``, which fits them to tables.
"""

from analytics_assets.domains.behavior.analysis.abab import Abab, abab
from analytics_assets.domains.behavior.analysis.estimates import Estimate, Refusal
from analytics_assets.domains.behavior.analysis.its import (
    InterruptedTimeSeries,
    interrupted_time_series,
)

__all__ = [
    "Abab",
    "Estimate",
    "InterruptedTimeSeries",
    "Refusal",
    "abab",
    "interrupted_time_series",
]
