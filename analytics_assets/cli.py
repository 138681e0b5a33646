"""The command line: run, materialize, status, and what people do by name.

Belongs here: which commands there are, starting things in order and printing what they did.
Does not belong here: anything that the UI, a schedule or a test would also need.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from analytics_assets import environment, home, interrupts, reading_commands, settings
from analytics_assets.core import telling, troubles
from analytics_assets.core.source import SourceError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    # What is made is its owner's, whatever the shell or a service manager says.
    os.umask(0o077)
    # Imports and declarations stay: to look through them for garbage is a fifth of every start.
    gc.set_threshold(50_000, 20, 100)
    interrupts.heed()
    parser = argparse.ArgumentParser(prog="analytics-assets", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_own(commands)
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with interrupts.heeded():
            # Only who may ask for them waits until Dagster and the domains are imported.
            if not given or given[0] not in commands.choices:
                _add_operations(commands)
                _add_commands_of_domains(commands)
            options = parser.parse_args(given)
            code = int(options.command(options))
            sys.stdout.flush()
            return code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read the output has seen enough; Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        print(troubles.said(error), file=sys.stderr)
        return 1


def _add_own(commands: Any) -> None:
    """Commands that are there at once."""
    for name, command in _COMMANDS.items():
        about = str(command.__doc__)
        sub = commands.add_parser(name, help=about, description=about)
        sub.set_defaults(command=command)
    chosen = commands.choices
    chosen["materialize"].add_argument("--behind", metavar="URL", help="begin when this UI answers")
    chosen["materialize"].add_argument("table", nargs="?", help="this one anew, and what follows")
    chosen["materialize"].add_argument(
        "--partitions", nargs="+", metavar="A..B", help="of the table; by default all it can have"
    )
    chosen["promote"].add_argument("table", nargs="?", default="*", help="a table or domain")
    chosen["promote"].add_argument("--dry-run", action="store_true", help="only say what changes")
    chosen["tables"].add_argument("name", nargs="?", help="a table or a domain; by default all")
    chosen["check"].add_argument(
        "--send", action="store_true", help="a message to the webhook, too"
    )
    chosen["service"].add_argument("folder", help="such as /etc/analytics-assets")
    chosen["service"].add_argument("--host", required=True, help="name by which people reach it")
    chosen["service"].add_argument("--user", default="analytics", help="whom it runs as")
    chosen["new-domain"].add_argument("name")
    reading_commands.add_arguments(chosen)


def _add_operations(commands: Any) -> None:
    """What is a job in the UI, too."""
    from analytics_assets import registry
    from analytics_assets.definitions import OPERATIONS

    for operation in (one for one in OPERATIONS if one.command):
        sub = operation.add_to(commands)
        sub.set_defaults(
            command=lambda options, own=operation: own.run(registry.tables(), vars(options))
        )


def _add_commands_of_domains(commands: Any) -> None:
    from analytics_assets import registry

    for domain in registry.asked():
        for own in domain.commands:
            sub = commands.add_parser(own.name, help=str(own.run.__doc__))
            sub.add_argument(own.argument, type=own.type, nargs="+")
            sub.set_defaults(
                command=lambda options, own=own: own.run(getattr(options, own.argument))
            )


# ---- run and materialize ------------------------------------------------------------------------


def _run(options: argparse.Namespace) -> int:
    """Serve the UI with the daemon, and materialise behind it everything that is behind."""
    from analytics_assets.serving import run

    return run()


def _materialize(options: argparse.Namespace) -> int:
    """Materialise everything that is behind, or one table anew; exit code 1 if anything failed."""
    began = datetime.now(timezone.utc)
    # Before anything that takes time, so that a daemon which starts meanwhile leaves it the work.
    with home.building(settings.load(), _say_that_it_waits):
        from analytics_assets.building import Chosen, build

        chosen = Chosen(options.table, options.partitions or ()) if options.table else None
        return 0 if build(options.behind, began, chosen) else 1


def _promote(options: argparse.Namespace) -> int:
    """Promote what production should have otherwise; `--dry-run` says what would change."""
    from analytics_assets import registry
    from analytics_assets.automation.rollback_jobs import DIFFERENCE
    from analytics_assets.building import promote

    if options.dry_run:
        return DIFFERENCE.run(registry.tables(), vars(options))
    with home.building(settings.load(), _say_that_it_waits):
        return 0 if promote(options.table) else 1


def _say_that_it_waits() -> None:
    print("Another command builds here; going on after it.", file=sys.stderr, flush=True)


# ---- status -------------------------------------------------------------------------------------


def _status(options: argparse.Namespace) -> int:
    """Print which partitions are behind, why, and since when, and how much lies on the disk; exit
    code 1 if a table is stale."""
    from analytics_assets import registry
    from analytics_assets.automation import disk
    from analytics_assets.automation.jobs import present
    from analytics_assets.automation.staleness import as_text, stale, staleness
    from analytics_assets.warehouse.ledger import now

    tables = registry.tables()
    with present() as (snapshot, engine):
        lags = staleness(tables, snapshot, engine)
        late = stale(lags, tables, snapshot, now())
    print(as_text(lags))
    print(f"\n{disk.as_text(disk.by_kind(settings.load(), tables))}")
    for one in late:
        print(f"\nStale: {one.asset}: {one.what}", file=sys.stderr)
    return 1 if late else 0


# ---- scrub and repair ---------------------------------------------------------------------------


def _scrub(options: argparse.Namespace) -> int:
    """Read all live files of the lake and compare them with their checksums; exit code 1 if any
    is damaged."""
    from analytics_assets import registry
    from analytics_assets.warehouse.lake import open_lake
    from analytics_assets.warehouse.ledger import now
    from analytics_assets.warehouse.scrub import scrub

    done = scrub(open_lake(settings.load().lake), registry.tables(), 100, now())
    print(f"{done.files:,} files, {done.bytes:,} bytes read in {done.seconds:.1f} s.")
    for damage in done.damaged:
        print(damage, file=sys.stderr)
    return 1 if done.damaged else 0


def _repair(options: argparse.Namespace) -> int:
    """Make damaged logs of the lake readable again; `materialize` then mends the rest."""
    from analytics_assets import registry
    from analytics_assets.automation.repair import repair

    config = environment.prepare()
    done = list(repair(config, registry.tables()))
    print("\n".join(done) or "Every log can be read. Nothing was changed.")
    return 0


# ---- create-roles ------------------------------------------------------------------------------


def _create_roles(options: argparse.Namespace) -> int:
    """Make roles, databases and the reader's limits on the server of PRODUCTION_ADMIN_URL, and
    print the settings that lead there."""
    import psycopg2

    from analytics_assets.production import roles, server

    url = server.given("PRODUCTION_ADMIN_URL", os.environ.get("PRODUCTION_ADMIN_URL") or None)
    if url is None:
        raise SourceError(
            "it is not set",
            "PRODUCTION_ADMIN_URL",
            "Give the URL of a role that may create roles and databases.",
        )
    try:
        made = roles.set_up(url)
    except psycopg2.Error as error:
        raise SourceError(
            telling.foreign(error),
            "the server of PRODUCTION_ADMIN_URL",
            "What was made before it stays; run it again when that is mended.",
        ) from error
    for one in made:
        if not one.known:
            print("# The role was there: put its password in place of PASSWORD.")
        print(f"{one.variable}={one.url}")
    return 0


# ---- check and service --------------------------------------------------------------------------


def _check(options: argparse.Namespace) -> int:
    """Try all settings and say what works; exit code 1 if anything does not."""
    from analytics_assets.checking import check

    fails = False
    for trial in check(options.send):
        print(trial, flush=True)
        fails |= trial.works is False
    return int(fails)


def _service(options: argparse.Namespace) -> int:
    """Write units for systemd, a site for nginx and settings, to be served as docs/service.md
    says."""
    from analytics_assets import service

    for path in service.write(Path(options.folder), options.host, options.user):
        print(path)
    return 0


# ---- worker -------------------------------------------------------------------------------------


def _worker(options: argparse.Namespace) -> int:
    """Take runs that a queue of several machines hands out, until stopped; see docs/scale.md."""
    from analytics_assets import workers

    return workers.work(environment.prepare())


# ---- tables -------------------------------------------------------------------------------------


def _tables(options: argparse.Namespace) -> int:
    """Print the data dictionary, made from the declarations, as Markdown."""
    from analytics_assets.building import declared
    from analytics_assets.core.chosen import named
    from analytics_assets.dictionary import dictionary

    print(dictionary(named(declared(), options.name or "*")))
    return 0


# ---- new-domain ---------------------------------------------------------------------------------


def _new_domain(options: argparse.Namespace) -> int:
    """Write a small domain that runs, with its sample and test, to begin one of your own with."""
    from analytics_assets import new_domain

    # These are not data, and lie beside files that others can read.
    os.umask(0o022)
    for path in new_domain.write(options.name, Path(__file__).parents[1]):
        print(path.relative_to(Path(__file__).parents[1]))
    return 0


_COMMANDS = {
    "run": _run,
    "materialize": _materialize,
    "promote": _promote,
    "status": _status,
    "scrub": _scrub,
    "repair": _repair,
    "tables": _tables,
    "check": _check,
    "create-roles": _create_roles,
    "service": _service,
    "worker": _worker,
    "new-domain": _new_domain,
    **reading_commands.COMMANDS,
}


if __name__ == "__main__":
    sys.exit(main())
