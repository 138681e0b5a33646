"""Late and bad data: what is touched is rebuilt, nothing else; what fails stays out of sight."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import dagster as dg
import pytest

from analytics_assets.domains.births.sample import generate
from analytics_assets.domains.births.tables import TABLES
from analytics_assets_tests.conftest import make_workspace
from analytics_assets_tests.workspace import Workspace, changed_keys, failures, materialised

MONTH, WEEKS_OF_MONTH = (
    "2024-03",
    {"2024-02-26", "2024-03-04", "2024-03-11", "2024-03-18", "2024-03-25"},
)


def change_records(
    path: Path, month: str, change: Callable[[dict[str, str]], None], limit: int = 10**9
) -> int:
    """Change records of one month (MMYYYY in DTNASC) in a CSV file; returns how many."""
    with path.open(encoding="latin-1", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    wanted = [row for row in rows if row["DTNASC"].zfill(8)[2:] == month][:limit]
    for row in wanted:
        change(row)
    with path.open("w", encoding="latin-1", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";", quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
    return len(wanted)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Iterator[Workspace]:
    """Two years of one state, built and promoted."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for workspace in make_workspace(tmp_path_factory.mktemp("restated"), postgres, monkeypatch):
            generate(
                workspace.source, births=6000, states=("AC",), first_year=2023, years=2, dbf_years=1
            )
            ran = workspace.refresh()
            assert not failures(ran)
            yield workspace


def test_a_second_refresh_does_nothing(built: Workspace) -> None:
    assert built.refresh() == []


def test_an_untouched_copy_of_the_file_changes_nothing(built: Workspace) -> None:
    before, promotions = built.versions(), built.ledger()
    path = built.source / "SINASC_2024.csv"
    path.write_bytes(path.read_bytes())
    ran = built.refresh()
    assert materialised(ran) == {("births/raw_births", "2024"), ("births/rejected_births", "2024")}
    assert changed_keys(before, built.versions()) == {}
    assert built.ledger() == promotions


def test_a_restated_month_touches_itself_its_weeks_its_year_and_nothing_else(
    built: Workspace,
) -> None:
    before, promotions = built.versions(), len(built.ledger())
    births_before = built.production(
        "select month, cesarean_count from agg_monthly where year=2024"
    )

    def flip(row: dict[str, str]) -> None:
        row["PARTO"] = "1" if row["PARTO"] == "2" else "2"

    assert change_records(built.source / "SINASC_2024.csv", "032024", flip, limit=100) == 100
    ran = built.refresh()
    assert not failures(ran)
    changed = changed_keys(before, built.versions())
    assert changed.pop("births/raw_births") == {MONTH}
    assert changed.pop("births/agg_municipality_weekly") <= WEEKS_OF_MONTH
    assert changed
    for table, keys in changed.items():
        assert keys == ({"2024"} if table.endswith("_yearly") else {MONTH}), table
    expected_monthly = {
        "births/fact_births",
        "births/agg_municipality_daily",
        "births/agg_state_monthly",
        "births/agg_monthly",
        "births/agg_yearly",
        "births/agg_demographic_yearly",
        "births/agg_residence_state_yearly",
        "births/agg_cnes_yearly",
    }
    assert expected_monthly <= changed.keys()
    promoted = built.ledger()[promotions:]
    assert {partition for _, partition in promoted} <= {MONTH, "2024"} | WEEKS_OF_MONTH
    assert ("births/agg_monthly", MONTH) in promoted
    births_after = built.production("select month, cesarean_count from agg_monthly where year=2024")
    assert [
        m
        for (m, a), (_, b) in zip(sorted(births_before), sorted(births_after), strict=True)
        if a != b
    ] == [3]
    assert built.refresh() == []


def checksums(workspace: Workspace) -> dict[str, object]:
    """One for every table of the warehouse, and one for every table that readers see."""

    def counted(hashed: dict[str, str]) -> str:
        return " union all ".join(
            f"select '{table.key}', count(*), cast(sum({hashed[table.key]}) as varchar)"
            f" from {table.sql_name} as seen"
            for table in TABLES
            if table.key in hashed
        )

    rows = {t.key: f"hash({', '.join(c.name for c in t.stored_columns)})" for t in TABLES}
    text = "('x' || left(md5(cast(seen as text)), 15))::bit(60)::bigint"
    found: dict[str, object] = {key: said for key, *said in workspace.warehouse(counted(rows))}
    published = workspace.production(counted({t.key: text for t in TABLES if t.publish}))
    return found | {f"production/{key}": said for key, *said in published}


