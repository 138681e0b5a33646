"""When the points of a series are, in points, whatever unit their time is given in.

Belongs here: numbers, dates and periods -> a scale on which neighbouring points are 1 apart.
Does not belong here: what is regressed on it.

Correlation and degrees of freedom are of a point, not of a day or a second. So time is measured in
median gaps, and a missing point leaves a gap of 2. Dates that are all one day of their months (the
first, the 15th, the last) are whole months, not 31, 28 and 31 days.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, tzinfo
from typing import Any

import numpy as np
import pandas as pd

from analytics_assets.domains.behavior.analysis.arguments import is_number, refused, rows
from analytics_assets.domains.behavior.analysis.estimates import Refusal, Vector

_ISO_DATE = re.compile(r"\d{4}-\d\d(-\d\d([T ].*)?)?")
_NUMBERS, _DATES = "numbers", "dates without a time zone"
_ZONED, _NEITHER = "dates with a time zone", "what is neither a number nor a date"
_DAYS_A_MONTH = 365.2425 / 12


@dataclass(frozen=True)
class Timeline:
    """``points``: when each row is, neighbours 1 apart; ``starts``: when interventions are;
    ``unit``: units of time from a point to the next, days where time is dates."""

    points: Vector
    starts: Vector
    unit: float
    said: str


@dataclass(frozen=True)
class Moments:
    """The moments of a column, comparable with each other: numbers, or dates on one clock."""

    values: pd.Series
    kind: str
    zone: tzinfo | None

    @classmethod
    def of(cls, values: pd.Series, role: str) -> Moments:
        """Numbers, or dates as any dtype, periods (by their start) or text (YYYY-MM-DD)."""
        if missing := int(values.isna().sum()):
            raise refused(role, values, f"{rows(missing)} have no moment")
        found = [_moment(value) for value in values]
        kinds = sorted({_kind(value) for value in found})
        if len(kinds) > 1:
            raise refused(role, values, f"it mixes {' and '.join(kinds)}; give one kind")
        kind = kinds[0] if kinds else _NUMBERS
        if kind == _NEITHER:
            raise refused(role, values, f"it holds {kind}; give numbers, or dates as YYYY-MM-DD")
        zone = _clock(found) if kind == _ZONED else None
        dtype = object if kind == _NUMBERS else None
        placed = [_placed(value, zone) for value in found]
        return cls(pd.Series(placed, values.index, dtype, values.name), kind, zone)

    def read(self, value: Any, role: str) -> Any:
        """Another moment, comparable with these."""
        found = _moment(value)
        if _kind(found) != self.kind:
            raise Refusal(
                f"{role}={value!r}: {self.values.name!r} holds {self.kind}; give one of these"
            )
        return _placed(found, self.zone)

    def elapsed(self, moments: Iterable[Any], first: Any = None) -> Vector:
        """Since the first of all, or of these; days where time is dates."""
        every = list(moments)
        first = min(every) if first is None else first
        per = 1 if self.kind == _NUMBERS else pd.Timedelta(days=1)
        return np.array([float((value - first) / per) for value in every])

    def timeline(self, starts: Sequence[Any]) -> Timeline:
        """Of two or more moments in their order, none of them twice."""
        first = self.values.iloc[0]
        points, begins = self.elapsed(self.values, first), self.elapsed(starts, first)
        months = None if self.kind == _NUMBERS else _months(self.values)
        name, length = ("" if self.kind == _NUMBERS else "days"), 1.0
        if months is not None:
            beyond = begins - begins.clip(points[0], points[-1])
            begins = np.interp(begins, points, months) + beyond / _DAYS_A_MONTH
            points, name, length = months, "months", _DAYS_A_MONTH
        gap = float(np.median(np.diff(points)))
        said = f"{gap:g} {name}".strip()
        return Timeline(points / gap, begins / gap, gap * length, said)


def _moment(value: Any) -> Any:
    """A whole number, another number or a timestamp; None for anything else."""
    if is_number(value):
        # Whole numbers keep all digits: nanoseconds since 1970 have more than a float holds.
        number = int(value) if isinstance(value, int | np.integer) else float(value)
        return number if np.isfinite(float(number)) else None
    if isinstance(value, pd.Period):
        return value.to_timestamp()
    if isinstance(value, date | np.datetime64) or (
        isinstance(value, str) and _ISO_DATE.fullmatch(value)
    ):
        try:
            stamp = pd.Timestamp(value)
        except ValueError:
            return None
        return None if stamp is pd.NaT else stamp
    return None


def _kind(moment: Any) -> str:
    if moment is None:
        return _NEITHER
    if not isinstance(moment, pd.Timestamp):
        return _NUMBERS
    return _DATES if moment.tzinfo is None else _ZONED


def _clock(moments: Sequence[pd.Timestamp]) -> tzinfo:
    """Their own where all are the same time of a day there, so that each day has 24 hours; UTC
    otherwise, which has no hour twice."""
    zone = moments[0].tzinfo
    assert zone is not None
    at = {
        (there.hour, there.minute, there.second) for there in (m.tz_convert(zone) for m in moments)
    }
    return zone if len(at) == 1 else pd.Timestamp(0, tz="UTC").tzinfo  # type: ignore[return-value]


def _placed(moment: Any, zone: tzinfo | None) -> Any:
    return moment if zone is None else moment.tz_convert(zone).tz_localize(None)


def _months(dates: pd.Series) -> Vector | None:
    """Months since the first, where all are one day of theirs."""
    day = dates.dt.day
    if (dates - dates.dt.normalize()).nunique() > 1:
        return None
    if (day != np.minimum(day.max(), dates.dt.days_in_month)).any():
        return None
    months = (dates.dt.year * 12 + dates.dt.month).to_numpy(float)
    return months - months[0]
