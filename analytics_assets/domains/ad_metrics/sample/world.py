"""A made-up world of ads and of users that come from them, drawn from a seed.

Belongs here: who did what and when, and when Mixpanel and Meta came to know of it.
Does not belong here: files (``__init__``).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from typing import Any

from analytics_assets.domains.ad_metrics.words import (
    CANCELLATION,
    INITIAL_PURCHASE,
    RENEWAL,
    TRIAL_CANCELLED,
    TRIAL_CONVERTED,
    TRIAL_STARTED,
)

# Country -> currency, USD for one unit, name in profiles of some clients.
COUNTRIES = {
    "US": ("USD", 1.0, "United States"),
    "GB": ("GBP", 1.27, "United Kingdom"),
    "DE": ("EUR", 1.08, "Germany"),
    "CA": ("CAD", 0.71, "Canada"),
    "NO": ("NOK", 0.09, "Norway"),
}
REGIONS = {
    "US": ("California", "Texas", "New York"),
    "GB": ("England", "Scotland"),
    "DE": ("Bavaria", "Berlin"),
    "CA": ("Ontario", "Quebec"),
    "NO": ("Oslo",),
}
# Meta's device -> store and platform.
DEVICES = {
    "iphone": ("APP_STORE", "ios"),
    "ipad": ("APP_STORE", "ios"),
    "android_smartphone": ("PLAY_STORE", "android"),
    "android_tablet": ("PLAY_STORE", "android"),
    "desktop": ("STRIPE", "web"),
}
# Product -> prices in its currency, early and late: the same product gets dearer.
PRODUCTS = {"gold.weekly": (6.99, 7.99), "gold.yearly": (39.99, 59.99), "gold.lifetime": (99.0,)}
MOST_LATE_DAYS = 4
# Age in days of Meta's numbers -> share of them that is known: its attribution windows end then.
RESTATED = ((0, 0.6), (1, 0.75), (7, 0.9), (28, 1.0))


@dataclass(frozen=True)
class Sent:
    """A line of Mixpanel's export: the day of the event, and the day on which it arrived."""

    day: date
    arrived: date
    line: dict[str, Any]


@dataclass(frozen=True)
class Profile:
    """A line of the people export, and the day from which it is there."""

    since: date
    line: dict[str, Any]


@dataclass(frozen=True)
class Report:
    """An ad's final numbers of a day, and how they fall on each axis."""

    day: date
    ad: dict[str, str]
    spend_cents: int
    impressions: int
    clicks: int
    trials: int
    purchases: int
    shares: dict[str, dict[str, float]]


@dataclass(frozen=True)
class World:
    """All that ever comes to be known."""

    first: date
    last: date
    sent: list[Sent]
    profiles: list[Profile]
    reports: list[Report]


