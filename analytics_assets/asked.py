"""`ask`, `why` and `mcp`: questions of people at the command line, and of assistants.

Belongs here: asking production as its reader, and printing what it says.
Does not belong here: answering (``api/asking.py``), where production is.
"""

from __future__ import annotations

import asyncio
import csv
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from analytics_assets import registry, settings
from analytics_assets.api.asking import Answer, Asker
from analytics_assets.api.database import Database
from analytics_assets.api.errors import Problem
from analytics_assets.api.lists import named
from analytics_assets.api.origins import read_origin
from analytics_assets.api.settings import ApiSettings
from analytics_assets.core.declaration import Table
from analytics_assets.core.display import rows_as_markdown
from analytics_assets.core.question import QuestionError, read
from analytics_assets.core.source import SourceError
from analytics_assets.production import server
from analytics_assets.provenance import steps
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import open_lake

T = TypeVar("T")


def ask(question: str, format_: str) -> int:
    """Print the answer; exit code 1 and a sentence where there is none."""
    answer = _asked(lambda asker: asker.answer(read(question)))
    if answer is None:
        return 1
    if format_ == "json":
        print(answer.model_dump_json(indent=1))
    elif format_ == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow([column.name for column in answer.columns])
        writer.writerows([row.values() for row in answer.data])
    else:
        _print(answer)
    return 0


def list_metrics() -> int:
    """Print what can be asked for, and what by."""
    asker = Asker(registry.tables(), Database(server.urls(settings.load()).reader, ApiSettings()))
    rows = [
        {"ask for": metric.name, "of": metric.of, "unit": metric.unit, "by": ", ".join(metric.by)}
        for metric in asker.metrics()
    ]
    print(rows_as_markdown(rows))
    return 0


def _print(answer: Answer) -> None:
    print(rows_as_markdown(answer.data))
    moment = f", as of {answer.as_of:%Y-%m-%d %H:%M} UTC" if answer.as_of else ""
    print(f"\nFrom {answer.table} ({answer.state}), version {answer.version}{moment}.")
    if answer.more:
        print(f"There are more rows than these {len(answer.data):,}; give a limit.")
    for note in answer.notes:
        print(note)


def why(table: str, measure: str, key: str) -> int:
    """Print where a number comes from; exit code 1 and a sentence where there is none."""
    tables = registry.tables()
    origin = _asked(lambda asker: read_origin(asker.tables, asker.database, table, measure, key))
    if origin is None:
        return 1
    own = named([t for t in tables if t.publish])[origin.table]
    row = ", ".join(f"{name} {value}" for name, value in origin.key.items())
    print(f"{origin.table} {measure}, {row}: {json.dumps(origin.value, default=str)} {origin.unit}")
    if origin.formula:
        print(f"  is {origin.formula}")
    for entry in origin.chain[0].promoted:
        print(
            f"  promoted {entry.promoted_at:%Y-%m-%d %H:%M:%S} UTC in run {entry.run_id}, release"
            f" {entry.release}, from version {entry.version} of the warehouse's table"
        )
    for step in built(own, origin.partition):
        print(step)
    return 0


def built(table: Table, partition: str) -> Sequence[str]:
    """How a partition was built, a text for each step; nothing where this home has no warehouse."""
    tables = registry.tables()
    snapshot = Snapshot(open_lake(settings.load().lake))
    try:
        return [str(step) for step in steps(snapshot, tables, table, partition)]
    except SourceError as error:
        return [str(error)]


def assist() -> int:
    """Serve until standard input ends."""
    try:
        from analytics_assets.api.assistants import assistant_server
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "mcp":
            raise
        raise SourceError(
            "the package mcp is not installed",
            "`analytics-assets mcp`",
            "Install it: pip install 'analytics-assets[mcp]'.",
        ) from None
    url = server.urls(settings.load()).reader
    assistant_server(registry.tables(), url, ApiSettings(), built).run()
    return 0


def _asked(what: Callable[[Asker], Awaitable[T]]) -> T | None:
    async def asked() -> T:
        database = Database(server.urls(settings.load()).reader, ApiSettings())
        try:
            return await what(Asker(registry.tables(), database))
        finally:
            await database.close()

    try:
        return asyncio.run(asked())
    except Problem as problem:
        print(problem.text, file=sys.stderr)
    except QuestionError as error:
        print(error, file=sys.stderr)
    return None
