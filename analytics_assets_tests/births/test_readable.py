"""A re-delivery in which something cannot be read any more, and what ends it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from analytics_assets import settings
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.confirming import confirm
from analytics_assets.warehouse.lake import Lake
from analytics_assets_tests.births.conftest import GOOD
from analytics_assets_tests.births.landed import (
    FACT,
    RAW,
    csv_text,
    land,
    live_rows,
    query,
    records,
)

MONTH = "2024-02"
Rows = list[dict[str, str]]


def redeliver(folder: Path, change: Callable[[Rows], object]) -> Path:
    rows = records(GOOD)
    change(rows)
    path = folder / "SINASC_2024.csv"
    path.write_text(csv_text(rows))
    return path


def weights(text: str) -> Callable[[Rows], object]:
    return lambda rows: rows[7].update(PESO=text)


def known_weights() -> int:
    return query("select count(PESO) from births.fact_births where year(DTNASC) = 2024")[0][0]


def test_a_weight_that_was_readable_holds_its_month_back_until_somebody_confirms(
    published: Path,
) -> None:
    redeliver(published, weights("3,2 kg"))
    assert land([2024]).errors == {
        "2024": "No value that was readable cannot be read now: 1 found"
        " (PESO: 1, such as BR-2024-8)"
    }
    assert known_weights() == GOOD
    assert confirm(Snapshot(Lake(settings.load().lake)), FACT) == [MONTH]
    landed = land([2024])
    assert landed.errors == {}
    assert "PESO: 1" in landed.warnings["2024"]
    assert known_weights() == GOOD - 1


@pytest.mark.parametrize("text", ["", "NA", "9999"])
def test_a_weight_that_became_unknown_is_the_word_of_the_source(published: Path, text: str) -> None:
    redeliver(published, weights(text))
    assert land([2024]).errors == {}
    assert known_weights() == GOOD - 1


def test_the_order_of_records_and_births_that_came_later_do_not_matter(published: Path) -> None:
    def later(rows: Rows) -> None:
        rows.reverse()
        rows += [{**rows[0], "HORANASC": "2359", "PESO": text} for text in ("heavy", "")]

    redeliver(published, later)
    assert land([2024]).errors == {}


def test_a_birth_whose_date_cannot_be_read_any_more_is_not_taken_away(published: Path) -> None:
    redeliver(published, lambda rows: rows[7].update(DTNASC="8 de fevereiro"))
    message = land([2024]).errors["2024"]
    assert "SINASC_2024.csv: 1, most as date of birth cannot be read, first row 8" in message
    assert live_rows(FACT)["2024"] == GOOD


@pytest.mark.parametrize(("date", "remains"), [("02/{day:02}/2024", False), ("2024", True)])
def test_a_refused_file_that_is_taken_out_leaves_what_was_there(
    published: Path, date: str, remains: bool
) -> None:
    """Dates of which none says whether day or month comes first, or which are none."""

    def written(rows: Rows) -> None:
        for number, row in enumerate(rows):
            row["DTNASC"] = date.format(day=number % 12 + 1)

    if remains:
        (published / "SINASC_AC_2024.csv").write_text(csv_text(records(GOOD)))
        assert land([2024]).errors == {}
    path = redeliver(published, written)
    assert "2024" in land([2024]).errors
    path.unlink()
    assert land([2024]).errors == {}
    snapshot = Snapshot(Lake(settings.load().lake))
    assert not snapshot.behind(RAW)
    for check in ("contract", "rejected_share", "rows_still_landed"):
        assert snapshot.blocked_by(RAW, check) == []
    assert live_rows(FACT) == {"2023": GOOD, "2024": GOOD}


def test_a_year_is_built_from_what_remains(published: Path) -> None:
    (published / "SINASC_AC_2024.csv").write_text(csv_text(records(GOOD)))
    (published / "SINASC_RO_2024.csv").write_text(csv_text(records(30)).replace(";3215", ";3,2 kg"))
    assert "2024" in land([2024]).errors
    (published / "SINASC_RO_2024.csv").unlink()
    assert land([2024]).errors == {}
    assert live_rows(RAW) == live_rows(FACT) == {"2023": GOOD, "2024": GOOD}
    assert not Snapshot(Lake(settings.load().lake)).blocked_by(FACT, "values_readable")
