"""Files of every kind are damaged: nothing wrong is promoted, and one refresh mends what was read,
another one what only a scrub comes to.

``PLACES=1000 SEED=1``: how many bits are flipped, and with what seed; a tenth as many files are cut
off, and as many deleted.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from analytics_assets import settings
from analytics_assets.production import server
from analytics_assets.warehouse.ledger import now
from analytics_assets.warehouse.scrub import scrub
from analytics_assets_tests.damage import FIRST, Home, cut, delete, flip, some_sales
from analytics_assets_tests.workspace import Workspace

_RENEWED = 40  # a home of many damages is slow to read


def kinds(home: Home) -> dict[str, list[Path]]:
    """Kind of file -> the files of it."""
    root = Path(home.root)
    names = ("raw_sales", "fact_sales", "agg_shop_daily", "agg_shop_monthly", "agg_yearly")
    return {
        **{name: home.files(name) for name in names},
        "logs": [path for table in home.tables for path in home.log(table.name)],
        "ledger": list((root / "_builds").glob("*/*.parquet")),
        "log of the ledger": home.log("_builds"),
        "catalogue": [settings.load().catalogue],
    }


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_no_damage_is_ever_served(workspace: Workspace) -> None:
    seed, places = int(os.environ.get("SEED") or 1), int(os.environ.get("PLACES") or 20)
    chance = random.Random(seed)
    damages = [flip] * places + [cut, delete] * max(places // 10, 1)
    chance.shuffle(damages)
    home = Home(server.urls(settings.load()).promoter)
    home.sell(*some_sales(seed, 30))
    home.refresh()
    done: Counter[str] = Counter()
    told_of: Counter[str] = Counter()
    scrubbed: Counter[str] = Counter()
    for number, damage in enumerate(damages):
        if number % _RENEWED == _RENEWED - 1:
            shutil.rmtree(home.root)
            home.refresh()
        kind, files = chance.choice(list(kinds(home).items()))
        path = chance.choice(files)
        where = f"SEED={seed} number {number}: {damage.__name__} {kind} {path}"
        before = home.wanted()
        if path.stat().st_size:
            damage(path, chance)
        day = FIRST.replace(day=chance.randint(1, 28), month=chance.randint(1, 2))
        home.sell((day, chance.choice("abc"), chance.randint(0, 3000)))
        wanted = home.wanted()

        def never_wrong(before=before, wanted=wanted, where=where) -> None:
            for table, rows in home.production().items():
                allowed = {*before[table], *wanted[table]}
                assert set(rows) <= allowed, f"{where}: production {table}"

        try:
            told = home.refresh(never_wrong)
            found = scrub(home.lake, home.tables, 100, now()).damaged
            if found:
                home.refresh(never_wrong)
        except AssertionError:
            raise
        except BaseException as error:
            raise AssertionError(where) from error
        done[f"{damage.__name__} {kind}"] += 1
        told_of[f"{damage.__name__} {kind}"] += bool(told)
        scrubbed[f"{damage.__name__} {kind}"] += bool(found)
        assert home.content() == wanted, where
        assert home.catalogue() == wanted, where
        promoted = home.production()
        assert promoted == {table: wanted[table] for table in promoted}, where
    print()
    for name, count in sorted(done.items()):
        print(f"{name}: {count}, {told_of[name]} stopped a run, {scrubbed[name]} found by a scrub")
