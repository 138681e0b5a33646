"""The checker of these tests notices what it is there to notice."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from hashlib import sha256

import psycopg2
import pytest

from analytics_assets import settings
from analytics_assets.production.backup import back_up
from analytics_assets.warehouse.ledger import Build, BuildLedger
from analytics_assets_tests.faults.checker import Checker
from analytics_assets_tests.faults.shop import Shop
from analytics_assets_tests.faults.worker import DEFINITIONS, LOG, TABLES
from analytics_assets_tests.workspace import Workspace, failures


def in_production(statement: str) -> None:
    with closing(psycopg2.connect(os.environ["PRODUCTION_URL"])) as connection, connection:
        connection.cursor().execute(statement)


def test_every_kind_of_damage_is_noticed(
    shop: Shop, workspace: Workspace, checker: Checker
) -> None:
    assert failures(workspace.refresh(DEFINITIONS, TABLES)) == []
    moment = datetime(2024, 1, 1, tzinfo=timezone.utc)
    backup, _ = back_up(settings.load(), TABLES, moment, LOG)
    assert backup
    now = shop.content()
    checker.complete(now)

    @contextmanager
    def noticed(what: str):
        yield
        with pytest.raises(AssertionError, match=what):
            checker.whole(now, now)

    ledger = BuildLedger(workspace.lake)
    with noticed("manifest|backups"):
        (backup.folder / "production.dump").write_bytes(b"")
    with noticed("toy/agg_yearly 2024 is not what was published"):
        in_production("update toy_store.agg_yearly set cents = cents + 1 where year = 2024")
    with noticed("toy/agg_yearly 2024"):
        in_production("delete from toy_store.agg_yearly where year = 2024")
    with noticed("entries of production's ledger are lost"):
        in_production("delete from promotion.ledger where table_name = 'toy/agg_yearly'")
    shop.change()
    for path in shop.folder.glob("*.csv"):
        state = {path.name: sha256(path.read_bytes()).hexdigest()}
        ledger.record([Build(TABLES[0].key, path.stem, "code", state, 0, "run", moment)])
    with pytest.raises(AssertionError, match=r"settled without its rows|a change is lost"):
        checker.whole(now, shop.content())
    with noticed("holds neither the old nor the new rows"):
        workspace.lake.publish(TABLES[1], [], [min(now[TABLES[1].key])], {})
