"""Seeded, made-up files of the clinic, the same for a seed.

Belongs here: drawing patients, visits and events, and writing the three files with a few planted
defects.
Does not belong here: reading such files; the pipeline must not import what draws them.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path

from analytics_assets.domains.clinic.layouts import OWN_LAYOUTS

FIRST_DAY = date(2025, 1, 6)
DOCTORS = ("Dr. David", "Dr. Amara", "Dr. Chen", "Dr. Ruiz", "Dr. Novak")
REASONS = ("Checkup", "Follow-up", "Vaccination", "Dermatology", "Physiotherapy")
SOURCES = (
    ("Referral", 0.3),
    ("Direct", 0.2),
    ("Organic Search", 0.18),
    ("Meta Ads", 0.14),
    ("Google Ads", 0.12),
    ("Apple Ads", 0.06),
)
_HEADERS = {f"{layout.name}.csv": layout.header for layout in OWN_LAYOUTS}
Row = tuple[str, ...]


def generate(
    folder: Path, *, seed: int = 2025, days: int = 84, patients: int = 900, defects: bool = True
) -> list[Path]:
    """Write the three files of ``days`` days and ``patients`` patients; the same arguments give the
    same bytes.

    ``defects``: a few values outside their lists (below every threshold's share), a doctor spelled
    in two ways, a doubled line, an age of -1, a visit of a patient without a profile and a date
    that is none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    ids = [str(100_000 + number) for number in range(patients)]
    rows = {
        "app_data.csv": [_profile(rng, patient) for patient in ids],
        "appointments_data.csv": [],
        "ab_test_data.csv": [],
    }
    groups = {patient: rng.choice(("Test", "Control")) for patient in ids}
    traits = {patient: (str(rng.randint(1, 92)), rng.choice(("F", "M"))) for patient in ids}
    for number in range(days):
        day = FIRST_DAY + timedelta(days=number)
        expected = 24 if day.weekday() < 5 else 6
        for patient in rng.sample(ids, min(len(ids), expected + rng.randint(-2, 2))):
            visit, events = _visit(rng, patient, traits[patient], day, groups[patient])
            rows["appointments_data.csv"].append(visit)
            rows["ab_test_data.csv"] += events
    if defects:
        _plant(rows)
    return [_write(folder / name, _HEADERS[name], own) for name, own in rows.items()]


def _profile(rng: random.Random, patient: str) -> Row:
    names, weights = zip(*SOURCES, strict=True)
    device = rng.choice(("IOS 16.4", "IOS 17.2", "Android 13.0", "Android 14.1"))
    return patient, rng.choices(names, weights)[0], device


def _visit(
    rng: random.Random, patient: str, traits: tuple[str, str], day: date, group: str
) -> tuple[Row, list[Row]]:
    test = group == "Test"
    viewed = test and rng.random() < 0.7
    confirmed = viewed and rng.random() < 0.6
    attended = rng.random() < 0.74 + 0.12 * confirmed
    status = "Attended" if attended else "Not Attended"
    visit: Row = (patient, *traits, rng.choice(DOCTORS), rng.choice(REASONS), str(day), status)
    moment = datetime.combine(day, time(8)) + timedelta(minutes=rng.randrange(240))
    happened = (
        ("reminder_sent", test),
        ("reminder_viewed", viewed),
        ("appointment_confirmed", confirmed),
        ("attended_appointment", attended),
    )
    events: list[Row] = [
        (patient, group, name, str(moment + timedelta(minutes=30 * step)))
        for step, (name, there) in enumerate(happened)
        if there
    ]
    return visit, events


def _plant(rows: dict[str, list[Row]]) -> None:
    profiles, visits, events = rows.values()
    for number in range(0, min(len(profiles), 400), 100):
        profiles[number] = (profiles[number][0], "TikTok", profiles[number][2])
    for number in range(0, len(visits), 40):
        patient, age, gender, _, *others = visits[number]
        visits[number] = (patient, age, gender, "Dr.David", *others)
    for number in range(10, len(visits), 150):
        visits[number] = (*visits[number][:-1], "No-show")
    for number in range(20, len(visits), 500):
        visits[number] = (visits[number][0], "-1", *visits[number][2:])
    for number in range(30, len(events), 200):
        events[number] = (events[number][0], events[number][1], "reminder_open", events[number][3])
    if visits:
        visits += [visits[0], ("999999", "41", "F", *visits[-1][3:])]
        visits.append((*visits[1][:5], "31/02/2025", visits[1][6]))


def _write(path: Path, header: Sequence[str], rows: Iterable[Row]) -> Path:
    draft = path.with_name(f".{path.name}")
    with draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    draft.replace(path)
    return path
