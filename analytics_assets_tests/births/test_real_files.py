"""Published files, as they are: they land, or are refused in words that help."""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from analytics_assets.domains.births import dbc
from analytics_assets.domains.births.landing import scan
from analytics_assets.domains.births.sources import SinascSource
from analytics_assets_tests.births.landed import Landed, land, query, rows_of_table

# DATASUS and Observatorio Obstetrico Brasileiro: births by the mother's state, Acre.
BIRTHS = {
    2000: 15228, 2001: 14899, 2002: 15841, 2003: 15986, 2004: 16584, 2005: 17482, 2007: 16183,
    2008: 17994, 2010: 16495, 2011: 17817, 2014: 17139, 2015: 16980, 2018: 16543,
}  # fmt: skip
# Births, caesareans, low weight, preterm.
OUTCOMES = {
    2014: (17139, 6500, 1302, 2137),
    2015: (16980, 6631, 1296, 2151),
    2018: (16543, 6856, 1261, 2320),
}


@pytest.fixture(scope="module")
def acre(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Landed]:
    """Thirteen years of Acre, in nine layouts; the queries of the tests that ask for it read it."""
    folder = tmp_path_factory.mktemp("acre")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("ANALYTICS_HOME", str(folder / "home"))
        monkeypatch.setenv("SINASC_SOURCE", str(folder))
        for path in (real_data / "sinasc").glob("DNAC*"):
            shutil.copy(path, folder)
        yield land(BIRTHS)


