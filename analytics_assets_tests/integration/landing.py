"""A small landing folder, and what happens to it in a test.

Belongs here: making the file of one state and year, and changing records of it.
Does not belong here: what a change should bring about.
"""

from __future__ import annotations

import csv
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path

from analytics_assets.domains.births.sample import generate

STATE, YEAR, BIRTHS = "AC", 2023, 3000


def land_year(folder: Path) -> Path:
    """The file of ``BIRTHS`` births in one state and year."""
    (path,) = generate(
        folder, births=BIRTHS, states=(STATE,), first_year=YEAR, years=1, dbf_years=0
    )
    return path


def add_grams(path: Path, month: int, records: int) -> set[date]:
    """Make the first ``records`` births of a month 1 g heavier; returns their dates of birth."""
    rows = _read(path)
    weighed = _weighed(rows, month)[:records]
    assert len(weighed) == records, f"only {len(weighed)} births of month {month} have a weight"
    for _, row in weighed:
        row["PESO"] = str(int(row["PESO"]) + 1)
    _write(path, rows)
    return {day for day, _ in weighed}


def spoil_weights(path: Path, month: int) -> None:
    """Make all weights of a month unreadable, so that the month is refused."""
    rows = _read(path)
    for _, row in _weighed(rows, month):
        row["PESO"] = "none"
    _write(path, rows)


def _weighed(rows: list[dict[str, str]], month: int) -> list[tuple[date, dict[str, str]]]:
    """The births of a month that have a weight, with their dates."""
    found = []
    for row in rows:
        with suppress(ValueError):
            born = datetime.strptime(row["DTNASC"], "%d%m%Y").date()
            if (born.year, born.month) == (YEAR, month) and row["PESO"].isdigit():
                found.append((born, row))
    return found


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";", quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
