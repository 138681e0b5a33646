"""`check`: tries every setting, and says what works.

Belongs here: the trials, a sentence each.
Does not belong here: reading settings (``settings.py``), refusing wrong ones where they are used.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryFile

import sqlalchemy as sa

from analytics_assets import home, registry, settings
from analytics_assets.automation import notify
from analytics_assets.automation.notify import Alert
from analytics_assets.core.telling import foreign
from analytics_assets.production import roles, sealing, server
from analytics_assets.production.dump import programs, server_major
from analytics_assets.production.promotion import production_engine
from analytics_assets.production.server import UrlError
from analytics_assets.settings import Settings
from analytics_assets.warehouse.storage import open_storage

_LEAST_VERSION, _LEAST_FREE_GB = 15, 2


@dataclass(frozen=True)
class Trial:
    """What was tried, whether it works, and what was found. ``works`` is ``None`` where it does
    and something is to be known."""

    what: str
    works: bool | None
    found: str

    def __str__(self) -> str:
        word = {True: "works", False: "FAILS", None: "note"}[self.works]
        return f"{word:<6} {self.what}: {self.found}"


def check(send: bool) -> Iterator[Trial]:
    """Try everything, one after the other; ``send``: a message to the webhook, too."""
    config = settings.load()
    steps: list[tuple[str, Callable[[], Iterator[Trial]]]] = [
        ("ANALYTICS_HOME", lambda: _folder("ANALYTICS_HOME", config.home)),
        ("ANALYTICS_LAKE", lambda: _store(config)),
        ("BACKUP_FOLDER", lambda: _folder("BACKUP_FOLDER", config.backup_folder)),
        ("the files", lambda: _openness(config)),
        ("PRODUCTION_URL", lambda: _production(config)),
        ("PRODUCTION_READER_URL", lambda: _reader(config)),
        ("DAGSTER_PG_URL", lambda: _connects("DAGSTER_PG_URL", server.urls(config).dagster)),
        ("RESTORE_URL", lambda: _connects("RESTORE_URL", server.restore_url(config))),
        ("BACKUP_PASSPHRASE", lambda: _passphrase(config)),
        ("ALERT_WEBHOOK_URL", lambda: _webhook(config, send)),
        ("the domains", _domains),
    ]
    for name, step in steps:
        try:
            yield from step()
        except sa.exc.DBAPIError as error:
            yield Trial(name, False, foreign(error))
        except (UrlError, OSError) as error:
            yield Trial(name, False, str(error))
        except Exception as error:
            # One that fails in a way that nobody thought of must not hide the others.
            yield Trial(name, False, str(error) or type(error).__name__)


def _folder(name: str, folder: Path) -> Iterator[Trial]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with TemporaryFile(dir=folder) as file:
        file.write(b"x")
    free = shutil.disk_usage(folder).free / 1e9
    enough = True if free >= _LEAST_FREE_GB else None
    yield Trial(name, enough, f"{folder} can be written, {free:,.0f} GB are free")


def _store(config: Settings) -> Iterator[Trial]:
    storage = open_storage(config.lake)
    if not storage.is_local:
        storage.reach()
        found = f"{config.lake} can be written, and keeps two writers apart"
        yield Trial("ANALYTICS_LAKE", True, found)


def _openness(config: Settings) -> Iterator[Trial]:
    for path in home.open_to_others(config):
        found = f"{path} can be read by other users of this machine: `chmod -R go= {path}`"
        yield Trial("the files", None, found)


def _connects(name: str, url: str) -> Iterator[Trial]:
    with production_engine(url) as engine, engine.connect() as connection:
        database, role, version = connection.execute(
            sa.text("select current_database(), current_user, current_setting('server_version')")
        ).one()
    yield Trial(name, True, f"PostgreSQL {version}, database {database} as {role}")


def _production(config: Settings) -> Iterator[Trial]:
    url = server.urls(config).promoter
    yield from _connects("PRODUCTION_URL", url)
    with production_engine(url) as engine, engine.connect() as connection:
        major = server_major(connection)
        owns = connection.scalar(
            sa.text(
                "select pg_has_role(current_user, datdba, 'usage') from pg_database"
                " where datname = current_database()"
            )
        )
    if major < _LEAST_VERSION:
        yield Trial("PRODUCTION_URL", False, f"it has to be version {_LEAST_VERSION} or later")
    if not owns:
        yield Trial("PRODUCTION_URL", False, "the user does not own the database")
    yield Trial("backups", True, f"pg_dump {programs(major).major} is there")


def _reader(config: Settings) -> Iterator[Trial]:
    url = server.urls(config).reader
    yield from _connects("PRODUCTION_READER_URL", url)
    with production_engine(url) as engine, engine.connect() as connection:
        role = connection.scalar(sa.text("select current_user"))
        limited = connection.scalar(sa.text("show default_transaction_read_only")) == "on"
    if not limited:
        yield Trial(
            "PRODUCTION_READER_URL",
            None,
            f"{role} may write, and nothing limits its statements: `analytics-assets create-roles`"
            f" makes {roles.READER}, which only reads",
        )


def _passphrase(config: Settings) -> Iterator[Trial]:
    if config.backup_passphrase:
        sealing.seal(config, config.backup_passphrase)
        yield Trial("BACKUP_PASSPHRASE", True, "keys and settings are sealed in backups")
    else:
        yield Trial("BACKUP_PASSPHRASE", None, "not set: keys and settings are in no backup")


def _webhook(config: Settings, send: bool) -> Iterator[Trial]:
    url = config.alert_webhook_url
    if not url:
        yield Trial("ALERT_WEBHOOK_URL", None, "not set: alerts are in alerts.jsonl only")
    elif not send:
        yield Trial("ALERT_WEBHOOK_URL", None, "not tried: --send posts a message there")
    else:
        what = "This message was sent by `analytics-assets check --send`."
        moment = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        tried = Alert("resolved", "check", "Alerts arrive", what, "", config.ui_url, moment, 1)
        arrived = notify.post(url, [tried])
        yield Trial("ALERT_WEBHOOK_URL", arrived, "took" if arrived else "did not take a message")


def _domains() -> Iterator[Trial]:
    for name in registry.chosen():
        domain = registry.domain(name)
        given = [s.variable for s in domain.settings if os.environ.get(s.variable)]
        if domain.is_made_up:
            found = "reads a generated sample, because no setting names its input"
            yield Trial(name, None, found)
            continue
        problems = registry.problems(domain.tables)
        yield Trial(name, not problems, f"set are {', '.join(given) or 'no settings'}")
        for problem in problems:
            yield Trial(name, False, problem)
