"""Small exports that were once read wrongly, each with its right value."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_assets import registry, settings
from analytics_assets.core.refusals import DeclarationError
from analytics_assets.domains.ad_metrics.coverage import LONGEST, coverage
from analytics_assets.domains.ad_metrics.tables import TABLES
from analytics_assets.domains.ad_metrics.words import event_names
from analytics_assets.landing.files import LandedFile
from analytics_assets.warehouse.lake import Lake
from analytics_assets_tests.ad_metrics.landed import (
    AllAtOnce,
    all_at_once,
    case,
    empty_folders,
    point_at,
    settle,
)
from analytics_assets_tests.workspace import Workspace, failures

OUTCOME = (
    "date::varchar, mixpanel_trial_count, mixpanel_converted_count, actual_revenue_usd",
    "daily_mixpanel_metrics",
    "where entity_type = 'ad' and mixpanel_trial_count + mixpanel_purchase_count > 0 order by all",
)

AD_ROWS = "where entity_type = 'ad'"


def days(first: int, last: int, value: str) -> dict[str, str]:
    return {f"2025-01-{day:02}": value for day in range(first, last + 1)}


def touch(mixpanel: Path, meta: Path) -> None:
    """The file of a window came after those of its days."""
    (window,) = (meta / "ad_performance_daily").glob("*_*")
    os.utime(window, ns=(2**61, 2**61))


CASES: dict[str, tuple[Callable[[AllAtOnce], object], object]] = {
    "other/01_ads_empty_file_last": (AllAtOnce.spend, days(1, 1, "70.00")),
    "other/05_ads_equal_sums_plot": (AllAtOnce.spend, days(1, 5, "10.00")),
    "other/07_meta_week_in_a_row": (AllAtOnce.spend, {}),
    "other/08_meta_restated_window": (AllAtOnce.spend, days(1, 7, "12.50")),
    "other/09_nul_in_text": (
        lambda found: found.rows(
            "breakdown_value, meta_spend",
            "daily_mixpanel_metrics_breakdown",
            "where entity_type = 'campaign' and breakdown_type = 'region'",
        ),
        [("Texas", "10.00")],
    ),
    "other/10_lone_surrogate": (
        lambda found: (found.spend(), found.rows("distinct distinct_id", "user_product_starts")),
        (days(1, 1, "10.00"), [("u1",), ("u2",)]),
    ),
    "other/11_property_named_event": (
        lambda found: found.rows(*OUTCOME),
        [("2025-01-01", 1, 0, "0.00")],
    ),
    "other/12_revenue_usd_with_currency": (
        lambda found: found.rows(*OUTCOME),
        [("2025-01-01", 0, 0, "10.00")],
    ),
    "other/14_no_insert_id_two_products": (
        lambda found: found.rows(*OUTCOME),
        [("2025-01-01", 0, 0, "12.00")],
    ),
    "other/15_identity_merge": (
        lambda found: found.rows(*OUTCOME),
        [("2025-01-01", 1, 1, "9.99")],
    ),
    "other/17_mixed_newlines": (
        lambda found: found.rows("sum(mixpanel_trial_count)::int", *OUTCOME[1:2], AD_ROWS),
        [(3,)],
    ),
    "other/26_revenuecat_default_names": (
        lambda found: found.rows(*OUTCOME),
        [("2025-01-01", 1, 1, "9.99")],
    ),
    "more/02_meta_date_start_with_time": (AllAtOnce.spend, days(11, 14, "100.00")),
}


@pytest.mark.parametrize("name", CASES)
def test_a_shared_case_has_its_right_value(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = case(name, monkeypatch, tmp_path)
    if "window" in name:
        touch(*folders)
    told, right = CASES[name]
    with all_at_once() as found:
        assert told(found) == right
        week = {why for (table, _), why in found.refused.items() if table == "ad_performance_daily"}
    assert ("time_increment=1" in "".join(week)) == ("week" in name)


@pytest.mark.slow
def test_days_of_equal_spend_are_materialised(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all that a run shows of them: pictures are drawn of what the metadata hold."""
    case("other/05_ads_equal_sums_plot", monkeypatch, tmp_path / "case")
    assert failures(workspace.refresh(tables=TABLES)) == []
    spend = "select date::text, sum(meta_spend)::text from ad_metrics.daily_mixpanel_metrics"
    found = workspace.production(f"{spend} where entity_type = 'ad' group by 1 order by 1")
    assert {day: f"{float(sum_):.2f}" for day, sum_ in found} == days(1, 5, "10.00")


