"""Readers who ask all grains of births in one statement, while everything happens to production."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import datetime, timezone

import pytest

from analytics_assets.domains.births.sample import generate
from analytics_assets_tests.faults.test_readers import Reader
from analytics_assets_tests.warehouse.test_restatement import change_records
from analytics_assets_tests.workspace import Workspace, failures

READS, RESTATEMENTS = 10_000, 30
# By year: births and caesareans of each grain that counts births where they happened, of those by
# residence, and by one characteristic.
GRAINS = [
    *(f"agg_{place}{time}" for place in ("", "region_", "state_", "municipality_")
      for time in ("yearly", "monthly")),
    "agg_daily", "agg_region_daily", "agg_state_daily", "agg_cnes_monthly", "agg_cnes_yearly",
    "agg_residence_municipality_monthly", "agg_residence_state_monthly",
    "agg_residence_municipality_yearly", "agg_residence_state_yearly", "agg_occupation_yearly",
]  # fmt: skip
ONE_STATEMENT = (
    "select "
    + ", ".join(
        f"(select sum(total_births) || ' ' || sum(cesarean_count) from births.{g})" for g in GRAINS
    )
    + ", (select sum(total_births) || ' ' || sum(cesarean_count)"
    " from births.agg_municipality_weekly)"
    ", (select sum(total_births) || ' ' || sum(cesarean_count) from births.agg_demographic_yearly"
    " where breakdown = 'sex')"
    ", (select sum(total_births) || ' ' || (select sum(cesarean_count) from births.agg_yearly)"
    " from births.dim_health_facility)"
    # Which version it is.
    ", (select max(id) from promotion.release where domain = 'births')"
)


def deliver(workspace: Workspace, month: int, births: int) -> None:
    """Other ways of delivery of so many births of a month."""

    def flip(row: dict[str, str]) -> None:
        row["PARTO"] = "1" if row["PARTO"] == "2" else "2"

    path = workspace.source / "SINASC_2024.csv"
    assert change_records(path, f"{month:02d}2024", flip, limit=births)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_all_grains_have_the_same_totals_whatever_happens(workspace: Workspace) -> None:
    generate(workspace.source, births=900, states=("AC",), first_year=2023, years=2, dbf_years=1)
    assert not failures(workspace.refresh())
    stop = threading.Event()
    readers = [Reader(ONE_STATEMENT, stop) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(RESTATEMENTS):
        deliver(workspace, number % 12 + 1, 3)
        assert not failures(workspace.refresh())
    then = datetime.now(timezone.utc).isoformat()

    # A re-delivery that is cut: held, confirmed, and mended.
    path = workspace.source / "SINASC_2024.csv"
    whole = path.read_bytes()
    path.write_bytes(b"\n".join(whole.split(b"\n")[:120]) + b"\n")
    assert any("on hold" in said for said in failures(workspace.refresh()))
    assert workspace.run("confirm_promotion", table="births").success
    assert not failures(workspace.refresh())
    path.write_bytes(whole)
    workspace.refresh()
    workspace.run("confirm_promotion", table="births")
    assert not failures(workspace.refresh())

    deliver(workspace, 1, 3)
    assert not failures(workspace.refresh())
    assert workspace.run("rollback_production", table="births", moment=then).success
    assert workspace.run("confirm_promotion", table="births").success
    assert not failures(workspace.refresh())

    while sum(len(reader.answers) for reader in readers) < READS and readers[0].is_alive():
        stop.wait(1)
    stop.set()
    for reader in readers:
        reader.join()
        assert reader.error is None
    answers = Counter(row for reader in readers for answer in reader.answers for row in answer)
    torn = {answer: n for answer, n in answers.items() if len(set(answer[:-1])) > 1}
    print(
        f"\n{sum(answers.values()):,} reads saw {len(answers)} versions, {len(torn)} of them torn"
    )
    assert not torn
    assert len(answers) > RESTATEMENTS