@pytest.mark.slow
def test_births_go_back_before_a_restatement_and_forward_again(built: Workspace) -> None:
    then, before = datetime.now(timezone.utc), checksums(built)

    def heavier(row: dict[str, str]) -> None:
        row["PESO"] = "3111"

    assert change_records(built.source / "SINASC_2024.csv", "072024", heavier, limit=50) == 50
    assert not failures(built.refresh())
    later, after = datetime.now(timezone.utc), checksums(built)
    differ = {key for key in after if before[key] != after[key]}
    assert {"births/fact_births", "births/agg_yearly", "production/births/agg_yearly"} <= differ

    assert built.run("rollback_table", table="births", moment=then.isoformat()).success
    assert not failures(built.refresh())
    assert checksums(built) == before
    assert built.refresh() == [], "the restated file is landed again"
    assert built.run("rollback_table", table="births", moment=later.isoformat()).success
    assert not failures(built.refresh())
    assert checksums(built) == after
    assert built.refresh() == []


def test_a_bad_month_is_held_back_and_the_others_go_on(built: Workspace) -> None:
    path = built.source / "SINASC_2024.csv"
    good = path.read_bytes()
    before, promotions = built.versions(), built.ledger()
    production = built.production("select * from agg_monthly order by year, month")

    def break_weight(row: dict[str, str]) -> None:
        row["PESO"] = "heavy"

    def flip(row: dict[str, str]) -> None:
        row["PARTO"] = "1" if row["PARTO"] == "2" else "2"

    assert change_records(path, "052024", break_weight) > 100
    assert change_records(path, "062024", flip, limit=20) == 20
    ran = built.refresh()
    message = "\n".join(failures(ran))
    assert "2024-05" in message
    assert "PESO" not in message.split("2024-05")[0]
    assert "Mend the file and run again" in message
    evaluations = [
        evaluation
        for _, result in ran
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed
    ]
    names = [evaluation.check_name for evaluation in evaluations]
    assert names == ["values_readable", "values_still_readable"]
    shown = str(evaluations[0].metadata["offending rows"].value)
    assert "PESO" in shown
    assert "BR-2024-" in shown
    changed = changed_keys(before, built.versions())
    assert changed["births/raw_births"] == {"2024-05", "2024-06"}
    assert changed["births/fact_births"] == {"2024-06"}
    assert changed["births/agg_monthly"] == {"2024-06"}
    after = built.production("select * from agg_monthly order by year, month")
    assert [a[:2] for a, b in zip(production, after, strict=True) if a != b] == [(2024, 6)]
    assert {p for _, p in built.ledger()[len(promotions) :]} & {"2024-05"} == set()
    # With the same input it is not tried again; mended, it is published.
    assert built.refresh() == []
    path.write_bytes(good)
    assert change_records(path, "062024", flip, limit=20) == 20
    assert change_records(path, "052024", flip, limit=5) == 5
    held_back = built.versions()
    ran = built.refresh()
    assert not failures(ran)
    mended = changed_keys(held_back, built.versions())
    assert mended["births/fact_births"] == {"2024-05"}
    assert mended["births/agg_yearly"] == {"2024"}
    assert ("births/agg_monthly", "2024-05") in built.ledger()[len(promotions) :]


def test_a_bad_month_that_is_taken_back_is_well_again(built: Workspace) -> None:
    path = built.source / "SINASC_2024.csv"
    good, before = path.read_bytes(), built.versions()

    def break_age(row: dict[str, str]) -> None:
        row["IDADEMAE"] = "old"

    change_records(path, "082024", break_age)
    assert failures(built.refresh())
    path.write_bytes(good)
    ran = built.refresh()
    assert not failures(ran)
    assert ("births/fact_births", "2024-08") in materialised(ran)
    assert changed_keys(before, built.versions()).keys() <= {"births/raw_births"}
    assert built.refresh() == []


def test_a_month_that_is_gone_from_its_file_is_emptied_up_to_production(built: Workspace) -> None:
    path = built.source / "SINASC_2024.csv"

    def move(row: dict[str, str]) -> None:
        row["DTNASC"] = row["DTNASC"][:2] + "102024"

    assert change_records(path, "112024", move) > 100
    births = built.production("select sum(total_births) from agg_yearly where year = 2024")
    # That a whole month goes is more than the gate lets through unseen.
    assert (
        "births/agg_monthly 2024-11: on hold: total_births would go from"
        in failures(built.refresh())[0]
    )
    assert built.run("confirm_promotion", table="births").success
    assert not failures(built.refresh())
    months = built.production("select month from agg_monthly where year = 2024 order by 1")
    assert [month for (month,) in months] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12]
    # 31 November did not exist, so nothing was lost on the way.
    assert built.production("select sum(total_births) from agg_yearly where year = 2024") == births
    assert built.refresh() == []


def test_a_source_file_that_is_gone_takes_nothing_away(built: Workspace) -> None:
    before = built.versions()
    next(built.source.glob("DNAC2023.dbf")).rename(built.source / ".DNAC2023.dbf")
    assert built.refresh() == []
    job = built.definitions.resolve_job_def("births_yearly")
    result = job.execute_in_process(
        instance=built.instance,
        partition_key="2023",
        asset_selection=[dg.AssetKey(["births", "raw_births"])],
    )
    assert result.success
    (event,) = result.asset_materializations_for_node("births_sources_yearly_raw_births")
    assert event.metadata["no source for"].value == "2023"
    assert changed_keys(before, built.versions()) == {}
