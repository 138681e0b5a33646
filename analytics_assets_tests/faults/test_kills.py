"""Killed at any moment, a run leaves everything whole, and the next one completes it.

``make test-faults KILLS=200 SEED=1`` makes as many kills as are asked for and prints where.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter

import pytest

from analytics_assets_tests.faults.checker import Checker
from analytics_assets_tests.faults.runs import Runs, Step, aim
from analytics_assets_tests.faults.shop import Shop
from analytics_assets_tests.faults.worker import PHASES

_EVERY_NTH_BY_DAGSTER = 4


def test_a_few_kills_lose_nothing(shop: Shop, runs: Runs, checker: Checker, seed: int) -> None:
    """Enough to see that the proof itself works; a few hundred are asked for by hand."""
    kill(4, shop, runs, checker, random.Random(seed), by_dagster=False)


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
def test_kills_lose_nothing(shop: Shop, runs: Runs, checker: Checker, seed: int) -> None:
    wanted = int(os.environ.get("KILLS") or 30)
    started = time.monotonic()
    killed, orphans = kill(wanted, shop, runs, checker, random.Random(seed), by_dagster=True)
    seconds = (time.monotonic() - started) / wanted
    print(f"\n{wanted} kills, seed {seed}: nothing lost, nothing half visible.")
    print(f"{seconds:.1f} s each, {orphans} files left for retention to remove.")
    for phase, text in PHASES.items():
        by_hand, by_dagster = killed["by hand", phase], killed["by dagster", phase]
        if phase != "end":
            print(f"  {by_hand + by_dagster:4} ({by_dagster:3} by Dagster)  {text}")


def kill(
    wanted: int, shop: Shop, runs: Runs, checker: Checker, draw: random.Random, by_dagster: bool
) -> tuple[Counter[tuple[str, str]], int]:
    """Kill so many runs, half at any moment and half in a phase drawn; look after each.

    Every fourth is killed again while it makes up for the first. Returns how many were killed in
    each phase, and how many files nothing refers to in the end.
    """
    modes = ["by hand", "by dagster"] if by_dagster else ["by hand"]
    undisturbed: dict[str, list[Step]] = {}
    for how in modes:
        if undisturbed:
            shop.change()
        runs.finish(how)  # the first of all makes schemas and everything else
        shop.change()
        undisturbed[how] = runs.finish(how)
    old = shop.content()
    checker.complete(old)
    killed: Counter[tuple[str, str]] = Counter()
    while killed.total() < wanted:
        how = modes[-1] if draw.random() * _EVERY_NTH_BY_DAGSTER < 1 else modes[0]
        shop.change()
        new = shop.content()
        again = True
        while again and killed.total() < wanted:
            steps = undisturbed[how]
            if draw.random() < 0.5:
                last = steps[-1].began + steps[-1].lasted
                phase = runs.kill_at(how, draw.uniform(0, last))
            else:
                phase = runs.kill_in(how, *aim(draw, steps))
            checker.whole(old, new)
            if phase == "end":
                break
            killed[how, phase] += 1
            if killed.total() % 20 == 0:
                print(f"\n{killed.total()} kills", end="", flush=True)
            again = draw.random() < 0.25
        if phase != "end":
            runs.finish(how)
        checker.complete(new)
        old = new
    return killed, checker.orphans()
