"""Which days the files of feeds that come every day have to cover, by their names.

Belongs here: what is missing between them, and which name cannot be right.
Does not belong here: feeds (``landing.py``), what a file holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise

from analytics_assets.landing.files import LandedFile

# Days in a row without a file of any feed that are one gap: a name with a wrong year makes
# thousands of them, and each would be told.
LONGEST = 31
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Coverage:
    """``required``: days of which each feed has to have a file; ``gaps``: the first day of each
    long gap -> what to say of it."""

    required: frozenset[str] = frozenset()
    gaps: Mapping[str, str] = field(default_factory=dict)


def coverage(files: Iterable[LandedFile]) -> Coverage:
    """All days from the first to the last one; but where days without any file are many, those of
    the longest stretch between such gaps."""
    names: dict[date, str] = {}
    for file in files:
        if file.window:
            first, end = file.window
            for n in range((end - first).days):
                names.setdefault(first + n * _DAY, file.path.name)
    stretches: list[list[date]] = []
    for day in sorted(names):
        if stretches and (day - stretches[-1][-1]).days <= LONGEST:
            stretches[-1].append(day)
        else:
            stretches.append([day])
    if not stretches:
        return Coverage()
    longest = max(stretches, key=lambda days: (len(days), days[-1]))
    required = ((longest[0] + n * _DAY) for n in range((longest[-1] - longest[0]).days + 1))
    return Coverage(
        frozenset(map(date.isoformat, required)),
        {
            (before[-1] + _DAY).isoformat(): _said(before, after, names)
            for before, after in pairwise(stretches)
        },
    )


def _said(before: Sequence[date], after: Sequence[date], names: Mapping[date, str]) -> str:
    odd = names[before[-1]] if len(before) <= len(after) else names[after[0]]
    first, last = before[-1] + _DAY, after[0] - _DAY
    return f"no feed has a file of {first} to {last}: is {odd} the right name of that file"
