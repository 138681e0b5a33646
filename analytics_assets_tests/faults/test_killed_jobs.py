"""Killed at any moment, what people start by hand is done or not done, and can be done again.

``make test-faults KILLS=200 SEED=1`` makes as many kills of each job as are asked for.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import pytest

from analytics_assets.warehouse.ledger import now
from analytics_assets_tests.faults.checker import Checker
from analytics_assets_tests.faults.runs import Runs, Step, aim
from analytics_assets_tests.faults.shop import PROMOTED, Content, Shop
from analytics_assets_tests.faults.worker import PHASES


@dataclass(frozen=True)
class State:
    """What everything held at a moment."""

    content: Content
    moment: datetime

    @property
    def way_back(self) -> str:
        return f"back to {self.moment.isoformat()}"


def test_a_killed_rollback_is_completed_by_the_next(
    shop: Shop, runs: Runs, checker: Checker, seed: int
) -> None:
    """Enough to see that the proof itself works; more are asked for by hand."""
    roll_back_and_forth(2, shop, runs, checker, random.Random(seed))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_rollbacks_are_completed(
    shop: Shop, runs: Runs, checker: Checker, seed: int
) -> None:
    killed = roll_back_and_forth(_wanted(), shop, runs, checker, random.Random(seed))
    _tell("rollbacks", killed)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_killed_restore_changes_nothing_and_a_whole_one_all(
    shop: Shop, runs: Runs, checker: Checker, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each night makes a backup, and the first one is restored again and again.
    monkeypatch.setenv("BACKUPS_KEPT", "100000")
    draw = random.Random(seed)
    old, new = _two_states(shop, runs)
    (backup, _) = sorted(path.name for path in (checker.home / "backups").glob("[!.]*"))
    steps = runs.finish(f"restore {backup}")
    killed: Counter[str] = Counter()
    while killed.total() < _wanted():
        # Its ledger is older than what was seen.
        checker.promotions = 0
        assert checker.production_rows() == _promoted(old)
        runs.finish("by hand")
        checker.complete(new.content)
        killed[_kill(runs, f"restore {backup}", draw, steps)] += 1
        checker.promotions = 0
        checker.whole(old.content, new.content)
        assert checker.production_rows() in (_promoted(old), _promoted(new))
        runs.finish(f"restore {backup}")
    _tell("restores", killed)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_killed_cleaning_deletes_nothing_that_is_needed(
    shop: Shop, runs: Runs, checker: Checker, seed: int
) -> None:
    draw = random.Random(seed)
    killed: Counter[str] = Counter()
    runs.finish("by hand")
    steps = runs.finish("clean")
    while killed.total() < _wanted():
        shop.change()
        runs.finish("by hand")
        checker.complete(shop.content())
        killed[_kill(runs, "clean", draw, steps)] += 1
        checker.complete(shop.content())
        if draw.random() < 0.3:
            runs.finish("clean")
            checker.complete(shop.content())
    _tell("cleanings", killed)


def roll_back_and_forth(
    wanted: int, shop: Shop, runs: Runs, checker: Checker, draw: random.Random
) -> Counter[str]:
    """Kill so many rollbacks between two states, each completed by a second one.

    A night after it changes nothing: what was rolled back stays. Returns kills by phase.
    """
    old, new = _two_states(shop, runs)
    steps = runs.finish(old.way_back)
    checker.holds(old.content)
    killed: Counter[str] = Counter()
    target, other = new, old
    while killed.total() < wanted:
        killed[_kill(runs, target.way_back, draw, steps)] += 1
        checker.whole(old.content, new.content)
        runs.finish(target.way_back)
        checker.holds(target.content)
        runs.finish("by hand")
        checker.holds(target.content)
        target, other = other, target
    runs.finish(new.way_back)
    runs.finish("by hand")
    checker.complete(new.content)
    return killed


def _two_states(shop: Shop, runs: Runs) -> tuple[State, State]:
    runs.finish("by hand")
    old = State(shop.content(), now())
    shop.change()
    runs.finish("by hand")
    return old, State(shop.content(), now())


def _promoted(state: State) -> Content:
    return {table: state.content[table] for table in PROMOTED}


def _wanted() -> int:
    return int(os.environ.get("KILLS") or 30)


def _kill(runs: Runs, how: str, draw: random.Random, steps: list[Step]) -> str:
    """Kill a job at any moment or in a phase drawn; the phase it was in."""
    if draw.random() < 0.5:
        return runs.kill_at(how, draw.uniform(0, steps[-1].began + steps[-1].lasted))
    return runs.kill_in(how, *aim(draw, steps))


def _tell(what: str, killed: Counter[str]) -> None:
    print(f"\n{killed.total()} killed {what}: nothing lost, nothing half visible.")
    for phase, text in PHASES.items():
        if killed[phase]:
            print(f"  {killed[phase]:4}  {text}")
