"""The rules of the ad metrics once more: slow, obvious, row by row, in exact fractions.

Belongs here: what the landing folders say about every entity and day, by the written rules alone.
Does not belong here: anything of the package under test.
"""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

START, CONVERT, CANCEL_TRIAL = "RC Trial started", "RC Trial converted", "RC Trial cancelled"
PURCHASE, RENEW, CANCEL = "RC Initial purchase", "RC Renewal", "RC Cancellation"
ORDER = [START, PURCHASE, CONVERT, CANCEL_TRIAL, RENEW, CANCEL]
AXES = ("country", "region", "device")
LEVELS = ("region", "country", "store", "product")
LISTS = {
    "trial": "trial_user_ids",
    "post_trial": "post_trial_user_ids",
    "converted": "converted_user_ids",
    "trial_refund": "trial_refund_user_ids",
    "purchase": "purchase_user_ids",
    "purchase_refund": "purchase_refund_user_ids",
}


def rounded(value: Fraction, places: int) -> Fraction:
    """Half away from zero."""
    scaled = abs(value) * 10**places
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return Fraction(whole if value >= 0 else -whole, 10**places)


def divided(top: Fraction | int, bottom: Fraction | int, places: int) -> Fraction:
    return rounded(Fraction(top) / Fraction(bottom), places) if bottom > 0 else Fraction(0)


@dataclass(frozen=True)
class Event:
    name: str
    user: str
    moment: int
    insert_id: str
    product: str
    usd: Fraction
    store: str | None
    country: str | None

    @property
    def day(self) -> date:
        return datetime.fromtimestamp(self.moment, timezone.utc).date()


