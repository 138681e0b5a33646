"""What became of all that was offered to the ads, the clinic and the behavioural events.

docs/offered.md is the table, counted once more by hand: by csv and json alone, or the database.
Births and banks have theirs on their own pages. UPDATE_DOCS=1 writes it.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from analytics_assets import settings
from analytics_assets.core.source import Landing
from analytics_assets.domains.ad_metrics import landing as ads
from analytics_assets.domains.ad_metrics import sample as ads_sample
from analytics_assets.domains.behavior import sample as behavior_sample
from analytics_assets.domains.behavior.tables import behavioral_events
from analytics_assets.domains.clinic import landing as clinic
from analytics_assets.domains.clinic import sample as clinic_sample
from analytics_assets.landing.feed import Feed
from analytics_assets.landing.files import files_of, strange_files
from analytics_assets.landing.known import contents
from analytics_assets.warehouse.session import open_session
from analytics_assets_tests.behavior.database import Database
from analytics_assets_tests.conftest import as_admin

PAGE = Path(__file__).parents[1] / "docs" / "offered.md"
HEAD = """# What became of what was offered
Rows of the samples and of the published files that the tests read: offered = landed + rejected +
repeated, file by file, and files that are left out because their names are of no feed. Counted by
the project and once more by a test, without the project's readers. Births and banks:
[births.md](births.md), [bank_kpis.md](bank_kpis.md).

| source | files | offered | landed | rejected | repeated | left out |
|---|---|---|---|---|---|---|
"""
Counts = tuple[int, int, int, int, int]  # files, offered, landed, rejected, repeated
Record = Mapping[str, Any]


# ---- as the project says ------------------------------------------------------------------------


def told(feed: Feed) -> Counts:
    """What a look at the files of a feed counts."""
    found = contents(feed, files_of(feed)).values()
    assert not any(one.problem for one in found)
    rows, rejected, repeated = (
        sum(getattr(one, name) for one in found) for name in ("rows", "rejected_rows", "repeated")
    )
    return len(found), rows, rows - rejected - repeated, rejected, repeated


# ---- by hand ------------------------------------------------------------------------------------

Key = Callable[[Record], Hashable]


def records(path: Path) -> list[Record]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def counted(paths: list[Path], key: Key) -> Counts:
    """``key``: what a row is known by; ``None`` where it cannot be landed."""
    offered = landed = rejected = repeated = 0
    for path in paths:
        keys = Counter(map(key, records(path)))
        offered += keys.total()
        rejected += keys.pop(None, 0)
        landed += len(keys)
        repeated += keys.total() - len(keys)
    return len(paths), offered, landed, rejected, repeated


def event_key(row: Record) -> Hashable:
    own = {**row, **row.get("properties", {})}
    name = own.get("event") or own.get("event_name")
    return name, own["distinct_id"], own["time"], own.get("$insert_id") or own.get("insert_id")


def profile_key(row: Record) -> Hashable:
    return row["$distinct_id"]


def whole(row: Record) -> Hashable:
    return json.dumps(row, sort_keys=True)


def visit_key(row: Record) -> Hashable:
    day = row["appointment_date"]
    doctor = " ".join(row["doctor_name"].lower().replace("dr.", "dr. ").split())
    return None if "/" in day else (row["patient_id"], doctor, row["appointment_reason"], day)


def of(*names: str) -> Key:
    return lambda row: tuple(row[name].lower() for name in names)


AD_FEEDS: list[tuple[Feed, str, Key]] = [
    (ads.EVENTS, "mixpanel/events/*", event_key),
    (ads.USERS, "mixpanel/users/*", profile_key),
    *((feed, f"meta/{feed.name}/*", whole) for feed in ads.AD_PERFORMANCE.values()),
    (ads.CURRENCY_FX, "mixpanel/currency_fx/*", of("currency")),
    (ads.META_COUNTRY_MAPPING, "meta/meta_country_mapping.csv", of("meta_value")),
    (ads.META_DEVICE_MAPPING, "meta/meta_device_mapping.csv", of("meta_value")),
]
CLINIC_FEEDS: list[tuple[Feed, str, Key]] = [
    (clinic.APP_PROFILE, "app_data*", of("patient_id")),
    (clinic.APPOINTMENT, "appointments_data*", visit_key),
    (clinic.AB_EVENT, "ab_test_data*", of("patient_id", "event_name", "event_datetime")),
]


# ---- both ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with the samples, and folders for real files."""
    folder = tmp_path_factory.mktemp("offered")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANALYTICS_HOME", str(folder / "home"))
        patch.setenv("MIXPANEL_SOURCE", str(folder / "mixpanel"))
        patch.setenv("META_ADS_SOURCE", str(folder / "meta"))
        patch.setenv("CLINIC_SOURCE", str(folder / "clinic"))
        (folder / "clinic").mkdir()
        ads_sample.generate(folder / "mixpanel", folder / "meta")
        clinic_sample.generate(folder / "clinic")
        yield folder