def draw(seed: int, first: date, days: int, ads: int, users: int) -> World:
    """``days`` days with ``ads`` ads and about ``users`` new users a day."""
    rng = random.Random(f"ads {seed}")
    last = first + timedelta(days=days - 1)
    placed = _Placement(rng, first, days, ads)
    world = World(first, last, [], [], [])
    for offset in range(days):
        day = first + timedelta(days=offset)
        for number in range(rng.randint(max(0, users - users // 3), users + users // 3)):
            _User(rng, world, placed, day, f"{seed:x}-{offset:03d}-{number:05d}").live()
        world.reports.extend(_reports(rng, placed, day, users / ads))
    # What lies after the last day did not happen yet.
    kept = [sent for sent in world.sent if sent.day <= last and sent.arrived <= last]
    rng.shuffle(kept)
    world.sent[:] = kept
    return world


class _Placement:
    """Which adset and campaign each ad stands in on a day; every fifth ad moves once."""

    def __init__(self, rng: random.Random, first: date, days: int, ads: int) -> None:
        self._moves: list[tuple[date, int, int]] = []
        for number in range(ads):
            moves = number % 5 == 4
            day = first + timedelta(days=rng.randint(1, max(1, days - 1))) if moves else date.max
            self._moves.append((day, number // 3, (number // 3 + 1) % max(1, -(-ads // 3))))
        self.renamed_on = first + timedelta(days=days // 3)

    def ad(self, number: int, day: date) -> dict[str, str]:
        moved_on, before, after = self._moves[number]
        adset = after if day >= moved_on else before
        campaign = adset // 2
        suffix = " v2" if number % 4 == 0 and day >= self.renamed_on else ""
        return {
            "campaign_id": f"1201{campaign:04d}",
            "campaign_name": f"Campaign {campaign}",
            "adset_id": f"1202{adset:04d}",
            "adset_name": f"Adset {adset}",
            "ad_id": f"1203{number:04d}",
            "ad_name": f"Ad {number}{suffix}",
        }

    def __len__(self) -> int:
        return len(self._moves)


class _User:
    """One user, who writes events into the world as they live."""

    def __init__(
        self, rng: random.Random, world: World, placed: _Placement, day: date, key: str
    ) -> None:
        self._rng = rng
        self._world = world
        self._day = day
        self._id = f"$device:{key}"
        self._number = 0
        self._country = rng.choice([*COUNTRIES, "US", "US", "GB"])
        self._device = rng.choice([*DEVICES, "iphone", "iphone"])
        self._flat = rng.random() < 0.3
        self._profile(placed)

    def _profile(self, placed: _Placement) -> None:
        rng = self._rng
        if rng.random() < 0.05:
            return
        country = self._country if rng.random() < 0.8 else COUNTRIES[self._country][2]
        properties: dict[str, Any] = {
            "country": None if rng.random() < 0.03 else country,
            "region": None if rng.random() < 0.05 else rng.choice(REGIONS[self._country]),
            "device": "toaster" if rng.random() < 0.03 else self._device,
            "$last_seen": f"{self._day.isoformat()}T10:00:00",
            "$email": "nobody@example.org",
        }
        if rng.random() < 0.85:
            ad = placed.ad(rng.randrange(len(placed)), self._day)
            properties |= {
                "abi_~ad_id": ad["ad_id"],
                "abi_~ad_set_id": ad["adset_id"],
                "abi_~campaign_id": ad["campaign_id"],
            }
        line = {"$distinct_id": self._id, "$properties": properties}
        self._world.profiles.append(Profile(self._day, line))
        if rng.random() < 0.03:
            stale = {**properties, "region": "Elsewhere", "$last_seen": "2000-01-01T00:00:00"}
            stale_line = {"$distinct_id": self._id, "$properties": stale}
            self._world.profiles.append(Profile(self._day, stale_line))

    def live(self) -> None:
        rng = self._rng
        self._send("App opened", 0)
        for product in rng.sample(list(PRODUCTS), 2 if rng.random() < 0.1 else 1):
            kind = rng.random()
            if kind < 0.06:
                self._oddly(product)
            elif kind < 0.74:
                self._trial(product)
            else:
                self._purchase(product)

    def _price(self, product: str) -> float:
        prices = PRODUCTS[product]
        return prices[-1] if self._day >= self._world.first + timedelta(days=30) else prices[0]

    def _trial(self, product: str) -> None:
        rng = self._rng
        self._send(TRIAL_STARTED, 0, product)
        fate = rng.random()
        if fate < 0.45:
            converted = 7 if rng.random() < 0.8 else rng.randint(2, 34)
            self._send(TRIAL_CONVERTED, converted, product, self._price(product))
            self._subscribed(product, converted, 0.18)
        elif fate < 0.8:
            cancelled = rng.randint(0, 33) if rng.random() < 0.1 else rng.randint(0, 7)
            self._send(TRIAL_CANCELLED, cancelled, product)
            if rng.random() < 0.1:
                self._send(INITIAL_PURCHASE, cancelled + 3, product, self._price(product))
            self._send("RC Expiration", cancelled + 7, product)

    def _purchase(self, product: str) -> None:
        self._send(INITIAL_PURCHASE, 0, product, self._price(product))
        self._subscribed(product, 0, 0.3)

    def _subscribed(self, product: str, since: int, refunded: float) -> None:
        rng = self._rng
        price = self._price(product)
        for month in range(1, rng.randint(1, 3)):
            self._send(RENEWAL, since + 30 * month, product, price)
        if rng.random() < 0.2:
            self._send(CANCELLATION, since + rng.randint(0, 20), product, 0)
        if rng.random() < refunded:
            part = price if rng.random() < 0.8 else round(price / 3, 2)
            self._send(CANCELLATION, since + rng.randint(0, 56), product, -part)

    def _oddly(self, product: str) -> None:
        rng = self._rng
        price = self._price(product)
        odd = rng.randrange(6)
        if odd == 0:
            self._send(TRIAL_CONVERTED, 5, product, price)
        elif odd == 1:
            self._send(TRIAL_STARTED, 0, product)
            self._send(TRIAL_STARTED, rng.randint(0, 70), product)
        elif odd == 2:
            self._send(RENEWAL, 0, product, price)
            self._send(TRIAL_STARTED, rng.randint(0, 3), product)
        elif odd == 3:
            self._send(TRIAL_STARTED, 0, product)
            self._send(INITIAL_PURCHASE, rng.randint(0, 40), product, price)
        elif odd == 4:
            self._send(INITIAL_PURCHASE, 0, product, price)
            self._send(INITIAL_PURCHASE, 2, product, price)
        else:
            self._send(CANCELLATION, 1, product, -price)

    def _send(self, event: str, after: int, product: str = "", revenue: float = 0) -> None:
        rng = self._rng
        day = self._day + timedelta(days=after)
        self._number += 1
        # At the same second now and then: the order of events is then that of the rules.
        second = rng.choice((0, 43200, rng.randrange(86400)))
        moment = datetime.combine(day, time(), timezone.utc) + timedelta(seconds=second)
        currency = COUNTRIES[self._country][0]
        fields = {
            "distinct_id": self._id,
            "time": int(moment.timestamp()),
            "$insert_id": f"{self._id}-{self._number}",
            "product_id": product or None,
            "revenue": revenue,
            "currency": currency if product else None,
            "store": DEVICES[self._device][0],
            "country": self._country,
            "period_type": "NORMAL" if revenue else "TRIAL",
            "environment": "PRODUCTION",
        }
        late = 0 if rng.random() < 0.85 else rng.randint(1, MOST_LATE_DAYS)
        self._arrive(event, day, late, fields)
        if rng.random() < 0.04:
            changed = {**fields, "store": "STRIPE"}
            if revenue and rng.random() < 0.5:
                changed["revenue"] = round(revenue + 1, 2)
            self._arrive(event, day, rng.randint(0, MOST_LATE_DAYS), changed)

    def _arrive(self, event: str, day: date, late: int, fields: dict[str, Any]) -> None:
        arrived = day + timedelta(days=late)
        moment = datetime.combine(arrived, time(23), timezone.utc).timestamp() * 1000
        # Never two arrivals of one event at the same moment.
        fields = {**fields, "mp_processing_time_ms": int(moment) + self._rng.randrange(3_000_000)}
        line = (
            {"event_name": event, **fields}
            if self._flat
            else {"event": event, "properties": fields}
        )
        self._world.sent.append(Sent(day, arrived, line))


def _reports(
    rng: random.Random, placed: _Placement, day: date, users_an_ad: float
) -> Iterator[Report]:
    for number in range(len(placed)):
        if rng.random() < 0.07:
            continue
        resting = rng.random() < 0.05
        impressions = 0 if resting else rng.randint(200, 5000)
        yield Report(
            day,
            placed.ad(number, day),
            0 if resting else rng.randint(100, 20_000),
            impressions,
            impressions // rng.randint(20, 80),
            0 if resting else round(users_an_ad * rng.uniform(0, 1.4)),
            0 if resting else round(users_an_ad * rng.uniform(0, 0.6)),
            {
                "country": _shares(rng, list(COUNTRIES)),
                "region": _shares(rng, [r for own in REGIONS.values() for r in own]),
                "device": _shares(rng, list(DEVICES)),
            },
        )


def _shares(rng: random.Random, values: list[str]) -> dict[str, float]:
    """Shares of some values; together mostly a little less than 1, now and then more."""
    chosen = rng.sample(values, rng.randint(1, min(4, len(values))))
    total = rng.choice((1.0, 0.97, 0.9, 1.04))
    weights = [rng.random() + 0.05 for _ in chosen]
    return {v: total * w / sum(weights) for v, w in zip(chosen, weights, strict=True)}
