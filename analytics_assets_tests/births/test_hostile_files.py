"""One file stops neither the births nor the process: it is refused by name, and the others land."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from analytics_assets.core.source import SourceError
from analytics_assets.domains.births.dbc import dbc_as_parquet
from analytics_assets.domains.births.sources import HealthFacilitySource, SinascSource
from analytics_assets_tests.births.files import dbc_bytes, dbf_bytes
from analytics_assets_tests.births.landed import csv_text, record, records
from analytics_assets_tests.births.reading import read
from analytics_assets_tests.landing import hostile

GOOD = "SINASC_2020.csv"


@pytest.fixture
def landing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A landing folder with 40 good births."""
    folder = tmp_path / "landing"
    folder.mkdir()
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SINASC_SOURCE", str(folder))
    (folder / GOOD).write_text(csv_text(records(40, 2020)))
    return folder


def test_each_is_refused_by_name_and_the_good_one_is_read(
    landing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANDING_UNPACKED_MB", "25")
    hostile.pipe(landing / "DNAC2021.dbc")
    hostile.loop(landing / "DNAL2021.dbf")
    hostile.endless(landing / "DNAM2021.csv")
    hostile.wide_csv(landing / "DNAP2021.csv")
    hostile.zip_bomb(landing / "DNBA2021.zip", "DNBA2021.csv", 3)
    hostile.gzip_bomb(landing / "DNCE2021.csv.gz", 3)
    hostile.pipe(landing / "CNESDO21.dbf")
    (landing / "DNDF2021.parquet").mkdir()
    hostile.pipe(landing / "DNDF2021.parquet" / "part-0.parquet")
    started = time.monotonic()
    with read(landing, tmp_path / "scratch", facts=False) as found:
        (births,) = found.session.execute("select count(*) from births.raw_births").fetchone()
    assert time.monotonic() - started < 60
    assert births == 40
    wanted = {
        "DNAC2021.dbc": "it is a named pipe, not a file",
        "DNAL2021.dbf": "it is a link that leads to itself, not a file",
        "DNAM2021.csv": "it is a device, not a file",
        "DNAP2021.csv": "it has 100,000 columns, more than 2,000",
        "DNBA2021.zip": "it unpacks to more than 25 MB",
        "DNCE2021.csv.gz": "it unpacks to more than 25 MB",
        "CNESDO21.dbf": "it is a named pipe, not a file",
        "DNDF2021.parquet": "it holds part-0.parquet, a named pipe",
    }
    assert found.refused.keys() == wanted.keys()
    for name, said in wanted.items():
        assert said in found.refused[name]


def test_what_is_no_file_is_no_input_and_told(landing: Path) -> None:
    hostile.pipe(landing / "DNAC2021.dbc")
    hostile.loop(landing / "CNESDO21.dbf")
    assert SinascSource().inputs().keys() == {"2020"}
    assert HealthFacilitySource().inputs() == {"all": {"CNESDO": "none"}}
    assert SinascSource().problems() == [
        f"{landing / 'CNESDO21.dbf'}: it is a link that leads to itself, not a file."
        " Move it out of the folder",
        f"{landing / 'DNAC2021.dbc'}: it is a named pipe, not a file. Move it out of the folder",
    ]


@pytest.mark.parametrize(
    ("limit", "value", "said"),
    [
        ("LANDING_READER_SECONDS", "0.01", "takes more than 0 seconds"),
        ("LANDING_UNPACKED_MB", "0.002", "unpacks to more than 0 MB"),
    ],
)
def test_unpacking_has_limits(
    limit: str, value: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "DNAC2021.dbc"
    path.write_bytes(dbc_bytes(dbf_bytes([record()] * 50)))
    assert dbc_as_parquet(path, tmp_path).stat().st_size
    monkeypatch.setenv(limit, value)
    with pytest.raises(SourceError, match=f"^{path}: .*{said}.* set {limit} higher"):
        dbc_as_parquet(path, tmp_path)
