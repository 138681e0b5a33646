"""Small files that were handled wrongly, one a fault, and the kinds behind them.

The files lie beside the real ones and are made up; their README says what is right.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_assets.domains.births.dates import date_sql
from analytics_assets.domains.births.landing import scan
from analytics_assets_tests.births.landed import csv_text, record, records
from analytics_assets_tests.births.reading import Read, read

LANDS = {
    "SINASC_AC_2000.csv": 120, "SINASC_AC_2002.csv": 120, "SINASC_AC_2004.csv": 120,
    "SINASC_AC_2005.csv": 120, "SINASC_AC_2008.csv": 121, "SINASC_AC_2009.csv": 120,
    "DNEX2010.csv": 24, "SINASC_AC_2012.csv": 24,
}  # fmt: skip
REFUSED = {
    "SINASC_AC_2003.csv": "60 of 120 rows, most as date of birth outside the file's year (a file"
    " of several years has to be split by year)",
    "SINASC_AC_2007.csv": "120 rows equal in every column but the running number, of 240",
    "DNAC2011.dbf": "60 of 120 rows, most as",
}


@pytest.fixture(scope="module")
def cases(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Read]:
    """All of them in one folder."""
    folder = tmp_path_factory.mktemp("cases")
    for name in (*LANDS, *REFUSED):
        (path,) = (real_data.parent / "cases").rglob(name)
        shutil.copy(path, folder)
    with read(folder, tmp_path_factory.mktemp("scratch") / "cases") as found:
        yield found


def test_what_should_land_does_and_is_counted(cases: Read) -> None:
    assert cases.refused.keys() == REFUSED.keys()
    assert cases.warned == {}
    assert {name: cases.births(name) for name in LANDS} == LANDS
    for name, rows in LANDS.items():
        said = f"{rows} offered = {rows} landed + 0 rejected; 0 rows equal in every column"
        assert cases.reports[f"{name}: rows"] == said


@pytest.mark.parametrize(("name", "why"), REFUSED.items())
def test_what_should_not_land_is_refused_with_the_reason(cases: Read, name: str, why: str) -> None:
    assert f"{name}: {why}" in cases.refused[name]


def test_class_8_of_the_older_form_is_preterm(cases: Read) -> None:
    name = "SINASC_AC_2000.csv"
    assert cases.births(name, "[count(*) filter (is_preterm), count(is_preterm)]") == [4, 120]


def test_na_of_r_is_a_missing_value(cases: Read) -> None:
    name = "SINASC_AC_2005.csv"
    assert cases.births(name, "count(*)", "RACACOR is null and unreadable_columns is null") == 30
    assert cases.births(name, "count(*)", "occupation_code = '000000'") == 20


def test_labels_of_microdatasus_are_codes(cases: Read) -> None:
    name = "SINASC_AC_2009.csv"
    assert cases.births(name, "count(unreadable_columns)") == 0
    assert {"2", "3", "4"} <= set(cases.births(name, "list(distinct CONSULTAS)"))
    for column in ("LOCNASC", "ESCMAE", "GESTACAO", "GRAVIDEZ", "PARTO", "SEXO", "IDANOMAL"):
        assert cases.births(name, f"count({column})") == 120, column


def test_births_of_mothers_from_abroad_land_where_they_were_born(cases: Read) -> None:
    name = "DNEX2010.csv"
    assert cases.births(name, "count(*)", "birth_municipality_code like '12%'") == 24
    assert cases.births(name, "count(*)", "residence_municipality_code = '0000000'") == 24
    assert cases.births(name, "count(unreadable_columns) + count(birth_location_differs)") == 0


def test_occupations_with_lost_zeros(cases: Read) -> None:
    name = "SINASC_AC_2012.csv"
    assert cases.births(name, "count(*)", "occupation_code = '000000'") == 6
    assert cases.births(name, "count(*)", "occupation_code = '010105'") == 6


def test_one_byte_of_latin_1_takes_no_label_away(cases: Read) -> None:
    assert cases.births("SINASC_AC_2008.csv", "count(*)", "PARTO is null") == 0


# ---- dates --------------------------------------------------------------------------------------

DAYS = st.lists(st.dates(dt.date(2023, 1, 1), dt.date(2023, 12, 31)), min_size=1, max_size=40)
WRITTEN = {
    "{0:%d%m%Y}": "", "{0.day}{0:%m%Y}": "", "{0:%Y%m%d}": "", "{0:%Y-%m-%d}": "",
    "{0:%Y-%m-%d} 00:00:00": "", "{0:%Y-%m-%dT00:00:00}": "", "{0.day}/{0.month}/{0.year}": "day",
    "{0:%d/%m/%Y}": "day", "{0:%d-%m-%Y} 00:00": "day", "{0:%m/%d/%Y}": "month",
    "{0.month}/{0.day}/{0.year}": "month", "{0:%m/%d/%Y} 00:00:00": "month",
}  # fmt: skip


def dated(folder: Path, days: Sequence[dt.date], spelling: str) -> Path:
    """A file of one birth a day, its date and the mother's in this spelling."""
    rows = [
        record(DTNASC=spelling.format(day), DTNASCMAE=spelling.format(day.replace(year=1999)),
               CODOCUPMAE=str(100_000 + n))
        for n, day in enumerate(days)
    ]  # fmt: skip
    path = folder / "SINASC_2023.csv"
    path.write_text(csv_text(rows))
    return path


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(days=DAYS, spelling=st.sampled_from(sorted(WRITTEN)))
def test_any_spelling_of_dates_gives_the_same_births_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, days: list[dt.date], spelling: str
) -> None:
    """Refused is only what a person could not tell either: no day above 12, and not all alike."""
    folder = tmp_path_factory.mktemp("dates")
    (folder / "SINASC_2021.csv").write_text(csv_text(records(1, 2021)))
    path = dated(folder, days, spelling)
    told = any(day.day > 12 for day in days) or all(day.day == day.month for day in days)
    with read(folder, folder / "scratch", facts=False) as found:
        if WRITTEN[spelling] and not told:
            assert "none has a day above 12" in found.refused[path.name]
            return
        assert found.refused == {}
        for column, year in (("DTNASC", 2023), ("DTNASCMAE", 1999)):
            sql = f"select {date_sql(column)} from births.raw_births where source_year = 2023"
            sql += " order by source_row"
            born = [day for (day,) in found.session.execute(sql).fetchall()]
            assert born == [day.replace(year=year) for day in days]