def both(root: Path, feeds: list[tuple[Feed, str, Key]], domain: str) -> dict[str, Counts]:
    """Source -> its counts, on which the project and this test agree."""
    found = {}
    for feed, pattern, key in feeds:
        name = f"{domain} sample: {feed.name}"
        found[name] = told(feed)
        assert found[name] == counted(sorted(root.glob(pattern)), key), name
    return found


def real_clinic(real_data: Path, folder: Path) -> dict[str, Counts]:
    """The public sets, under names that say what they are."""
    visits, players = (
        real_data / "clinic/no_shows_first_5000.csv",
        real_data / "clinic/cookie_cats.csv",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLINIC_SOURCE", str(folder))
        for path in (visits, players):
            shutil.copy(path, folder)
        assert {path.name for path in strange_files(clinic.FEEDS)} == {visits.name, players.name}
        (folder / visits.name).rename(folder / f"appointments_data_{visits.name}")
        (folder / players.name).rename(folder / f"ab_test_data_{players.name}")
        assert not strange_files(clinic.FEEDS)
        found = {
            "no_shows_first_5000.csv": told(clinic.APPOINTMENT),
            "cookie_cats.csv: events of the players": told(clinic.AB_EVENT),
        }
    numbers = {row["AppointmentID"] for row in records(visits)}
    steps = [
        1 + (row["retention_1"] == "TRUE") + (row["retention_7"] == "TRUE")
        for row in records(players)
    ]
    assert list(found.values()) == [
        (1, len(records(visits)), len(numbers), 0, len(records(visits)) - len(numbers)),
        (1, sum(steps), sum(steps), 0, 0),
    ]
    return found


def left_out(real_data: Path, folder: Path) -> dict[str, int]:
    """Folder of real files of ads -> how many of them are of no feed: all."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("MIXPANEL_SOURCE", "META_ADS_SOURCE"):
            patch.setenv(variable, str(folder / variable))
            (folder / variable).mkdir()
        for feed, *_ in AD_FEEDS:
            (feed.folder.path / feed.below).mkdir(exist_ok=True)
        for path in sorted((real_data / "ads").rglob("*")):
            if path.is_file():
                shutil.copy(path, folder / "MIXPANEL_SOURCE" / "events")
                named = {one.name for one in strange_files(ads.FEEDS) if one.is_file()}
                assert path.name in named
                group = str(path.parent.relative_to(real_data))
                found[group] = found.get(group, 0) + 1
    return found


def exported(postgres: str, folder: Path) -> Counts:
    """The sample of behavioural events: days for files."""
    name = f"offered_{uuid4().hex[:12]}"
    as_admin(postgres, f"create database {name} owner promoter")
    url = f"postgresql://promoter@/{name}?host={postgres}"
    try:
        behavior_sample.generate(url, users=12, days=40)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ANALYTICS_HOME", str(folder / "home"))
            patch.setenv("BEHAVIOR_SOURCE_URL", url)
            rows, source = 0, behavioral_events.source
            assert source
            days = source.inputs()
            with open_session(settings.load()) as session:
                for day in days:
                    with source.land(Landing(session, day, {}, lambda sql: {})) as selects:
                        for sql in selects:
                            rows += len(session.execute(sql).fetchall())
        ((offered,),) = Database(url).run("select count(*) from behavioral_events")
        assert rows == offered
        assert len(days) == len(Database(url).days())
    finally:
        as_admin(postgres, f"drop database {name} with (force)")
    return len(days), offered, rows, 0, 0


def page_of(samples: dict[str, Counts], real: dict[str, Counts], others: dict[str, int]) -> str:
    lines = [
        f"| {name} | {' | '.join(f'{number:,}' for number in counts)} | |"
        for name, counts in (samples | real).items()
    ]
    lines += [f"| `{name}` | {n} | | | | | names of no feed |" for name, n in others.items()]
    lines.append("| `behavior/*.csv` | | | | | | the domain reads a database and no files |")
    return HEAD + "\n".join(lines) + "\n"


@pytest.mark.slow
def test_what_was_offered_is_counted_as_by_hand(
    home: Path, real_data: Path, postgres: str, tmp_path: Path
) -> None:
    (tmp_path / "clinic").mkdir()
    samples = {
        **both(home, AD_FEEDS, "ads"),
        **both(home / "clinic", CLINIC_FEEDS, "clinic"),
        "behavior sample of 12 users, by day": exported(postgres, tmp_path),
    }
    page = page_of(
        samples, real_clinic(real_data, tmp_path / "clinic"), left_out(real_data, tmp_path)
    )
    if os.environ.get("UPDATE_DOCS") == "1":
        PAGE.write_text(page, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page
