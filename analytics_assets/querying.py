"""`duckdb` and `psql`: statements of people on warehouse and production, read-only, as CSV.

Belongs here: running them, printing what comes back, and the shell.
Does not belong here: where warehouse and production are.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import duckdb

from analytics_assets import settings
from analytics_assets.settings import Settings


def warehouse(sql: str | None) -> int:
    """Run one statement on the warehouse, read-only, and print CSV; a shell without SQL."""
    config = settings.load()
    if "://" not in config.lake and not config.catalogue.exists():
        print(
            f"There is no warehouse in {config.home} yet: run `make materialize`.", file=sys.stderr
        )
        return 1
    try:
        catalogue = _opened(config)
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

        return _query(sql, "duckdb", execute, duckdb.Error)


def _opened(config: Settings) -> duckdb.DuckDBPyConnection:
    """The catalogue, read-only; written anew where its views read files elsewhere than in the lake
    (the home was moved, or copied), and brought up where the lake is of many machines."""
    if "://" not in config.lake:
        catalogue = duckdb.connect(str(config.catalogue), read_only=True)
        reading = "select sql from duckdb_views() where contains(sql, 'read_parquet') limit 1"
        found = catalogue.execute(reading).fetchone()
        if found is None or config.lake in found[0]:
            return catalogue
        catalogue.close()
    # Only who needs it waits until Dagster and the domains are imported.
    from analytics_assets import registry
    from analytics_assets.warehouse.builds import Snapshot
    from analytics_assets.warehouse.catalogue import mend_catalogue, open_catalogue
    from analytics_assets.warehouse.lake import open_lake

    mend_catalogue(config, Snapshot(open_lake(config.lake)), registry.tables(), asked=True)
    return open_catalogue(config)


def production(sql: str | None) -> int:
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

        return _query(sql, "psql", safely, sa.exc.DBAPIError)


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
    with suppress(ImportError):
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
    writer.writerows([_as_text(value) for value in row] for row in rows)


def _as_text(value: Any) -> Any:
    """JSON, lists and structs are JSON, as other programs read them."""
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value
