"""A generated sample in the formats of Mixpanel's and Meta's exports, the same for a seed.

Belongs here: writing a made-up world (``world.py``) as the files that lie in the landing folders
on a given day.
Does not belong here: reading such files.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from analytics_assets.domains.ad_metrics.sample.world import (
    COUNTRIES,
    DEVICES,
    RESTATED,
    Report,
    World,
    draw,
)

FIRST_DAY = date(2025, 1, 1)


def generate(
    mixpanel: Path | None,
    meta_ads: Path | None,
    *,
    seed: int = 2025,
    days: int = 75,
    ads: int = 24,
    users: int = 24,
) -> None:
    """Write ``days`` days of ``ads`` ads and about ``users`` new users a day; ``None`` writes none.

    The same arguments give the same bytes. No days leave landing folders in which nothing landed.
    """
    write(draw(seed, FIRST_DAY, days, ads, users), mixpanel, meta_ads)


def write(
    world: World, mixpanel: Path | None, meta_ads: Path | None, as_of: date | None = None
) -> None:
    """The landing folders as they are at the end of ``as_of`` (default: the last day).

    Later days bring new files, late and doubled events in older ones, and restated numbers of
    Meta. Files that stay the same are left alone.
    """
    as_of = as_of or world.last
    days = [world.first + timedelta(days=n) for n in range((as_of - world.first).days + 1)]
    if mixpanel:
        _write_mixpanel(world, mixpanel, days, as_of)
    if meta_ads:
        _write_meta(world, meta_ads, days, as_of)


def _write_mixpanel(world: World, folder: Path, days: list[date], as_of: date) -> None:
    for name in ("events", "currency_fx"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    lines: dict[date, list[Mapping[str, Any]]] = {day: [] for day in days}
    for sent in world.sent:
        if sent.day in lines and sent.arrived <= as_of:
            lines[sent.day].append(sent.line)
    for day, own in lines.items():
        _save(folder / "events" / f"{day}.jsonl", own)
        rates = "".join(f"{c},{_rate(c, usd, day)}\n" for c, usd, _ in COUNTRIES.values())
        _keep(folder / "currency_fx" / f"{day}.csv", "currency,usd_rate\n" + rates)
    profiles = [profile.line for profile in world.profiles if profile.since <= as_of]
    _save(folder / "users" / "people.jsonl", profiles)


def _rate(currency: str, usd: float, day: date) -> str:
    wobble = random.Random(f"{currency} {day}").uniform(-0.01, 0.01)
    return f"{usd if currency == 'USD' else usd * (1 + wobble):.6f}"


def _write_meta(world: World, folder: Path, days: list[date], as_of: date) -> None:
    axes = ("", "_country", "_region", "_device")
    for axis in axes:
        (folder / f"ad_performance_daily{axis}").mkdir(parents=True, exist_ok=True)
    rows: dict[tuple[str, date], list[Mapping[str, Any]]] = {
        (axis, day): [] for axis in axes for day in days
    }
    for report in world.reports:
        if report.day > as_of:
            continue
        age = (as_of - report.day).days
        known = next(share for days, share in reversed(RESTATED) if age >= days)
        rows["", report.day].append(_insight(report, known))
        for axis, shares in report.shares.items():
            name = "impression_device" if axis == "device" else axis
            rows[f"_{axis}", report.day] += [
                {**_insight(report, known * share), name: value} for value, share in shares.items()
            ]
    for (axis, day), own in rows.items():
        _save(folder / f"ad_performance_daily{axis}" / f"{day}.jsonl", own)
    countries = "".join(f"{name},{code}\n" for code, (_, _, name) in COUNTRIES.items())
    _keep(folder / "meta_country_mapping.csv", "meta_value,country_code\n" + countries)
    devices = "".join(f"{d},{store},{platform}\n" for d, (store, platform) in DEVICES.items())
    _keep(folder / "meta_device_mapping.csv", "meta_value,store,platform\n" + devices)


def _insight(report: Report, share: float) -> dict[str, Any]:
    """A row as the Insights API answers: numbers as text, what did not happen left out."""
    counts = {
        "link_click": int(report.clicks * share),
        "start_trial_total": int(report.trials * share),
        "omni_purchase": int(report.purchases * share),
    }
    actions = [{"action_type": name, "value": str(n)} for name, n in counts.items() if n]
    row: dict[str, Any] = {
        **report.ad,
        "account_id": "1700000000000000",
        "account_currency": "USD",
        "spend": f"{int(report.spend_cents * share) / 100:.2f}",
        "impressions": str(int(report.impressions * share)),
        "clicks": str(int(report.clicks * share)),
        "date_start": str(report.day),
        "date_stop": str(report.day),
    }
    return {**row, "actions": actions} if actions else row


def _save(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    _keep(path, "".join(json.dumps(line) + "\n" for line in lines))


def _keep(path: Path, text: str) -> None:
    content = text.encode()
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}")
        draft.write_bytes(content)
        draft.replace(path)
