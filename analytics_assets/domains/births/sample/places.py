"""Where and when the sample's births happen.

Belongs here: municipalities and facilities with their sizes, seasons and weekdays.
Does not belong here: anything about a mother or child (``records.py``).
"""

from __future__ import annotations

import csv
import datetime as dt
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from analytics_assets.domains.births.sample.draw import as_words, table, tables

REFERENCE = Path(__file__).parents[1] / "reference"


class Country(NamedTuple):
    codes: list[str]
    words: pa.Array
    """7-digit codes, then the empty word."""
    birthplace_words: dict[str, pa.Array]
    """CODMUNNATU, CODUFNATU and NATURALMAE, aligned with `words`."""
    real: np.ndarray
    """Positions of the municipalities proper: no `UF00000`."""
    capitals: dict[str, int]
    """State code to position."""


class State(NamedTuple):
    name: str
    code: str
    region: str
    by_rank: np.ndarray
    """Positions in the country's codes, the capital first, then by falling size."""
    unknown: int
    residence: np.ndarray
    leaves: np.ndarray
    """Share of mothers, by rank of where they live, who give birth in another municipality."""
    hubs: np.ndarray
    first_facility: np.ndarray
    facilities: np.ndarray
    """Facilities by rank; 0 where whoever is born is born at home."""
    facility_words: pa.Array


@lru_cache
def load_country() -> Country:
    with (REFERENCE / "municipalities.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    codes = [row["municipality_code"] for row in rows]
    capitals = {row["state_code"]: i for i, row in enumerate(rows) if row["is_capital"] == "1"}
    real = np.array([i for i, code in enumerate(codes) if not code.endswith("00000")])
    birthplace = {
        "CODMUNNATU": as_words([code[:6] for code in codes] + [""]),
        "CODUFNATU": as_words([code[:2] for code in codes] + [""]),
        "NATURALMAE": as_words([f"8{code[:2]}" for code in codes] + [""]),
    }
    return Country(codes, as_words([*codes, ""]), birthplace, real, capitals)


@lru_cache(maxsize=64)
def load_state(name: str, seed: int) -> State:
    with (REFERENCE / "states.csv").open(encoding="utf-8", newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["state_abbreviation"] == name)
    code = row["state_code"]
    country = load_country()
    rng = np.random.default_rng([seed, int(code)])
    capital = country.capitals[code]
    others = [i for i in country.real if country.codes[i].startswith(code) and i != capital]
    by_rank = np.array([capital, *rng.permutation(others)]).astype(np.uint16)

    rank = np.arange(1, len(by_rank) + 1)
    size = 1 / rank**1.05
    size /= size.sum()
    # Nobody leaves the capital, few leave the larger fifth, where the maternity wards are, and
    # nearly all leave the smaller half: about a quarter of all mothers.
    small = 1 / (1 + (0.24 * len(rank) / np.maximum(rank - 1, 0.001)) ** 2.5)
    leaves = np.where(rank > 1, 0.08 + 0.9 * small, 0)
    hubs = np.where(rank <= max(2, len(rank) // 5), size, 0)
    facilities = np.clip(np.rint(30 * (size / size[0]) ** 1.1), 1, 30).astype(np.int32)
    facilities[leaves > 0.85] = 0
    # A block of codes per state keeps facility codes unique in the country.
    numbers = 2_000_000 + int(code) * 50_000 + rng.permutation(50_000)[: facilities.sum()]
    return State(
        name,
        code,
        row["region_code"],
        by_rank,
        country.codes.index(code + "00000"),
        table(size),
        leaves.astype(np.float32),
        table(hubs),
        np.concatenate([[0], np.cumsum(facilities)[:-1]]).astype(np.int32),
        facilities,
        as_words([*map(str, numbers), ""]),
    )


# --- days ------------------------------------------------------------------------------------


class Year(NamedTuple):
    first: int
    """Position of 1 January in `words`."""
    days: int
    words: pa.Array
    """DDMMYYYY from 60 years earlier until two years later, then the empty word."""
    birth_words: pa.Array
    """`words`, then the same without a leading zero, then unreadable dates."""
    lots: pa.Array
    by_delivery: np.ndarray
    """Draw tables of days of the year: vaginal births, caesareans."""


UNREADABLE_DATES = ("3102{year}", "00000000", "ABCDEFGH", "")
MONTHS = np.array([1.0, 1.02, 1.08, 1.07, 1.07, 1.01, 0.98, 0.97, 0.98, 0.94, 0.92, 0.93])
WEEKDAYS = np.array([[1.02, 1.03, 1.03, 1.02, 1.02, 0.95, 0.93],
                     [1.16, 1.19, 1.17, 1.16, 1.13, 0.68, 0.51]])  # fmt: skip


@lru_cache(maxsize=4)
def load_year(year: int) -> Year:
    start, end = dt.date(year - 60, 1, 1), dt.date(year + 3, 1, 1)
    every = [dt.date.fromordinal(day) for day in range(start.toordinal(), end.toordinal())]
    words = [f"{day.day:02d}{day.month:02d}{day.year:04d}" for day in every] + [""]
    inside = [day for day in every if day.year == year]
    month = MONTHS[[day.month - 1 for day in inside]]
    weekday = WEEKDAYS[:, [day.weekday() for day in inside]]
    return Year(
        dt.date(year, 1, 1).toordinal() - start.toordinal(),
        len(inside),
        as_words(words),
        as_words(
            words
            + [word.removeprefix("0") for word in words]
            + [word.format(year=year) for word in UNREADABLE_DATES]
        ),
        as_words([f"{y}{lot:04d}" for y in (year, year + 1) for lot in range(1, 25)]),
        tables(month * weekday),
    )