@dataclass
class UserProduct:
    user: str
    product: str
    credited: date
    events: list[Event]
    preceded: bool
    profile: dict[str, Any]
    reason: str = ""
    paid: list[tuple[str, date, int, Fraction]] = field(default_factory=list)
    refunds: list[tuple[str, date, Fraction]] = field(default_factory=list)
    bucket: Fraction = Fraction(0)
    rates: dict[str, tuple[Fraction, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reason = "event before the start" if self.preceded else self._offence()

    # The brief's rules in its order, as one reads them there.
    def _offence(self) -> str:  # noqa: C901
        trial: date | None = None
        trial_over = converted = purchased = False
        paid = ""
        offence = ""
        for event in self.events:
            late = trial is not None and (event.day - trial).days > 31
            wrong = ""
            if event.name == START:
                wrong = "more than one trial start" if trial else ""
                trial = trial or event.day
            elif event.name in (CONVERT, CANCEL_TRIAL):
                if trial is None:
                    wrong = "conversion or trial cancellation without a start"
                elif late:
                    wrong = "conversion or trial cancellation too late"
                if event.name == CONVERT:
                    converted, paid = True, "trial"
                    self.paid.append(("trial", event.day, event.moment, event.usd))
                else:
                    trial_over = True
            elif event.name == PURCHASE:
                if purchased:
                    wrong = "more than one initial purchase"
                elif converted:
                    wrong = "initial purchase after a conversion"
                elif trial and not trial_over and not late:
                    wrong = "initial purchase during a trial"
                purchased, paid = True, "purchase"
                self.paid.append(("purchase", event.day, event.moment, event.usd))
            else:
                if not (converted or purchased):
                    wrong = "renewal or cancellation without a subscription"
                if event.name == CANCEL and event.usd < 0 and paid:
                    self.refunds.append((paid, event.day, -event.usd))
            offence = offence or wrong
        return offence

    @cached_property
    def is_trial(self) -> bool:
        return any(event.name == START for event in self.events)

    @cached_property
    def is_purchase(self) -> bool:
        return any(kind == "purchase" for kind, *_ in self.paid)

    @cached_property
    def store(self) -> str:
        return next((e.store for e in self.events if e.store), "unknown")

    def revenue(self, kind: str) -> Fraction:
        return sum((usd for k, _, _, usd in self.paid if k == kind), Fraction(0))

    def first_paid(self, kind: str) -> tuple[date, int, Fraction] | None:
        return next(((d, m, usd) for k, d, m, usd in self.paid if k == kind), None)

    def refunded(self, kind: str) -> Fraction:
        return sum((usd for k, _, usd in self.refunds if k == kind), Fraction(0))

    def refund_day(self, kind: str) -> date | None:
        return min((d for k, d, _ in self.refunds if k == kind), default=None)

    def cohort(self, level: str) -> tuple:
        keys = [self.product, self.bucket, self.store]
        keys += [self.profile["country"], self.profile["region"]]
        return tuple(keys[: 5 - LEVELS.index(level)])

    def outcome(self, rate: str) -> tuple[date, date | None] | None:
        """The day on which it counts for a rate, and that on which it counts as a success."""
        after, success = None, None
        if rate == "conversion" and self.is_trial:
            after = self.credited + timedelta(days=8)
            conversion = self.first_paid("trial")
            success = conversion[0] if conversion else None
        elif rate == "trial_refund" and self.is_trial and self.first_paid("trial"):
            after = self.credited + timedelta(days=38)
            success = self.refund_day("trial")
        elif rate == "purchase_refund" and self.is_purchase:
            bought = self.first_paid("purchase")
            assert bought
            after = max(self.credited + timedelta(days=31), bought[0])
            success = self.refund_day("purchase")
        return (after, max(after, success) if success else None) if after else None


class Reference:
    """All metrics of two landing folders; ``rows`` maps a key to a row of either table."""

    def __init__(self, mixpanel: Path, meta: Path) -> None:
        self._meta = meta
        self._countries = _mapping(meta / "meta_country_mapping.csv", "country_code")
        self._devices = _mapping(meta / "meta_device_mapping.csv", "platform")
        self._rates = {
            (date.fromisoformat(path.stem), row["currency"]): Fraction(row["usd_rate"])
            for path in (mixpanel / "currency_fx").glob("*.csv")
            for row in csv.DictReader(path.open())
        }
        events, self.horizon = self._read_events(mixpanel / "events")
        self.user_products = self._user_products(events, _profiles(mixpanel / "users"))
        self._valid = [one for one in self.user_products if not one.reason]
        for one in self._valid:
            one.bucket = self._bucket(one)
        for one in self._valid:
            for rate, default in (
                ("conversion", 25),
                ("trial_refund", 20),
                ("purchase_refund", 40),
            ):
                one.rates[rate] = self._rate(one, rate, default)
        self.rows = self._metrics()

    def _read_events(self, folder: Path) -> tuple[list[Event], date]:
        latest: dict[tuple, tuple[int, dict]] = {}
        horizon = date.min
        for path in folder.glob("*.jsonl"):
            for line in path.read_text().splitlines():
                record = json.loads(line)
                fields = record.get("properties", record)
                name = record.get("event") or record["event_name"]
                key = (name, fields["distinct_id"], fields["time"], fields["$insert_id"])
                arrival = fields["mp_processing_time_ms"]
                if key not in latest or arrival > latest[key][0]:
                    latest[key] = (arrival, fields)
        found = []
        for (name, user, moment, insert_id), (_, fields) in latest.items():
            day = datetime.fromtimestamp(moment, timezone.utc).date()
            horizon = max(horizon, day)
            if name in ORDER:
                revenue = Fraction(str(fields["revenue"] or 0))
                rate = Fraction(1)
                if revenue and fields["currency"] != "USD":
                    rate = self._rates[day, fields["currency"]]
                usd = rounded(revenue * rate, 2)
                product = fields["product_id"] or "unknown"
                found.append(
                    Event(
                        name,
                        user,
                        moment,
                        insert_id,
                        product,
                        usd,
                        fields["store"],
                        fields["country"],
                    )
                )
        return found, horizon

    def _user_products(self, events: list[Event], profiles: dict[str, dict]) -> list[UserProduct]:
        own: dict[tuple[str, str], list[Event]] = defaultdict(list)
        seen_in: dict[str, tuple] = {}
        for event in events:
            own[event.user, event.product].append(event)
            if event.country:
                seen = (event.moment, event.insert_id, event.country)
                seen_in[event.user] = min(seen_in.get(event.user, seen), seen)
        found = []
        for (user, product), events_of in own.items():
            starts = [e.day for e in events_of if e.name in (START, PURCHASE)]
            converted = [e.day for e in events_of if e.name == CONVERT]
            if starts:
                credited = min(starts)
            elif converted:
                credited = min(converted) - timedelta(days=7)
            else:
                credited = min(e.day for e in events_of)
            counted = sorted(
                (e for e in events_of if credited <= e.day <= credited + timedelta(days=60)),
                key=lambda e: (e.moment, ORDER.index(e.name), e.insert_id),
            )
            profile = profiles.get(user, {})
            described = {
                "campaign": profile.get("abi_~campaign_id"),
                "adset": profile.get("abi_~ad_set_id"),
                "ad": profile.get("abi_~ad_id"),
                "country": self._country(
                    profile.get("country") or seen_in.get(user, (0, "", None))[2]
                ),
                "region": profile.get("region") or "unknown",
                "device": self._devices.get((profile.get("device") or "").lower(), "unknown"),
            }
            preceded = any(e.day < credited for e in events_of)
            found.append(UserProduct(user, product, credited, counted, preceded, described))
        return found

    def _country(self, value: str | None) -> str:
        if not value:
            return "unknown"
        if value.lower() in self._countries:
            return self._countries[value.lower()]
        return value.upper() if len(value) == 2 and value.isalpha() else "unknown"

    # ---- prices and rates -----------------------------------------------------------------------

    @cached_property
    def _payments(self) -> list[tuple[str, str, str, date, int, Fraction]]:
        """(kind, country, product, day, moment, price) of first payments that cost something."""
        return [
            (kind, one.profile["country"], one.product, paid[0], paid[1], price)
            for one in self._valid
            for kind in ("trial", "purchase")
            for paid in [one.first_paid(kind)]
            if paid
            for price in [paid[2]]
            if price > 0
        ]

    def _bucket(self, one: UserProduct) -> Fraction:
        """The bucket of the price paid, or for a trial of the price paid last before."""
        country, kind = one.profile["country"], "purchase"
        if one.is_trial:
            kind = "trial"
            known = [
                (day, moment, price, where)
                for k, where, product, day, moment, price in self._payments
                if k == "trial" and product == one.product and day <= one.credited
            ]
            here = [(day, moment, price) for day, moment, price, where in known if where == country]
            if here:
                price = max(here)[2]
            elif known:
                _, _, price, country = max(known)
            else:
                return Fraction(0)
        else:
            bought = one.first_paid("purchase")
            assert bought
            price = bought[2]
        prices = sorted(
            {
                p
                for k, where, product, day, _, p in self._payments
                if (k, where, product) == (kind, country, one.product) and day <= one.credited
            }
        )
        bucket: list[Fraction] = []
        for upper in prices:
            if bucket and upper - bucket[-1] > max(Fraction("0.175") * upper, Fraction(5)):
                if price in bucket:
                    break
                bucket = []
            bucket.append(upper)
        return (
            rounded(sum(bucket, Fraction(0)) / len(bucket), 2) if price in bucket else Fraction(0)
        )

    @cached_property
    def _outcomes(self) -> dict[tuple[str, str, tuple], list[tuple[date, date | None]]]:
        found: dict[tuple[str, str, tuple], list] = defaultdict(list)
        for one in self._valid:
            for rate in ("conversion", "trial_refund", "purchase_refund"):
                outcome = one.outcome(rate)
                if outcome:
                    for level in LEVELS:
                        found[rate, level, one.cohort(level)].append(outcome)
        return found

    def _rate(self, one: UserProduct, rate: str, default: int) -> tuple[Fraction, str]:
        for level in LEVELS:
            outcomes = self._outcomes.get((rate, level, one.cohort(level)), [])
            matured = sum(day <= one.credited for day, _ in outcomes)
            if matured >= 12:
                succeeded = sum(bool(day) and day <= one.credited for _, day in outcomes)
                return divided(100 * succeeded, matured, 4), level
        return Fraction(default), "default"

    def age(self, one: UserProduct) -> int:
        return (self.horizon - one.credited).days

    def value(self, one: UserProduct) -> Fraction:
        age = self.age(one)
        kept = {kind: 1 - one.rates[f"{kind}_refund"][0] / 100 for kind in ("trial", "purchase")}
        value = Fraction(0)
        if one.is_trial:
            if age <= 7:
                value += rounded(one.bucket * one.rates["conversion"][0] / 100 * kept["trial"], 2)
            elif age <= 37:
                value += rounded(one.revenue("trial") * kept["trial"], 2)
            else:
                value += one.revenue("trial") - one.refunded("trial")
        if one.is_purchase:
            if age <= 30:
                value += rounded(one.revenue("purchase") * kept["purchase"], 2)
            else:
                value += one.revenue("purchase") - one.refunded("purchase")
        return value

    # ---- metrics --------------------------------------------------------------------------------

    def _metrics(self) -> dict[tuple, dict[str, Any]]:
        cells: dict[tuple, _Cell] = defaultdict(_Cell)
        for one in self._valid:
            if one.profile["ad"]:
                for entity in ("campaign", "adset", "ad"):
                    if one.profile[entity]:
                        for axis, value in self._axes(one.profile):
                            key = (entity, one.profile[entity], one.credited, axis, value)
                            cells[key].users[one.user].append(one)
        for ad, day, axis, value, numbers in self._performance():
            for entity in ("campaign", "adset", "ad"):
                cells[entity, ad[entity], day, axis, value].meta.update(numbers)
        return {
            key: cell.row(self)
            for key, cell in cells.items()
            if cell.users or any(cell.meta.values())
        }

    @staticmethod
    def _axes(profile: dict[str, Any]) -> list[tuple[str, str]]:
        return [("", ""), *((axis, profile[axis]) for axis in AXES)]

    def _performance(self) -> list[tuple[dict, date, str, str, Counter]]:
        found = []
        totals: dict[tuple, Counter] = {}
        parts: dict[tuple, Counter] = defaultdict(Counter)
        for axis in ("", *AXES):
            folder = self._meta / f"ad_performance_daily{'_' + axis if axis else ''}"
            for path in folder.glob("*.jsonl"):
                for line in path.read_text().splitlines():
                    row = json.loads(line)
                    ad = (row["campaign_id"], row["adset_id"], row["ad_id"])
                    day = date.fromisoformat(row["date_start"])
                    actions = {a["action_type"]: int(a["value"]) for a in row.get("actions", [])}
                    numbers = Counter(
                        {
                            "spend": Fraction(row["spend"]),
                            "impressions": int(row["impressions"]),
                            "clicks": int(row["clicks"]),
                            "trials": actions.get("start_trial_total", 0),
                            "purchases": actions.get("omni_purchase", 0),
                        }
                    )
                    value = ""
                    if axis:
                        parts[ad, day, axis].update(numbers)
                        raw = row["impression_device"] if axis == "device" else row[axis]
                        value = {
                            "country": self._country(raw),
                            "region": raw,
                            "device": self._devices.get(raw, "unknown"),
                        }[axis]
                    else:
                        totals[ad, day] = numbers
                    found.append((_named(ad), day, axis, value, numbers))
        for (ad, day), whole in totals.items():
            for axis in AXES:
                rest = Counter(whole)
                rest.subtract(parts[ad, day, axis])
                found.append((_named(ad), day, axis, "unknown", rest))
        return found


class _Cell:
    """Users and Meta's numbers of one entity, day and breakdown value."""

    def __init__(self) -> None:
        self.users: dict[str, list[UserProduct]] = defaultdict(list)
        self.meta: Counter = Counter()

    def row(self, all_of: Reference) -> dict[str, Any]:
        lists: dict[str, list[str]] = {name: [] for name in LISTS}
        expected = dict.fromkeys(("conversion", "trial_refund", "purchase_refund"), Fraction(0))
        revenue = refunds = estimated = Fraction(0)
        for user, products in sorted(self.users.items()):
            belongs = {
                "trial": any(p.is_trial for p in products),
                "post_trial": any(p.is_trial and all_of.age(p) >= 7 for p in products),
                "converted": any(
                    p.is_trial and all_of.age(p) >= 7 and p.first_paid("trial") for p in products
                ),
                "trial_refund": any(
                    p.is_trial and all_of.age(p) >= 7 and p.refund_day("trial") for p in products
                ),
                "purchase": any(p.is_purchase for p in products),
                "purchase_refund": any(p.refund_day("purchase") for p in products),
            }
            for name, yes in belongs.items():
                if yes:
                    lists[name].append(user)
            for rate, who in (
                ("conversion", [p for p in products if p.is_trial]),
                (
                    "trial_refund",
                    [
                        p
                        for p in products
                        if p.is_trial and all_of.age(p) >= 7 and p.first_paid("trial")
                    ],
                ),
                ("purchase_refund", [p for p in products if p.is_purchase]),
            ):
                if who:
                    rates = [p.rates[rate][0] for p in who]
                    expected[rate] += divided(sum(rates), len(rates), 4)
            for p in products:
                revenue += p.revenue("trial") + p.revenue("purchase")
                refunds += p.refunded("trial") + p.refunded("purchase")
                estimated += all_of.value(p)
        n = {name: len(users) for name, users in lists.items()}
        meta = self.meta
        spend = meta["spend"]
        accuracy = {}
        for kind, theirs in (("trial", meta["trials"]), ("purchase", meta["purchases"])):
            accuracy[kind] = (
                Fraction(100 * n[kind], theirs) if theirs > 0 else Fraction(100 if n[kind] else 0)
            )
        ratio = accuracy["trial"] if n["trial"] >= n["purchase"] else accuracy["purchase"]
        adjusted = rounded(estimated / (ratio / 100), 2) if ratio else estimated
        return {
            "meta_spend": spend,
            "meta_impressions": meta["impressions"],
            "meta_clicks": meta["clicks"],
            "meta_trial_count": meta["trials"],
            "meta_purchase_count": meta["purchases"],
            **{f"mixpanel_{name}_count": count for name, count in n.items()},
            **{
                LISTS[name]: json.dumps(users, separators=(",", ":"))
                for name, users in lists.items()
            },
            "actual_revenue_usd": revenue,
            "actual_refunds_usd": refunds,
            "net_actual_revenue_usd": revenue - refunds,
            "estimated_revenue_usd": estimated,
            "trial_conversion_rate_total": expected["conversion"],
            "trial_refund_rate_total": expected["trial_refund"],
            "purchase_refund_rate_total": expected["purchase_refund"],
            "trial_conversion_rate_estimated": divided(expected["conversion"], n["trial"], 4),
            "trial_conversion_rate_actual": divided(100 * n["converted"], n["post_trial"], 4),
            "trial_refund_rate_estimated": divided(expected["trial_refund"], n["converted"], 4),
            "trial_refund_rate_actual": divided(100 * n["trial_refund"], n["converted"], 4),
            "purchase_refund_rate_estimated": divided(
                expected["purchase_refund"], n["purchase"], 4
            ),
            "purchase_refund_rate_actual": divided(100 * n["purchase_refund"], n["purchase"], 4),
            "trial_accuracy_ratio": rounded(accuracy["trial"], 4),
            "purchase_accuracy_ratio": rounded(accuracy["purchase"], 4),
            "mixpanel_cost_per_trial": divided(spend, n["trial"], 2),
            "mixpanel_cost_per_purchase": divided(spend, n["purchase"], 2),
            "meta_cost_per_trial": divided(spend, meta["trials"], 2),
            "meta_cost_per_purchase": divided(spend, meta["purchases"], 2),
            "click_to_trial_rate": divided(100 * n["trial"], meta["clicks"], 4),
            "adjusted_estimated_revenue_usd": adjusted,
            "profit_usd": adjusted - spend,
            "estimated_roas": divided(adjusted, spend, 4),
        }


def _named(ad: tuple[str, str, str]) -> dict[str, str]:
    return dict(zip(("campaign", "adset", "ad"), ad, strict=True))


def _mapping(path: Path, column: str) -> dict[str, str]:
    return {row["meta_value"].lower(): row[column] for row in csv.DictReader(path.open())}


def _profiles(folder: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for path in folder.glob("*.jsonl"):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            user, profile = record["$distinct_id"], record["$properties"]
            if user not in found or profile["$last_seen"] > found[user]["$last_seen"]:
                found[user] = profile
    return found


def comparable(value: Any) -> Any:
    """A stored value as the reference has it."""
    return Fraction(value) if isinstance(value, (int, Decimal)) else value