def test_a_day_that_is_not_whole_is_refused_or_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case("other/03_mixpanel_lines_that_are_no_event", monkeypatch, tmp_path)
    with all_at_once() as found:
        rejected = found.rows("distinct file", "rejected_record")
        # An array is read like lines.
        assert found.rows("count(*)", "user_product_events", "where event_date = '2025-01-02'") == [
            (1,)
        ]
    told = [*(day for table, day in found.refused if table == "mixpanel_events"), *rejected]
    for day in ("2025-01-01", "2025-01-03", "2025-01-04"):
        assert day in str(told)


def test_a_mistyped_year_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case("other/27_one_misnamed_day", monkeypatch, tmp_path)
    with all_at_once() as found:
        said = [why for why in found.refused.values() if "2015" in why]
        assert len(said) == 1
        assert "2015-01-01.jsonl" in said[0]
        assert "2015-01-02 to 2024-12-31" in said[0]
    assert sum("2015" in problem for problem in registry.problems(TABLES)) == 1


# ---- made up ------------------------------------------------------------------------------------

AD = {"ad_id": "9", "adset_id": "8", "campaign_id": "7", "impressions": "1"}


def insight(day: str, spend: str, **more: object) -> dict[str, object]:
    """A row of Meta's."""
    return {**AD, "spend": spend, "date_start": day, "date_stop": day, **more}


def event(name: str, moment: int, **properties: object) -> dict[str, object]:
    """An event of Mixpanel's, ``moment`` seconds into 2025."""
    at = {"distinct_id": "u", "time": 1735689600 + moment, "$insert_id": f"{name} {moment}"}
    return {"event": name, "properties": {**at, "product_id": "gold", **properties}}


def profile(user: str, **properties: object) -> dict[str, object]:
    came = {"abi_~ad_id": "9", "abi_~ad_set_id": "8", "abi_~campaign_id": "7"}
    return {"$distinct_id": user, "$properties": {**came, **properties}}


