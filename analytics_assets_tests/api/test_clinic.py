"""The clinic's lists, key by key, and their filters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from jsonschema import validate

from analytics_assets_tests.api.filled import clinic_rows

V1 = "/api/v1"
ROWS = clinic_rows()
TEXT, NULLABLE = {"type": "string"}, {"type": ["string", "null"]}
DAY = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
SEEN = {"traffic_source": NULLABLE, "known_patient": {"type": ["boolean", "null"]}}
KEYS: dict[str, dict[str, Any]] = {
    "ab_events": {
        "event_id": TEXT,
        "patient_id": TEXT,
        "group": {"enum": ["Test", "Control", None]},
        "event_name": NULLABLE,
        "event_date": DAY,
        "event_datetime": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}$"},
        **SEEN,
    },
    "appointments": {
        "appointment_id": TEXT,
        "patient_id": TEXT,
        "age": {"type": ["integer", "null"]},
        "gender": NULLABLE,
        "doctor_name": NULLABLE,
        "appointment_reason": NULLABLE,
        "appointment_date": DAY,
        "appointment_status": {"enum": ["Attended", "Not Attended", None]},
        **SEEN,
    },
    "app_profiles": {
        "patient_id": TEXT,
        "traffic_source": NULLABLE,
        "device": NULLABLE,
        "os": NULLABLE,
        "os_version": NULLABLE,
    },
}
TABLE_OF = {
    "ab_events": "clinic/fct_ab_events",
    "appointments": "clinic/fct_appointments",
    "app_profiles": "clinic/dim_patient_from_app_profiles",
}


def get(client: httpx.Client, path: str, **asked: Any) -> dict[str, Any]:
    asked.setdefault("limit", 1000)
    return client.get(f"{V1}/{path}/", params=asked).raise_for_status().json()


@pytest.mark.parametrize("path", KEYS)
def test_the_shape_of_a_list(client: httpx.Client, path: str) -> None:
    found = get(client, path)
    row = {
        "type": "object",
        "properties": KEYS[path],
        "required": list(KEYS[path]),
        "additionalProperties": False,
    }
    integer = {"type": "integer"}
    page = {
        "type": "object",
        "properties": {
            "data": {"type": "array", "items": row, "minItems": 1},
            "total": integer,
            "limit": integer,
            "offset": integer,
            "next_cursor": NULLABLE,
        },
        "required": ["data", "total", "limit", "offset", "next_cursor"],
        "additionalProperties": False,
    }
    validate(found, page)
    assert found["total"] == len(found["data"]) == len(ROWS[TABLE_OF[path]])


@pytest.mark.parametrize(
    ("path", "asked", "kept"),
    [
        ("ab_events", {"patient_id": f"{3:032x}"}, lambda r: r["patient_id"] == f"{3:032x}"),
        ("ab_events", {"group": "Test"}, lambda r: r["group"] == "Test"),
        ("ab_events", {"event_name": "reminder_viewed"}, lambda r: False),
        (
            "ab_events",
            {"since": "2024-03-02T09:04:30", "before": "2024-03-03T09:05:30"},
            lambda r: "2024-03-02 09:04:30" <= str(r["event_datetime"]) < "2024-03-03 09:05:30",
        ),
        (
            "ab_events",
            {"since": "2024-03-02T06:04:30-03:00", "before": "2024-03-03T14:35:30+05:30"},
            lambda r: "2024-03-02 09:04:30" <= str(r["event_datetime"]) < "2024-03-03 09:05:30",
        ),
        ("ab_events", {"since": "2024-03-03"}, lambda r: r["event_date"].day == 3),
        (
            "appointments",
            {"appointment_status": "Attended", "doctor_name": "Dr. O'Neill"},
            lambda r: (r["appointment_status"], r["doctor_name"]) == ("Attended", "Dr. O'Neill"),
        ),
        (
            "appointments",
            {"date_from": "2024-03-02", "date_to": "2024-03-05"},
            lambda r: 2 <= r["appointment_date"].day <= 5,
        ),
        ("appointments", {"appointment_reason": "Check-up%"}, lambda r: False),
        (
            "app_profiles",
            {"traffic_source": "Meta Ads"},
            lambda r: r["traffic_source"] == "Meta Ads",
        ),
        ("app_profiles", {"device_like": "android"}, lambda r: "android" in r["device"].lower()),
        ("app_profiles", {"device_like": "%"}, lambda r: "%" in r["device"]),
        ("app_profiles", {"device_like": "_"}, lambda r: "_" in r["device"]),
        ("app_profiles", {"device_like": "0%_"}, lambda r: "0%_" in r["device"]),
        ("app_profiles", {"device_like": "\\"}, lambda r: False),
    ],
)
def test_filters(
    client: httpx.Client,
    path: str,
    asked: dict[str, str],
    kept: Callable[[dict[str, Any]], bool],
) -> None:
    key = next(iter(KEYS[path]))
    expected = sorted(row[key] for row in ROWS[TABLE_OF[path]] if kept(row))
    found = get(client, path, **asked)
    assert [row[key] for row in found["data"]] == expected
    assert found["total"] == len(expected)


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("ab_events", {"since": "1709251200"}),
        ("ab_events", {"before": "soon"}),
        ("appointments", {"date_from": "01.03.2024"}),
        ("app_profiles", {"device_like": "\x00"}),
        ("app_profiles", {"device": "iOS 17.1"}),
    ],
)
def test_a_bad_parameter_is_named(client: httpx.Client, path: str, asked: dict[str, str]) -> None:
    answer = client.get(f"{V1}/{path}/", params=asked)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(f"{next(iter(asked))}: ")


def test_the_address_without_a_slash_is_the_same(client: httpx.Client) -> None:
    """As the downstream jobs of the brief ask."""
    asked = {"limit": 1000, "group": "Test"}
    proxied = {"Host": "localhost", "Authorization": "none"}
    moved = client.get(f"{V1}/ab_events", params=asked, headers=proxied)
    assert moved.headers["location"] == "./ab_events/?limit=1000&group=Test"
    answer = client.get(f"{V1}/ab_events", params=asked, follow_redirects=True)
    assert answer.json() == get(client, "ab_events", group="Test")


def test_nothing_but_the_pseudonym_is_known_of_a_patient(client: httpx.Client) -> None:
    schema = client.get(f"{V1}/tables/clinic.fct_ab_events/schema").json()
    (patient,) = [column for column in schema["columns"] if column["name"] == "patient_id"]
    assert "hash" in patient["description"]
