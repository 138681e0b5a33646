"""Two proportions as published, and which steps of the reminder test they are asked of."""

from __future__ import annotations

import pytest

from analytics_assets.domains.clinic.comparison import two_proportions
from analytics_assets_tests.clinic.landed import EVENT, Folder, Row, event, query, settle


@pytest.mark.parametrize(
    ("counted", "low", "high"),
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((10, 10, 0, 20), 0.6791, 1.0),
    ],
)
def test_intervals_are_those_of_newcombe(
    counted: tuple[int, int, int, int], low: float, high: float
) -> None:
    found = two_proportions(*counted)
    assert (found.low, found.high) == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))
    reached, of, other_reached, of_other = counted
    other = two_proportions(other_reached, of_other, reached, of)
    assert (other.low, other.high) == (pytest.approx(-found.high), pytest.approx(-found.low))
    assert other.p_value == found.p_value


def test_the_p_value_is_that_of_chi_square() -> None:
    # (56 * 32 - 14 * 48)^2 * 150 / (70 * 80 * 104 * 46) = 7.0234, of one degree of freedom.
    assert two_proportions(56, 70, 48, 80).p_value == pytest.approx(0.00804, abs=1e-5)
    assert two_proportions(0, 10, 0, 20).p_value == 1.0


_SELECTED = """select event_name, test_patients, test_reached, control_patients, control_reached,
    round(difference, 2), refusal from clinic.ab_step_comparison order by event_name"""


def _events(first: int, group: str, steps: dict[str, int]) -> list[Row]:
    return [
        event(first + number, group, name, f"2025-03-03 {9 + hour:02}:00:00")
        for hour, (name, patients) in enumerate(steps.items())
        for number in range(patients)
    ]


def test_steps_that_both_groups_log_are_compared(drop: Folder) -> None:
    test = _events(
        0, "Test", {"reminder_sent": 40, "reminder_viewed": 30, "attended_appointment": 26}
    )
    control = _events(1000, "Control", {"reminder_sent": 50, "attended_appointment": 20})
    twice = [event(1, "Test", "attended_appointment", "2025-03-04 10:00:00")]
    both = [event(2000, "Test"), event(2000, "Control", "attended_appointment")]
    drop.send(EVENT, [*test, *control, *twice, *both])
    settle()
    assert query(_SELECTED) == [
        ("appointment_confirmed", 40, 0, 50, 0, None, "neither group logs it"),
        ("attended_appointment", 40, 26, 50, 20, pytest.approx(25), None),
        ("reminder_viewed", 40, 30, 50, 0, None, "Test alone logs it"),
    ]
    ((low, high, p_value),) = query(
        "select difference_low, difference_high, p_value from clinic.ab_step_comparison"
        " where event_name = 'attended_appointment'"
    )
    expected = two_proportions(26, 40, 20, 50)
    assert float(low) == pytest.approx(100 * expected.low, abs=1e-4)
    assert float(high) == pytest.approx(100 * expected.high, abs=1e-4)
    assert float(p_value) == pytest.approx(expected.p_value, abs=1e-6)


def test_a_one_sided_log_is_refused(drop: Folder) -> None:
    steps = {"reminder_sent": 40, "attended_appointment": 26}
    own = _events(0, "Test", steps)
    drop.send(EVENT, [*own, *_events(1000, "Control", {"attended_appointment": 20})])
    settle()
    ((refusal,),) = query(
        "select refusal from clinic.ab_step_comparison where event_name = 'attended_appointment'"
    )
    assert refusal == "Control logs no reminder_sent: of how many patients it consists is not known"
    # Ten of Control's reminders are logged, of the twenty patients who came.
    holes = _events(1000, "Control", {"reminder_sent": 10, "attended_appointment": 20})
    drop.send(EVENT, [*own, *holes])
    settle()
    ((refusal,),) = query(
        "select refusal from clinic.ab_step_comparison where event_name = 'attended_appointment'"
    )
    assert refusal == (
        "10 of 20 patients of Control who have it have no reminder_sent: its log has holes"
    )
