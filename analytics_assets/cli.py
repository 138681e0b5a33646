"""The command line: run, materialize, duckdb, psql.

Belongs here: starting things in order and printing what they did.
Does not belong here: anything that the UI, a schedule or a test would also need.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from analytics_assets import environment, home, interrupts, settings
from analytics_assets.core import troubles


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="analytics-assets", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help=str(_run.__doc__))
    run.set_defaults(command=_run)
    materialize = commands.add_parser("materialize", help=str(_materialize.__doc__))
    materialize.add_argument("--behind", metavar="URL", help="begin when this UI answers")
    materialize.set_defaults(command=_materialize)
    for name, query in (("duckdb", _duckdb), ("psql", _psql)):
        sub = commands.add_parser(name, help=str(query.__doc__))
        sub.add_argument("sql", nargs="?")
        sub.set_defaults(command=query)
    status = commands.add_parser("status", help=str(_status.__doc__))
    status.set_defaults(command=_status)
    api = commands.add_parser("api", help=str(_api.__doc__))
    api.set_defaults(command=_api)
    for name, keep in (("scrub", _scrub), ("repair", _repair)):
        commands.add_parser(name, help=str(keep.__doc__)).set_defaults(command=keep)
    tables = commands.add_parser("tables", help=str(_tables.__doc__))
    tables.set_defaults(command=_tables)
    new = commands.add_parser("new-domain", help=str(_new_domain.__doc__))
    new.add_argument("name")
    new.set_defaults(command=_new_domain)
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        # Only who may ask for a command of a domain waits until the domains are imported.
        if not given or given[0] not in commands.choices:
            _add_commands_of_domains(commands)
        options = parser.parse_args(given)
        return int(options.command(options))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read the output has seen enough; Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        print(troubles.said(error), file=sys.stderr)
        return 1


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
    """Materialise everything that is behind; exit code 1 if a run or check failed."""
    began = datetime.now(timezone.utc)
    interrupts.heed()
    # Before anything that takes time, so that a daemon which starts meanwhile leaves it the work.
    with home.building(settings.load(), _say_that_it_waits):
        from analytics_assets.building import build

        return 0 if build(options.behind, began) else 1


def _say_that_it_waits() -> None:
    print("Another command builds here; going on after it.", file=sys.stderr, flush=True)


# ---- status -------------------------------------------------------------------------------------


def _status(options: argparse.Namespace) -> int:
    """Print which partitions are behind, why, and since when; exit code 1 if a table is stale."""
    from analytics_assets import registry
    from analytics_assets.automation.jobs import present
    from analytics_assets.automation.staleness import as_text, stale, staleness
    from analytics_assets.warehouse.ledger import now

    tables = registry.tables()
    with present() as (snapshot, engine):
        lags = staleness(tables, snapshot, engine)
        late = stale(lags, tables, snapshot, now())
    print(as_text(lags))
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


# ---- api ----------------------------------------------------------------------------------------


def _api(options: argparse.Namespace) -> int:
    """Serve production over HTTP, on 127.0.0.1:8000 unless API_HOST and API_PORT say otherwise."""
    from analytics_assets import registry
    from analytics_assets.api.serve import serve
    from analytics_assets.api.settings import ApiSettingsError

    try:
        serve(registry.tables(), registry.routers())
    except ApiSettingsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


# ---- tables -------------------------------------------------------------------------------------


def _tables(options: argparse.Namespace) -> int:
    """Print the data dictionary, made from the declarations, as Markdown."""
    from analytics_assets.building import declared
    from analytics_assets.dictionary import dictionary

    print(dictionary(declared()))
    return 0


# ---- new-domain ---------------------------------------------------------------------------------


def _new_domain(options: argparse.Namespace) -> int:
    """Write a small domain that runs, with its sample and test, to begin one of your own with."""
    from analytics_assets import new_domain

    for path in new_domain.write(options.name, Path(__file__).parents[1]):
        print(path.relative_to(Path(__file__).parents[1]))
    return 0


# ---- duckdb and psql ----------------------------------------------------------------------------


def _duckdb(options: argparse.Namespace) -> int:
    """Run one statement on the warehouse, read-only, and print CSV; a shell without SQL."""
    import duckdb

    config = settings.load()
    if not config.catalogue.exists():
        print(
            f"There is no warehouse in {config.home} yet: run `make materialize`.", file=sys.stderr
        )
        return 1
    from analytics_assets.warehouse.catalogue import is_of_another_place, mend_catalogue

    if is_of_another_place(config):
        from analytics_assets import registry
        from analytics_assets.warehouse.builds import Snapshot
        from analytics_assets.warehouse.lake import open_lake

        mend_catalogue(config, Snapshot(open_lake(config.lake)), registry.tables())
    try:
        catalogue = duckdb.connect(str(config.catalogue), read_only=True)
    except duckdb.Error:
        print(
            f"{config.catalogue} cannot be read: run `make materialize`, which writes it anew.",
            file=sys.stderr,
        )
        return 1
    with catalogue as connection:

        def execute(sql: str) -> tuple[list[str], Iterator[Sequence[Any]]]:
            result = connection.execute(sql)
            names = [column[0] for column in result.description or []]
            return names, iter(result.fetchone, None)

        return _query(options.sql, "duckdb", execute, duckdb.Error)


def _psql(options: argparse.Namespace) -> int:
    """Run one statement on production, read-only, and print CSV; a shell without SQL."""
    import sqlalchemy as sa

    from analytics_assets.production import server
    from analytics_assets.production.promotion import production_engine

    with (
        production_engine(server.urls(settings.load()).reader, read_only=True) as engine,
        engine.connect() as connection,
    ):

        def execute(sql: str) -> tuple[list[str], Iterator[Sequence[Any]]]:
            # Only a query can be streamed. A colon and a percent sign stand for themselves.
            query = sql.split(maxsplit=1)[0].lower() in ("select", "with", "table", "values")
            result = connection.execution_options(
                stream_results=query, no_parameters=True
            ).exec_driver_sql(sql)
            return (list(result.keys()), iter(result)) if result.returns_rows else ([], iter(()))

        def safely(sql: str) -> tuple[list[str], Iterator[Sequence[Any]]]:
            connection.rollback()
            return execute(sql)

        return _query(options.sql, "psql", safely, sa.exc.DBAPIError)


_Execute = Callable[[str], tuple[list[str], Iterator[Sequence[Any]]]]


def _query(sql: str | None, prompt: str, execute: _Execute, errors: type[Exception]) -> int:
    if sql is None:
        return _shell(prompt, execute, errors)
    try:
        _print_csv(*execute(sql))
    except errors as error:
        print(str(getattr(error, "orig", error)).strip(), file=sys.stderr)
        return 1
    return 0


def _shell(prompt: str, execute: _Execute, errors: type[Exception]) -> int:
    import contextlib

    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  (line editing and history for input())
    print("One statement a line; Ctrl-D to leave.", file=sys.stderr)
    while True:
        try:
            sql = input(f"{prompt}> ")
        except EOFError:
            return 0
        if sql.strip():
            _query(sql, prompt, execute, errors)


def _print_csv(names: list[str], rows: Iterator[Sequence[Any]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if names:
        writer.writerow(names)
    writer.writerows(rows)


if __name__ == "__main__":
    sys.exit(main())