def test_a_file_with_both_orders_is_refused(tmp_path: Path) -> None:
    days = [dt.date(2023, 2, 1) + dt.timedelta(n) for n in range(27)]
    path = dated(tmp_path, days, "{0:%d/%m/%Y}")
    path.write_text(path.read_text().replace("27/02/2023", "02/27/2023"))
    with read_refused(tmp_path) as refused:
        assert "have the day first and 1 the month" in refused[path.name]


# ---- names and folders --------------------------------------------------------------------------


@contextmanager
def read_refused(folder: Path) -> Iterator[dict[str, str]]:
    """Why the files of a folder are refused, beside one of another year that lands."""
    (folder / "SINASC_2021.csv").write_text(csv_text(records(5, 2021)))
    with read(folder, folder / "scratch", facts=False) as found:
        yield found.refused


def test_births_of_a_state_file_without_places_are_unknown_in_that_state(tmp_path: Path) -> None:
    rows = [{k: v for k, v in row.items() if not k.startswith("CODMUN")} for row in records(40)]
    (tmp_path / "SINASC_RO_2024.csv").write_text(csv_text(rows))
    with read(tmp_path, tmp_path / "scratch") as found:
        for place in ("birth_municipality_code", "residence_municipality_code"):
            assert found.births("SINASC_RO_2024.csv", f"list(distinct {place})") == ["1100000"]
        assert found.births("SINASC_RO_2024.csv", "count(birth_location_differs)") == 0


def test_a_folder_of_parquet_files_lands_as_one_file(tmp_path: Path) -> None:
    """As PySUS writes them; rows are numbered through, and a part that changes is a change."""
    rows = records(90)
    folder = tmp_path / "DNAC2024.parquet"
    folder.mkdir()
    for at in (0, 30, 60):
        part = pyarrow.Table.from_pylist(rows[at : at + 30])
        pyarrow.parquet.write_table(part, folder / f"part-{at:02}.parquet")
    with read(tmp_path, tmp_path / "scratch") as found:
        assert found.births(folder.name) == 90
        sql = "select bool_and(source_row = CONTADOR::int), count(distinct source_row)"
        assert found.session.execute(f"{sql} from births.raw_births").fetchone() == (True, 90)
    ((file,),) = scan(tmp_path).files.values()
    before = file.fingerprint
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "part-00.parquet")
    assert file.fingerprint != before


@pytest.mark.parametrize("twice", [2, 3])
def test_a_few_equal_rows_are_counted_and_more_are_refused(tmp_path: Path, twice: int) -> None:
    """Two twins of forty births are no fault; a twentieth of a file that stands twice is one."""
    rows = records(40)
    again = [{**row, "CONTADOR": str(100 + n)} for n, row in enumerate(rows[:twice])]
    (tmp_path / "SINASC_2024.csv").write_text(csv_text([*rows, *again]))
    with read_refused(tmp_path) as refused:
        assert ("SINASC_2024.csv" in refused) == (twice > 2)


def test_what_is_missing_is_missing_in_any_words(tmp_path: Path) -> None:
    words = ["NA", "NaN", "nan", "NULL", "<NA>", "#N/A", " NA "]
    rows = [
        record(CODOCUPMAE=word, ORIGEM=word, HORANASC=f"{n:04}") for n, word in enumerate(words)
    ]
    (tmp_path / "SINASC_2024.csv").write_text(csv_text(rows))
    numbers = {"PESO": [float("nan"), 3215.0], "DTNASC": ["03022023"] * 2}
    pyarrow.parquet.write_table(pyarrow.table(numbers), tmp_path / "SINASC_2023.parquet")
    with read(tmp_path, tmp_path / "scratch") as found:
        sql = "select count(*), count(ORIGEM), count(CODOCUPMAE) from births.raw_births"
        assert found.session.execute(sql).fetchone() == (len(words) + 2, 0, 0)
        assert found.births("SINASC_2023.parquet", "[count(PESO), count(unreadable_columns)]") == [
            1,
            0,
        ]
