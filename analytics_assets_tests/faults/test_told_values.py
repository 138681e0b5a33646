"""Names and numbers of persons, wherever a broken file has them, are in no message.

Belongs here: real runs over broken files, and every place that people or programs read messages in.
Does not belong here: the ways to break a file (``planting.py``), one rule at a time
(``core/test_telling.py``).
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import dagster as dg
import psycopg2
import pytest

from analytics_assets import registry, settings
from analytics_assets.automation.alerts import look
from analytics_assets.automation.problems import Watch
from analytics_assets.definitions import build
from analytics_assets.domains.behavior.sample import generate
from analytics_assets.warehouse.ledger import now
from analytics_assets_tests.automation import test_storage
from analytics_assets_tests.conftest import as_admin, make_workspace
from analytics_assets_tests.faults.planting import Planter, spoil
from analytics_assets_tests.workspace import Workspace, failures

AT_ONCE = 4
_ROWS = 30
# Data of the home, for its owner: rows as they landed, and what is computed from them.
_DATA = ("lake", "scratch", "samples", "backups")


class _Hook(BaseHTTPRequestHandler):
    bodies: list[str] = []

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["content-length"])).decode())
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """It says nothing."""


class Domain:
    """A small sample of a domain in which files are broken, with Dagster's real storage."""

    def __init__(self, name: str, workspace: Workspace, instance: dg.DagsterInstance) -> None:
        self.domain = registry.domain(name)
        self.tables = self.domain.tables
        self.workspace, workspace.instance = workspace, instance
        self.definitions = build(self.tables)
        self.watch = Watch()
        self.failed: list[str] = []

    def refresh(self) -> None:
        """A night: what is behind is built, and alerts are sent."""
        self.failed += failures(self.workspace.refresh(self.definitions, self.tables))
        self.failed += registry.problems(self.tables)
        look(self.workspace.instance, self.watch, now() + timedelta(seconds=10))


@contextmanager
def opened(name: str, postgres: str) -> Iterator[Domain]:
    with (
        tempfile.TemporaryDirectory(prefix="told", dir="/tmp") as folder,
        pytest.MonkeyPatch.context() as patch,
        ThreadingHTTPServer(("127.0.0.1", 0), _Hook) as hook,
    ):
        Thread(target=hook.serve_forever, daemon=True).start()
        _Hook.bodies = []
        for workspace in make_workspace(Path(folder), postgres, patch):
            for setting in registry.domain(name).settings:
                patch.delenv(setting.variable, raising=False)
            patch.setenv("ANALYTICS_DOMAINS", name)
            patch.setenv("ALERT_WEBHOOK_URL", f"http://127.0.0.1:{hook.server_port}/hook")
            storage = f"custom: {test_storage.OURS}"
            with test_storage.instance(Path(folder) / "dagster", postgres, storage) as instance:
                yield Domain(name, workspace, instance)
        hook.shutdown()


def files_of(name: str) -> list[Path]:
    """The files of the sample, of which few are left, and of these few rows."""
    for sample in registry.domain(name).samples:
        sample()
    kept = []
    for path in sorted((settings.load().home / "samples").rglob("*")):
        if path.suffix == ".dbf" or (
            path.is_file() and re.match(r"2025-0(1-[1-3]|[2-9])", path.name)
        ):
            path.unlink()
        elif path.suffix in (".csv", ".jsonl"):
            path.write_text("".join(path.open().readlines()[:_ROWS]))
        if path.is_file():
            kept.append(path)
    return kept


def break_files(domain: Domain, files: list[Path], planter: Planter, many: int) -> None:
    """Night after night some files come broken, and the next night whole."""
    home = settings.load().home
    whole = home / "whole"
    shutil.copytree(home / "samples", whole)
    domain.refresh()
    domain.failed.clear()
    for first in range(0, many, AT_ONCE):
        broken = planter.random.sample(files, min(AT_ONCE, len(files), many - first))
        for path in broken:
            spoil(path, planter)
        domain.refresh()
        for path in broken:
            shutil.copy(whole / path.relative_to(home / "samples"), path)
    shutil.rmtree(whole)


