"""Commands of those who read: the API, the dashboard, questions, and SQL.

Belongs here: which there are, and handing over to what does it.
Does not belong here: commands that build, keep or set up (``cli.py``).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping

from analytics_assets import home, settings

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


# ---- dashboard ----------------------------------------------------------------------------------


def _dashboard(options: argparse.Namespace) -> int:
    """Show production as pages, on 127.0.0.1:8050 unless DASHBOARD_HOST and DASHBOARD_PORT say
    otherwise."""
    from analytics_assets import registry
    from analytics_assets.api.settings import ApiSettingsError
    from analytics_assets.showing import become

    try:
        become(registry.tables())
    except ApiSettingsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _shapes(options: argparse.Namespace) -> int:
    """Fetch the shapes of places for the maps of the dashboard, or simplify files of your own."""
    from analytics_assets import registry
    from analytics_assets.dashboard.shapes import prepare

    home.take(settings.load())
    maps = {axis: drawn for own in registry.pages().values() for axis, drawn in own.maps.items()}
    for said in prepare(settings.load(), maps, fetch=True):
        print(said, flush=True)
    return 0


# ---- duckdb and psql ----------------------------------------------------------------------------


def _duckdb(options: argparse.Namespace) -> int:
    """Run one statement on the warehouse, read-only, and print CSV; a shell without SQL."""
    from analytics_assets.querying import warehouse

    return warehouse(options.sql)


def _psql(options: argparse.Namespace) -> int:
    """Run one statement on production, read-only, and print CSV; a shell without SQL."""
    from analytics_assets.querying import production

    return production(options.sql)


# ---- questions ----------------------------------------------------------------------------------


def _ask(options: argparse.Namespace) -> int:
    """Answer a question from the smallest promoted table that can: MEASURES by WORDS where ...
    over ... compare ... order ... limit. Without one: what can be asked for."""
    from analytics_assets.asked import ask, list_metrics

    question = " ".join(options.question)
    return ask(question, options.format) if question else list_metrics()


def _why(options: argparse.Namespace) -> int:
    """Say why a number is what it is: its version, run, inputs, down to the landed files."""
    from analytics_assets.asked import why

    return why(options.table, options.measure, " ".join(options.key))


def _mcp(options: argparse.Namespace) -> int:
    """Answer assistants on standard input and output, by the Model Context Protocol."""
    from analytics_assets.asked import assist

    return assist()


COMMANDS = {
    "duckdb": _duckdb,
    "psql": _psql,
    "ask": _ask,
    "why": _why,
    "mcp": _mcp,
    "api": _api,
    "dashboard": _dashboard,
    "shapes": _shapes,
}


def add_arguments(chosen: Mapping[str, argparse.ArgumentParser]) -> None:
    """What these commands take; ``chosen``: their parsers by name."""
    for name in ("duckdb", "psql"):
        chosen[name].add_argument("sql", nargs="?")
    chosen["ask"].add_argument("question", nargs="*", help="such as: total_births by year")
    chosen["ask"].add_argument("--format", choices=("table", "json", "csv"), default="table")
    chosen["why"].add_argument("table", help="as an answer names it")
    chosen["why"].add_argument("measure")
    chosen["why"].add_argument("key", nargs="*", help="such as: year = 2024 and state_code = 12")
