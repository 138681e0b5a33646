"""`materialize`: everything that is behind, built by this process, and a table of what was done.

Belongs here: the order of it, and what is printed.
Does not belong here: choosing and running (``automation/refresh.py``), or the UI (``serving.py``).
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import chain

import dagster as dg

from analytics_assets import __version__, environment, registry, running_code, settings
from analytics_assets.automation.jobs import present
from analytics_assets.automation.plan import PlannedRun, by_domain, job_name, plan
from analytics_assets.automation.queueing import queue
from analytics_assets.automation.refresh import execute, finish, refresh
from analytics_assets.automation.staleness import as_text, staleness
from analytics_assets.automation.summary import Done, Recorded, count, print_table
from analytics_assets.automation.turns import (
    end_of_daemon,
    end_own,
    in_this_process,
    wait_for_daemon,
)
from analytics_assets.automation.usable import unusable
from analytics_assets.core.chosen import named, partitions
from analytics_assets.core.contracts import asset_key
from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import START
from analytics_assets.core.source import SourceError
from analytics_assets.definitions import build as definitions_of
from analytics_assets.production.release_assets import release_job_name
from analytics_assets.serving import answers
from analytics_assets.settings import Settings
from analytics_assets.warehouse.binding import bind_new

_LONGEST_START = 120.0


def declared() -> tuple[Table, ...]:
    """All tables, whose SQL is known to be right before anything is done for them."""
    tables = registry.tables()
    bind_new(tables)
    return tables


@dataclass(frozen=True)
class Chosen:
    """A table that is built anew whether it is behind or not, and which of its partitions."""

    table: str
    partitions: Sequence[str] = ()

    def runs(self, tables: Sequence[Table]) -> list[PlannedRun]:
        """A run for each stretch of partitions; ``SourceError`` where it names what is not."""
        (table, *more) = named(tables, self.table)
        if more:
            raise SourceError("this is a domain", self.table, "Say one table of it.")
        period = table.period
        every = self.partitions or period.keys_between(START, datetime.now(timezone.utc).date())
        spans = period.spans(partitions(table, every))
        what = (job_name(table.domain, period), (asset_key(table),), period)
        return [PlannedRun(*what, first, last, (), "") for first, last in spans]


def build(behind: str | None, began: datetime, chosen: Chosen | None = None) -> bool:
    """Build what is behind, or what is ``chosen`` and all of its domain that follows; ``False`` if
    anything failed. Begins when the UI ``behind`` answers.

    For the one process that builds in this home, since ``began``. What it works out of the
    declarations is noted, so Dagster, which starts meanwhile, need not.
    """
    tables = declared()
    runs = chosen.runs(tables) if chosen else []
    if behind:
        _wait_for(behind)
    else:
        running_code.refuse_beside_other(settings.load())
    definitions = definitions_of(tables)
    with _instance() as (config, instance):
        if behind:
            end_of_daemon(instance, began)
        domains = {table.domain for table in tables}
        if chosen:
            domains = {named(tables, chosen.table)[0].domain}
        own = [table for table in tables if table.domain in domains]
        if config.broker_url:
            return _hand_over(own, instance, runs)
        return _refresh(config, own, definitions, instance, runs)


def _hand_over(
    tables: Sequence[Table], instance: dg.DagsterInstance, first: Sequence[PlannedRun]
) -> bool:
    """Queue what comes ``first``, or else what is behind, for the workers; the sensor carries on
    what that changes. ``False`` if a source cannot be read."""
    runs, problems = list(first), []
    with present() as (snapshot, engine):
        for own in [] if runs else by_domain(tables):
            try:
                runs += plan(own, snapshot, engine)
            except SourceError as error:
                problems.append(str(error))
    for run in queue(instance, runs) if runs else ():
        print(f"queued: {run}", flush=True)
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(runs)} runs are queued for the workers." if runs else "Nothing is to be queued.")
    return not problems


def promote(name: str) -> bool:
    """Release the domains of a table or domain, ``*`` for all; ``False`` if anything failed."""
    tables = declared()
    definitions = definitions_of(tables)
    domains = sorted({table.domain for table in named(tables, name) if table.publish})
    running_code.refuse_beside_other(settings.load())
    with _instance() as (_, instance):
        done, recorded = Done(), Recorded(instance)
        wait_for_daemon(instance, settings.load())
        for domain in domains:
            job = definitions.resolve_job_def(release_job_name(domain))
            count(in_this_process(job, instance), recorded, done)
    if done.table:
        print_table(done.table)
    for problem in done.problems:
        print(f"\n{problem}", file=sys.stderr)
    if not done.table and not done.problems:
        print("Production has what it should have. Nothing was changed.")
    return not done.problems


@contextmanager
def _instance() -> Iterator[tuple[Settings, dg.DagsterInstance]]:
    """Settings, and Dagster's instance without the runs of commands that were killed."""
    config = environment.prepare()
    registry.prepare()
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    # Of a server that is gone dagster-postgres would tell each of its tries.
    logging.getLogger().addFilter(lambda record: "Retrying failed database" not in record.msg)
    with dg.DagsterInstance.get() as instance:
        end_own(instance, config)
        yield config, instance


def _announce(tables: Sequence[Table]) -> None:
    """Say what of what is there this code makes anew, before it does."""
    with present() as (snapshot, engine):
        lags = [
            lag for lag in staleness(tables, snapshot, engine) if lag.built or not lag.partitions
        ]
        if not snapshot.ledger.read():
            return
    print(f"The code has changed since the last build here; this is version {__version__}.")
    if lags:
        print(
            f"Before anything is done, this is to be built or promoted anew:\n{as_text(lags)}",
            flush=True,
        )
    else:
        print("Nothing that is there is to be built or promoted anew.", flush=True)


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
    first: Sequence[PlannedRun],
) -> bool:
    """Run what comes ``first``, bring everything up to date and print one table; ``False`` if
    anything failed."""
    told = registry.problems(tables)
    for problem in told:
        print(problem, file=sys.stderr)
    if running_code.note_built(config):
        _announce(tables)
    started = time.monotonic()
    done, recorded = Done(), Recorded(instance)
    try:
        begun = ((run, execute(definitions, run, instance)) for run in first)
        for run, result in chain(begun, refresh(definitions, tables, instance)):
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