def break_rows(domain: Domain, url: str, planter: Planter, many: int) -> None:
    """The same of the domain that reads a database: rows of it are broken."""
    columns = ["eventType", "completionQuality", "contentType", "difficultyLevel", "id"]
    columns += ["engagementLevel", "experimentPhase", "contextMetadataId", "userId"]
    domain.refresh()
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        for number in range(many):
            column = columns[number % len(columns)]
            cursor.execute(
                f'update behavioral_events set "{column}" = %s where id = (select id from'
                " behavioral_events order by md5(id || %s) limit 1)",
                [planter.person(), str(number)],
            )
            connection.commit()
            if number % AT_ONCE == AT_ONCE - 1:
                domain.refresh()


# ---- where messages are -------------------------------------------------------------------------


def messages(domain: Domain, postgres: str) -> Iterator[tuple[str, str]]:
    """Place and text of everything that is told, but for what was printed."""
    home = settings.load().home
    for number, body in enumerate(_Hook.bodies):
        yield f"webhook {number}", body
    yield "cursor", domain.watch.dump()
    yield "failures", json.dumps(domain.failed)
    for path in home.rglob("*"):
        if path.is_file() and path.relative_to(home).parts[0] not in _DATA:
            yield str(path), path.read_bytes().decode("latin-1")
    # Of the lake what is no table of rows: the ledger of builds, and the logs.
    for path in (home / "lake").rglob("*.json"):
        yield str(path), path.read_bytes().decode("latin-1")
    yield from rows_of_all_tables(
        domain.workspace.instance.event_log_storage.postgres_url, "public"
    )
    yield from rows_of_all_tables(str(settings.load().production_url), "promotion")


def rows_of_all_tables(url: str, schema: str) -> Iterator[tuple[str, str]]:
    """What Dagster keeps, or the ledgers of production, which a backup has, too."""
    with closing(psycopg2.connect(url.replace("+psycopg2", ""))) as connection:
        cursor = connection.cursor()
        cursor.execute("select tablename from pg_tables where schemaname = %s", [schema])
        for (table,) in cursor.fetchall():
            cursor.execute(f'select t::text from {schema}."{table}" as t')
            for (row,) in cursor.fetchall():
                yield f"{schema}.{table}", row


def found_in(text: str, words: set[str]) -> set[str]:
    plain = re.sub(r"(?<=\d)[,_ ](?=\d{3})", "", text).lower()
    return {word for word in words if word.lower() in plain}


def leaks(domain: Domain, postgres: str, printed: str, planter: Planter) -> list[str]:
    said = []
    for place, text in [*messages(domain, postgres), ("printed", printed)]:
        for word in found_in(text, planter.words):
            at = text.lower().find(word.lower())
            said.append(f"{place}: {word}: {text[max(0, at - 300) : at + 60]!r}")
    return said


def run(name: str, postgres: str, capfd: pytest.CaptureFixture[str], many: int, seed: int) -> None:
    log = logging.getLogger("dagster")
    level, planter = log.level, Planter(seed)
    log.setLevel(logging.DEBUG)
    try:
        with opened(name, postgres) as domain:
            break_files(domain, files_of(name), planter, many)
            assert domain.failed, "nothing was broken"
            assert _Hook.bodies
            assert leaks(domain, postgres, "".join(capfd.readouterr()), planter) == []
    finally:
        log.setLevel(level)


def test_a_dozen_of_broken_files_tell_nobody(
    postgres: str, capfd: pytest.CaptureFixture[str]
) -> None:
    run("clinic", postgres, capfd, 12, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["ad_metrics", "bank_kpis", "births", "clinic"])
def test_forty_broken_files_of_each_domain_tell_nobody(
    name: str, postgres: str, capfd: pytest.CaptureFixture[str]
) -> None:
    run(name, postgres, capfd, 40, seed=2)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_forty_broken_rows_of_a_database_tell_nobody(
    postgres: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    as_admin(postgres, "create database told_events owner promoter")
    url = f"postgresql://promoter@/told_events?host={postgres}"
    generate(url, users=6, days=12, fewest=3)
    planter = Planter(3)
    with opened("behavior", postgres) as domain:
        monkeypatch.setenv("BEHAVIOR_SOURCE_URL", url)
        break_rows(domain, url, planter, 40)
        assert domain.failed, "nothing was broken"
        assert leaks(domain, postgres, "".join(capfd.readouterr()), planter) == []