class Folders:
    """Two landing folders, and what is written into them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.mixpanel, self.meta = point_at(monkeypatch, folder)
        empty_folders(self.mixpanel, self.meta)
        self._clock = 1_700_000_000

    def write(self, path: Path, *lines: object) -> None:
        """Each file comes a second after the one before."""
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        self._clock += 1
        os.utime(path, (self._clock, self._clock))

    def ads(self, axis: str, name: str, *lines: object) -> None:
        below = f"ad_performance_daily{'_' if axis else ''}{axis}"
        self.write(self.meta / below / f"{name}.jsonl", *lines)

    def events(self, day: str, *lines: object) -> None:
        self.write(self.mixpanel / "events" / f"{day}.jsonl", *lines)

    def users(self, *lines: object) -> None:
        self.write(self.mixpanel / "users" / "people.jsonl", *lines)

    def mapping(self, name: str, *lines: str) -> None:
        (self.meta / f"meta_{name}_mapping.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folders:
    return Folders(tmp_path, monkeypatch)


def broken_down(found: AllAtOnce, axis: str, column: str = "meta_spend") -> dict[str, str]:
    """Value of a breakdown -> number of all ads."""
    where = f"where entity_type = 'ad' and breakdown_type = '{axis}' and {column} <> 0"
    return dict(found.rows(f"breakdown_value, {column}", "daily_mixpanel_metrics_breakdown", where))


def test_one_value_in_two_spellings_is_one_and_one_name_in_two_countries_is_two(
    folders: Folders,
) -> None:
    day = "2025-01-01"
    folders.mapping("country", "meta_value,country_code", "United States,us", "UNITED STATES,us")
    folders.ads("", day, insight(day, "10"))
    folders.ads(
        "country",
        day,
        *(
            insight(day, "1", country=country)
            for country in ("us", "US", "United States", "united states")
        ),
    )
    folders.ads(
        "region",
        day,
        insight(day, "1", region="Limburg", country="NL"),
        insight(day, "2", region="Limburg", country="be"),
        insight(day, "4", region="S\u00e3o Paulo", country="BR"),
        insight(day, "1", region="Sa\u0303o Paulo", country="BR"),
    )
    folders.events(day, event("RC Trial started", 0), event("RC Trial started", 1, distinct_id="v"))
    folders.users(
        profile("u", country="NL", region="Limburg"),
        profile("v", country="br", region="Sa\u0303o Paulo"),
    )
    with all_at_once() as found:
        assert set(found.refused) <= {("ad_performance_daily_device", day)}
        assert broken_down(found, "country") == {"US": "4.00", "unknown": "6.00"}
        assert broken_down(found, "region") == {
            "Limburg, BE": "2.00",
            "Limburg, NL": "1.00",
            "S\u00e3o Paulo, BR": "5.00",
            "unknown": "2.00",
        }
        assert broken_down(found, "region", "mixpanel_trial_count") == {
            "Limburg, NL": 1,
            "S\u00e3o Paulo, BR": 1,
        }


def test_an_ad_by_the_hour_is_a_day_of_it(folders: Folders) -> None:
    day, hours = "2025-01-01", "hourly_stats_aggregated_by_advertiser_time_zone"
    folders.ads(
        "",
        day,
        insight(day, "4.00", ad_name="Ad", **{hours: "00:00:00 - 00:59:59"}),
        insight(day, "3.00", ad_name="Ad", **{hours: "01:00:00 - 01:59:59"}),
    )
    with all_at_once() as found:
        assert found.spend() == {day: "7.00"}
        days_of_name = found.rows("canonical_name, frequency_count", "id_name_mapping")
        assert days_of_name == [("Ad", 1)]


def test_namibia_is_a_country(folders: Folders) -> None:
    day = "2025-01-01"
    folders.mapping("country", "meta_value,country_code", "Namibia,NA")
    folders.ads("", day, insight(day, "3"))
    folders.ads(
        "country", day, insight(day, "1", country="NA"), insight(day, "2", country="Namibia")
    )
    folders.events(day, *(event("RC Trial started", 0, distinct_id=u, country="NA") for u in "uv"))
    folders.users(profile("u", country="NA"), profile("v"))
    with all_at_once() as found:
        assert broken_down(found, "country") == {"NA": "3.00"}
        assert broken_down(found, "country", "mixpanel_trial_count") == {"NA": 2}


PLACEHOLDERS = ("{{ad.id}}", "null", "None", "undefined", "(not set)", "%7B%7Bad.id%7D%7D")


def test_a_placeholder_is_no_ad(folders: Folders) -> None:
    day = "2025-01-01"
    users = [str(number) for number, _ in enumerate(PLACEHOLDERS)]
    folders.events(day, *(event("RC Trial started", 0, distinct_id=user) for user in users))
    folders.users(
        *(
            profile(user, **{"abi_~ad_id": ad})
            for user, ad in zip(users, PLACEHOLDERS, strict=True)
        ),
        profile("null-and-void", **{"abi_~ad_id": "nullify"}),
    )
    folders.ads("", day, insight(day, "1"), insight(day, "1", ad_id="null"))
    with all_at_once() as found:
        origins = found.rows("distinct ad_id", "user_product_starts")
        assert origins == [(None,)]
        report = found.reports["mixpanel_users", "all"]
        # Words for nothing are missing in every text.
        missing = len(found.rows("1", "mixpanel_users", "where ad_id is null"))
        assert report["users whose ad is a placeholder"] + missing == len(PLACEHOLDERS)
        ((reason,),) = found.rows("reason", "rejected_record")
        assert reason in ("an id is a placeholder", "ad_id is missing")
        assert found.spend() == {day: "1.00"}


def test_what_a_developer_bought_is_no_revenue(folders: Folders) -> None:
    day, bought = "2025-01-01", {"revenue": 10, "currency": "USD"}
    folders.events(
        day,
        event("RC Initial purchase", 0, **bought, environment="PRODUCTION"),
        event("RC Initial purchase", 1, **bought, distinct_id="v", environment="sandbox"),
        event("RC Initial purchase", 2, **bought, distinct_id="w"),
    )
    with all_at_once() as found:
        assert found.rows("distinct_id", "user_product_events") == [("u",), ("w",)]
        report = found.reports["mixpanel_events", day]
        assert report["events of the sandbox, kept and not counted"] == 1


def test_an_event_is_called_what_the_document_says_and_not_a_property(folders: Folders) -> None:
    day = "2025-01-01"
    flat = {"event_name": "RC Trial started", "distinct_id": "u", "time": 1735689600}
    folders.events(day, {**flat, "properties": {"event": "button", "distinct_id": "w"}})
    with all_at_once() as found:
        assert found.rows("event, distinct_id", "user_product_events") == [
            ("RC Trial started", "u")
        ]


def test_without_an_id_what_was_bought_tells_events_apart(folders: Folders) -> None:
    day = "2025-01-01"

    def bought(**more: object) -> dict[str, object]:
        return event("RC Renewal", 0, **{"$insert_id": None, "currency": "USD", **more})

    folders.events(
        day,
        bought(revenue=5, transaction_id="1"),
        bought(revenue=5, transaction_id="2"),
        bought(revenue=6),
        bought(revenue=6),
        bought(revenue=7),
        bought(revenue_usd=7),
    )
    folders.events(f"{day}_{day}", bought(revenue=6), bought(revenue=7))
    with all_at_once() as found:
        assert found.rows("revenue_usd", "user_product_events") == [
            (f"{usd}.00",) for usd in (5, 5, 6, 7, 7)
        ]


def test_what_came_under_two_ids_is_one(folders: Folders) -> None:
    """The event once, as it is under the newer id; profiles fill each other's gaps."""
    day, bought = "2025-01-01", {"$insert_id": "1", "currency": "USD"}
    now = {"distinct_id": "now", "$distinct_id_before_identity": "u"}
    folders.events(
        day,
        event("RC Initial purchase", 0, **bought, revenue=5),
        event("RC Initial purchase", 0, **bought, revenue=6, **now),
        event("RC Initial purchase", 0, **bought, revenue=5, distinct_id="v"),
    )
    none = {"abi_~ad_id": "null", "abi_~ad_set_id": None, "abi_~campaign_id": None}
    folders.users(
        profile("u", region="Texas", country="BR"),
        profile("now", country="US", **none, **{"$last_seen": "2020-01-01"}),
        profile("v", country="DE", **none),
    )
    with all_at_once() as found:
        assert found.rows("distinct_id, revenue_usd", "user_product_events") == [
            ("now", "6.00"),
            ("v", "5.00"),
        ]
        assert found.rows("distinct_id, ad_id, country, region", "user_product_starts") == [
            ("now", "9", "US", "Texas"),
            ("v", None, "DE", "unknown"),
        ]


