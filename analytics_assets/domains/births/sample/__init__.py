"""Seeded, made-up birth records in two real SINASC file layouts, for tests, demos and benchmarks.

What belongs here: drawing records that look like Brazilian births (places, seasons, clinical
detail, unknown codes, damaged rows) and writing them as files a data source would deliver.
What does not: reading, typing or checking files, and any rule of the pipeline. The pipeline must
not import this module, so that a mistake here cannot hide a mistake there.

No record is copied from a real file; only published totals and shares shape the draws.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from analytics_assets.domains.births.sample.draw import Columns, Draw
from analytics_assets.domains.births.sample.layouts import write_csv, write_dbf
from analytics_assets.domains.births.sample.places import State, load_state
from analytics_assets.domains.births.sample.records import draw_records
from analytics_assets.domains.births.sample.shares import STATE_BIRTHS

CHUNK = 100_000


def generate(
    folder: Path,
    *,
    births: int = 60_000,
    states: Sequence[str] = ("AC", "AL", "ES"),
    first_year: int = 2023,
    years: int = 2,
    dbf_years: int = 1,
    seed: int = 2024,
    bad_share: float = 0.002,
) -> list[Path]:
    """Write `births` made-up records for `years` years and return the files, oldest year first.

    The first `dbf_years` years become one `DN{UF}{YYYY}.dbf` per state (29 columns, 7-digit
    municipality codes), each later year one `SINASC_{YYYY}.csv` (61 columns, 6-digit codes).
    Births are records in all files together, split by year and by state of birth; `bad_share` is
    the expected share (0..1) of damaged records, half of them in DTNASC. The same arguments give
    the same bytes. Existing files of the same names are replaced, each in one step.

    Raises ValueError for an unknown or missing state, negative births, fewer than one year, a
    `dbf_years` outside 0..years, a year outside 1990..2100 or a share outside 0..1.
    """
    unknown = sorted(set(states) - set(STATE_BIRTHS))
    if unknown or not states:
        raise ValueError(f"unknown states: {unknown}" if unknown else "no state given")
    if births < 0 or years < 1 or not 0 <= dbf_years <= years or not 0 <= bad_share <= 1:
        raise ValueError(
            "need births >= 0, years >= 1, 0 <= dbf_years <= years and 0 <= bad_share <= 1, got "
            f"births={births}, years={years}, dbf_years={dbf_years}, bad_share={bad_share}"
        )
    if not 1990 <= first_year <= first_year + years - 1 <= 2100:
        raise ValueError(f"years {first_year}..{first_year + years - 1} not within 1990..2100")

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(set(states))
    counts = _split_births(births, names, years)
    written = []
    with TemporaryDirectory(dir=folder, prefix=".sample-") as work:
        for year, year_counts in zip(range(first_year, first_year + years), counts, strict=True):
            blocks = [
                (load_state(name, seed), n) for name, n in zip(names, year_counts, strict=True)
            ]
            if year < first_year + dbf_years:
                files = [(f"DN{state.name}{year}.dbf", [(state, n)]) for state, n in blocks]
                write = write_dbf
            else:
                files = [(f"SINASC_{year}.csv", blocks)]
                write = write_csv
            for name, parts in files:
                write(Path(work) / name, _chunks(parts, year, seed, bad_share))
                os.replace(Path(work) / name, folder / name)
                written.append(folder / name)
    return written


def _split_births(births: int, states: Sequence[str], years: int) -> np.ndarray:
    """Whole births per (year, state), summing exactly; births fall by 1.5 % a year, as they do."""
    weights = np.outer(0.985 ** np.arange(years), [STATE_BIRTHS[name] for name in states]).ravel()
    ends = np.rint(births * np.cumsum(weights) / weights.sum()).astype(np.int64)
    return np.diff(ends, prepend=0).reshape(years, len(states))


def _chunks(
    blocks: Sequence[tuple[State, int]], year: int, seed: int, bad_share: float
) -> Iterator[Columns]:
    first = 1
    for state, births in blocks:
        for number, start in enumerate(range(0, births, CHUNK)):
            n = min(CHUNK, births - start)
            rng = np.random.default_rng([seed, year, int(state.code), number])
            columns = draw_records(Draw(rng, n), state, year, bad_share)
            columns["CONTADOR"] = pa.array(np.arange(first, first + n)).cast(pa.string())
            first += n
            yield columns
