"""`materialize`: everything that is behind, built by this process, and a table of what was done.

Belongs here: the order of it, and what is printed.
Does not belong here: choosing and running (``automation/refresh.py``), or the UI (``serving.py``).
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from datetime import datetime

import dagster as dg

from analytics_assets import environment, interrupts, registry
from analytics_assets.automation.refresh import finish, refresh
from analytics_assets.automation.summary import Done, Recorded, count, print_table
from analytics_assets.automation.turns import end_of_daemon, end_own
from analytics_assets.automation.usable import unusable
from analytics_assets.core.declaration import Table
from analytics_assets.core.source import SourceError
from analytics_assets.definitions import build as definitions_of
from analytics_assets.serving import answers
from analytics_assets.settings import Settings
from analytics_assets.warehouse.binding import bind_new

_LONGEST_START = 120.0


def declared() -> tuple[Table, ...]:
    """All tables, whose SQL is known to be right before anything is done for them."""
    tables = registry.tables()
    bind_new(tables)
    return tables


def build(behind: str | None, began: datetime) -> bool:
    """Build what is behind; ``False`` if anything failed. Begins when the UI ``behind`` answers.

    For the one process that builds in this home, since ``began``. What it works out of the
    declarations is noted, so Dagster, which starts meanwhile, need not.
    """
    try:
        tables = declared()
        definitions = definitions_of(tables)
        if behind:
            _wait_for(behind)
        config = environment.prepare()
        registry.prepare()
        logging.getLogger("dagster").setLevel(logging.CRITICAL)
        # Of a server that is gone dagster-postgres would tell each of its tries.
        logging.getLogger().addFilter(lambda record: "Retrying failed database" not in record.msg)
        with dg.DagsterInstance.get() as instance:
            end_own(instance, config)
            if behind:
                end_of_daemon(instance, began)
            return _refresh(config, tables, definitions, instance)
    except BaseException:  # Dagster's own word for it is no Exception
        interrupts.check()
        raise


def _wait_for(url: str) -> None:
    """The UI begins within seconds only if nothing else takes the processor."""
    end = time.monotonic() + _LONGEST_START
    while time.monotonic() < end and not answers(url):
        time.sleep(0.1)


def _refresh(
    config: Settings,
    tables: Sequence[Table],
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
) -> bool:
    """Bring everything up to date and print one table; ``False`` if anything failed."""
    told = registry.problems(tables)
    for problem in told:
        print(problem, file=sys.stderr)
    started = time.monotonic()
    done, recorded = Done(), Recorded(instance)
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