def test_other_names_of_events_are_a_setting() -> None:
    names = event_names("Begun=RC Trial started, a=b=RC Renewal,")
    assert names["Begun"] == names["rc_trial_started_event"] == "RC Trial started"
    assert names["a=b"] == names["rc_renewal_event"] == names["RC Renewal"] == "RC Renewal"
    with pytest.raises(DeclarationError, match="'Begun=Trial' says the name of no event"):
        event_names("Begun=Trial")


@given(st.sets(st.integers(0, 400), min_size=1, max_size=12))
def test_every_day_between_is_required_or_in_a_gap_that_is_told(numbers: set[int]) -> None:
    first = date(2025, 1, 1)
    there = [first + timedelta(days=n) for n in sorted(numbers)]
    found = coverage(LandedFile(Path(f"{d}"), "", 0, (d, d + timedelta(days=1))) for d in there)
    long = [(a, b) for a, b in pairwise(there) if (b - a).days > LONGEST]
    assert found.gaps.keys() == {(a + timedelta(days=1)).isoformat() for a, _ in long}
    required = sorted(map(date.fromisoformat, found.required))
    assert required[0] in there
    assert len(required) == (required[-1] - required[0]).days + 1
    if not long:
        assert (required[0], required[-1]) == (there[0], there[-1])


@pytest.mark.parametrize("country", [True, False])
def test_rates_and_mappings_may_be_missing(folders: Folders, country: bool) -> None:
    """They are needed where there is something to convert, or to map."""
    day = "2025-01-01"
    for axis in ("", "country", "region", "device"):
        folders.ads(axis, day, insight(day, "1", account_currency="usd", country="US"))
    folders.events(day, event("RC Initial purchase", 0, revenue=5, currency="USD"))
    folders.users(profile("u", country="US", device="iphone"))
    if country:
        folders.mapping("country", "meta_value,country_code", "US,US")
    changed, findings = settle(Lake(settings.load().lake))
    assert findings == []
    assert changed["daily_mixpanel_metrics_breakdown"] == [day]