@pytest.fixture
def landing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty landing folder, and an empty lake."""
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SINASC_SOURCE", str(tmp_path / "landing"))
    (tmp_path / "landing").mkdir()
    return tmp_path / "landing"


def is_whole(landed: Landed, year: str) -> bool:
    """Whether every record is either a birth or rejected."""
    return landed.raw[year] == landed.fact.get(year, 0) + landed.rejected.get(year, 0)


# ---- Acre ---------------------------------------------------------------------------------------


def test_all_files_land(acre: Landed) -> None:
    assert acre.errors == {}
    assert {int(year) for year in acre.raw} == BIRTHS.keys()
    assert all(is_whole(acre, year) for year in acre.raw)


def test_births_by_state_of_residence(acre: Landed) -> None:
    found = query(
        "select year(DTNASC), count(*) from births.fact_births"
        " where residence_municipality_code like '12%' group by 1"
    )
    assert dict(found) == BIRTHS


def test_outcomes(acre: Landed) -> None:
    found = query(
        "select year(DTNASC), count(*), count(*) filter (is_cesarean),"
        " count(*) filter (is_low_birth_weight), count(*) filter (is_preterm)"
        " from births.fact_births where residence_municipality_code like '12%'"
        f" and year(DTNASC) in ({', '.join(map(str, OUTCOMES))}) group by 1"
    )
    assert {year: tuple(counts) for year, *counts in found} == OUTCOMES


def test_hardly_a_value_is_unreadable(acre: Landed) -> None:
    """The code book was read rightly if real files keep to it."""
    named, births = query(
        "select sum(len(string_split(unreadable_columns, ','))), count(*) from births.fact_births"
    )[0]
    assert named < births / 100


# ---- samples of all states, ten years in one file -----------------------------------------------

SAMPLES = ("saf_5x_neutral_entries_0.csv", "saf_5x_neutral_entries_1.csv")


def test_file_of_many_years_is_refused_by_name(real_data: Path, landing: Path) -> None:
    for name in SAMPLES:
        shutil.copy(real_data / "sinasc" / name, landing)
    assert SinascSource().inputs() == {}
    refused = scan(landing).refused
    for name in SAMPLES:
        told = refused[landing / name]
        assert told.startswith("its name does not say which state and year it holds")
        assert "a file of several years has to be split by year" in told


@pytest.mark.parametrize("name", SAMPLES)
def test_file_split_by_year_lands(real_data: Path, landing: Path, name: str) -> None:
    by_year: dict[str, list[list[str]]] = {}
    with (real_data / "sinasc" / name).open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    for row in rows:
        by_year.setdefault(row[header.index("DTNASC")][-4:], []).append(row)
    for year, own in by_year.items():
        with (landing / f"SINASC_{year}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *own])
    landed = land(by_year)
    assert landed.errors == {}
    assert landed.raw == {year: len(own) for year, own in by_year.items()}
    assert all(is_whole(landed, year) for year in by_year)
    assert landed.fact == landed.raw
    states, sexes = query(
        "select count(distinct left(residence_municipality_code, 2)),"
        " count(*) filter (SEXO in ('1', '2')) from births.fact_births"
    )[0]
    assert states == 27
    assert sexes >= len(rows) - 2


# ---- Rondonia: each file repeats the months before ----------------------------------------------


def test_only_the_latest_of_year_to_date_files_is_used(real_data: Path, landing: Path) -> None:
    for month in ("JAN", "FEV", "MAR"):
        shutil.copy(real_data / "sinasc" / "ro_2019" / f"SINASC_RO_2019_{month}.csv", landing)
    landed = land([2019])
    assert landed.errors == {}
    assert landed.raw == landed.fact == {"2019": 6844}
    assert query("select distinct source_file from births.raw_births") == [
        ("SINASC_RO_2019_MAR.csv",)
    ]
    report = landed.reports["2019"]
    assert report["files"] == "SINASC_RO_2019_MAR.csv"
    assert report["replaced by a later file"] == "SINASC_RO_2019_FEV.csv, SINASC_RO_2019_JAN.csv"


def test_labels_are_decoded(real_data: Path, landing: Path) -> None:
    shutil.copy(real_data / "sinasc" / "ro_2019" / "SINASC_RO_2019_MAR.csv", landing)
    land([2019])
    for column, counts in {
        "SEXO": {"1": 3467, "2": 3377},
        "GESTACAO": {"1": 3, "2": 31, "3": 52, "4": 615, "5": 5664, "6": 156, None: 323},
        "GRAVIDEZ": {"1": 6710, "2": 119, None: 15},
    }.items():
        found = query(f"select {column}, count(*) from births.fact_births group by 1")
        assert dict(found) == counts


# ---- other people's extracts --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "has"),
    [
        ("lavras_mg_2021_base.csv", "IDADE_DA_MAE, ESTADO_CIVIL_MAE"),
        ("ibd_tp2_sinasc_mothers_bh.csv", "CONTADOR, CODMUNNASC"),
    ],
)
def test_extract_without_date_of_birth_is_refused(
    real_data: Path, landing: Path, name: str, has: str
) -> None:
    shutil.copy(real_data / "sinasc" / name, landing)
    told = scan(landing).refused[landing / name]
    assert told.startswith("its name does not say which state and year it holds. Name it")
    (landing / name).rename(landing / "SINASC_MG_2021.csv")
    landed = land([2021])
    assert landed.raw == landed.fact == {}
    message = landed.errors["2021"]
    assert message.startswith(f"{landing / 'SINASC_MG_2021.csv'}: it has no column DTNASC")
    assert has in message
    assert "Rename its columns to the names of the SINASC layout" in message


def test_names_of_health_facilities(real_data: Path, landing: Path) -> None:
    shutil.copy(real_data / "geo" / "CNESDO18.DBF", landing)
    rows = rows_of_table("raw_health_facilities")
    assert len(rows) == 19877
    assert all(len(code) == 7 and name.strip() for code, name, *_ in rows)
    assert "3\u00aa IDADE" in " ".join(name for _, name, *_ in rows), "accents are read"
    assert SinascSource().inputs() == {}


def test_damaged_list_of_health_facilities_is_refused(landing: Path) -> None:
    (landing / "CNESDO18.DBF").write_bytes(b"<html>Service unavailable</html>" * 30)
    with pytest.raises(AssertionError, match=r"CNESDO18\.DBF: it is damaged, or no DBF file"):
        rows_of_table("raw_health_facilities")


def test_both_libraries_unpack_a_file_to_the_same_bytes(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.13 has only the slower of the two."""
    pytest.importorskip("datasus_dbc")
    pytest.importorskip("dbctodbf")
    path = real_data / "sinasc" / "DNAC2000.DBC"
    dbc._decompress(path, tmp_path / "fast.dbf")
    monkeypatch.setitem(sys.modules, "datasus_dbc", None)
    dbc._decompress(path, tmp_path / "slow.dbf")
    assert (tmp_path / "slow.dbf").read_bytes() == (tmp_path / "fast.dbf").read_bytes()
