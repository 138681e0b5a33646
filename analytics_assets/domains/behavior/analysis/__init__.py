"""Interrupted time series and ABAB analyses: plain functions of a frame, usable without Dagster.

Belongs here: estimates, intervals, tests, effect sizes and published criteria.
Does not belong here: reading or storing anything, except ``rows.py``, which fits them to tables.
"""

from analytics_assets.domains.behavior.analysis.abab import Abab, abab
from analytics_assets.domains.behavior.analysis.between_case import BetweenCase, between_case_smd
from analytics_assets.domains.behavior.analysis.estimates import Estimate, Refusal
from analytics_assets.domains.behavior.analysis.its import (
    Change,
    InterruptedTimeSeries,
    interrupted_time_series,
)

__all__ = [
    "Abab",
    "BetweenCase",
    "Change",
    "Estimate",
    "InterruptedTimeSeries",
    "Refusal",
    "abab",
    "between_case_smd",
    "interrupted_time_series",
]
