"""The command line: run, materialize, duckdb, psql.

Belongs here: starting things in order and printing what they did.
Does not belong here: anything that the UI, a schedule or a test would also need.
"""

from __future__ import annotations

import argparse
import csv
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from analytics_assets import registry, settings
from analytics_assets.core.declaration import Table
from analytics_assets.core.refusals import DeclarationError
from analytics_assets.core.source import SourceError

HOST = "127.0.0.1"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="analytics-assets", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for name, command in (("run", _run), ("materialize", _materialize)):
        commands.add_parser(name, help=str(command.__doc__)).set_defaults(command=command)
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
    except (DeclarationError, SourceError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read the output has seen enough; Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _add_commands_of_domains(commands: Any) -> None:
    for domain in registry.asked():
        for own in domain.commands:
            sub = commands.add_parser(own.name, help=str(own.run.__doc__))
            sub.add_argument(own.argument, type=own.type, nargs="+")
            sub.set_defaults(
                command=lambda options, own=own: own.run(getattr(options, own.argument))
            )


# ---- run and materialize ------------------------------------------------------------------------


def _run(options: argparse.Namespace) -> int:
    """Materialise everything that is behind, then serve the UI with the daemon."""
    tables = _declared()
    with _environment() as config:
        _refresh(config, tables)
        return _serve()


def _materialize(options: argparse.Namespace) -> int:
    """Materialise everything that is behind; exit code 1 if a run or check failed."""
    tables = _declared()
    with _environment() as config:
        return 0 if _refresh(config, tables) else 1


def _declared() -> tuple[Table, ...]:
    """All tables, whose SQL is known to be right before anything is started for them."""
    from analytics_assets.warehouse.binding import bind_new

    tables = registry.tables()
    bind_new(tables)
    return tables


@contextmanager
def _environment() -> Iterator[settings.Settings]:
    """Servers, Dagster's home and the sample, as every command and child process expects them."""
    from analytics_assets.production import server

    config = settings.load()
    os.environ["DAGSTER_PG_URL"] = server.urls(config).dagster
    os.environ["DAGSTER_HOME"] = str(config.dagster_home)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
    # Materialisation events are the cost of a long backfill; on PostgreSQL they go in batches.
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "1000")
    config.dagster_home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_project_file("dagster.yaml"), config.dagster_home / "dagster.yaml")
    registry.prepare()
    yield config


def _project_file(name: str) -> Path:
    return Path(__file__).parents[1] / name


def _refresh(config: settings.Settings, tables: Sequence[Table]) -> bool:
    """Bring everything up to date and print one table; ``False`` if anything failed."""
    told = registry.problems(tables)
    for problem in told:
        print(problem, file=sys.stderr)
    import dagster as dg

    from analytics_assets.automation.refresh import finish, refresh
    from analytics_assets.automation.summary import Done, Recorded, count, print_table
    from analytics_assets.automation.usable import unusable
    from analytics_assets.definitions import build

    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    started = time.monotonic()
    done = Done()
    with dg.DagsterInstance.get() as instance:
        definitions = build(tables)
        recorded = Recorded(instance)
        try:
            for run, result in refresh(definitions, tables, instance):
                print(f"[{time.monotonic() - started:6.1f} s] {run}", flush=True)
                count(result, recorded, done)
        except SourceError as error:
            done.problems.append(str(error))
        was_behind = bool(done.table)
        for result in finish(definitions, registry.last_jobs(), instance):
            count(result, recorded, done)
    if was_behind:
        print_table(done.table)
    for check, why in done.warnings.items():
        print(f"\nWarning, {check}:\n{why}")
    done.problems += unusable(tables).values()
    for problem in done.problems:
        if problem not in told:
            print(f"\n{problem}", file=sys.stderr)
    if was_behind:
        what = f"{len(done.table)} assets materialised"
    else:
        what = "Nothing could be built" if done.problems else "Everything is up to date"
    print(f"\n{what} in {time.monotonic() - started:.0f} s. Kept in {config.home}")
    return not done.problems


def _serve() -> int:
    """`dagster dev` in the foreground until it is interrupted."""
    port = os.environ.get("ANALYTICS_PORT") or "3000"
    print(f"Serving http://{HOST}:{port} (Ctrl-C to stop)", flush=True)
    command = [sys.executable, "-m", "dagster", "dev", "-h", HOST, "-p", port]
    command += ["-w", str(_project_file("workspace.yaml")), "--log-level", "warning"]
    server = subprocess.Popen(
        command,
        # Elsewhere it would warn that the project's dagster.yaml is not the one it reads.
        cwd=os.environ["DAGSTER_HOME"],
        # It would say at each start that "dg dev" is the newer command.
        env={**os.environ, "PYTHONWARNINGS": "ignore:Function"},
        preexec_fn=_default_signals,
    )
    # Ctrl-C reaches the whole group; a TERM sent to this process alone is passed on.
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    while True:
        try:
            return server.wait()
        except KeyboardInterrupt:
            continue


def _default_signals() -> None:
    # Started in the background a shell makes it ignore SIGINT, and then it cannot be stopped.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


# ---- status -------------------------------------------------------------------------------------


def _status(options: argparse.Namespace) -> int:
    """Print which partitions are behind, why, and since when; exit code 1 if a table is stale."""
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
    from analytics_assets.automation.repair import repair

    with _environment() as config:
        done = list(repair(config, registry.tables()))
    print("\n".join(done) or "Every log can be read. Nothing was changed.")
    return 0


# ---- api ----------------------------------------------------------------------------------------


def _api(options: argparse.Namespace) -> int:
    """Serve production over HTTP, on 127.0.0.1:8000 unless API_HOST and API_PORT say otherwise."""
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
    from analytics_assets.dictionary import dictionary

    print(dictionary(_declared()))
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
