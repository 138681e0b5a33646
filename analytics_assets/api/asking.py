"""Questions to production: which table answers, its rows, and what can be asked.

Belongs here: reading how tables stand and what a plan says, for routes, the command line and
assistants alike.
Does not belong here: choosing the table (``core/resolver.py``), routes (``ask.py``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from analytics_assets.api.database import Database
from analytics_assets.api.errors import Problem
from analytics_assets.api.meta import Health, read_health
from analytics_assets.api.versions import version_sql
from analytics_assets.core import rates
from analytics_assets.core.catalogue import Catalogue, Metric, Subject
from analytics_assets.core.declaration import Table
from analytics_assets.core.plan import Plan
from analytics_assets.core.question import Question, QuestionError
from analytics_assets.core.refusals import no_such
from analytics_assets.core.resolver import STATES, CannotAnswer, Standing, resolve
from analytics_assets.core.times import TIMES
from analytics_assets.production.records import SCHEMA as LEDGER_SCHEMA

MOST_ROWS = 10_000
# How a table stands decides who answers, and not what is true: the answer says its own version.
_STANDS_FOR = 10.0
_STATE = (
    f"{version_sql('%(table)s')} as _version, (select promoted_at from {LEDGER_SCHEMA}.ledger"
    " where table_name = %(table)s order by id desc limit 1) as _as_of"
)


class AnswerColumn(BaseModel):
    """A column of an answer."""

    name: str
    type: str
    unit: str
    description: str
    formula: str = Field(description="How it is computed, of what is asked for; else empty.")


class Answer(BaseModel):
    """What was asked, who answered, and the rows."""

    question: str = Field(description="As it was read.")
    table: str = Field(description="The smallest promoted table that has what was asked.")
    state: str = Field(description="How that table stands, as /meta/health says.")
    version: str
    as_of: datetime | None = Field(description="When that version was promoted.")
    columns: list[AnswerColumn]
    notes: list[str]
    data: list[dict[str, Any]]
    more: bool = Field(description="Whether rows were left out; the limit says how many are not.")


class Askable(BaseModel):
    """What can be asked for."""

    name: str
    kind: str = Field(description="measure, ratio or percentile")
    unit: str
    description: str
    formula: str
    of: str = Field(description="The facts that it is of.")
    tables: list[str] = Field(description="The promoted tables that have it.")
    by: list[str] = Field(description="What it can be asked by, in one of them.")


class Standings:
    """How promoted tables stand, looked at every ten seconds."""

    def __init__(self, tables: Sequence[Table], database: Database) -> None:
        self._tables, self._database = list(tables), database
        self._keys = {f"{t.domain}.{t.published_name}": t.key for t in tables}
        self._health: Health | None = None
        self._looked, self._lock = 0.0, asyncio.Lock()

    async def health(self) -> Health:
        """The last look; raises ``Problem``."""
        async with self._lock:
            if self._health is None or time.monotonic() - self._looked > _STANDS_FOR:
                self._health = await read_health(self._database, self._tables)
                self._looked = time.monotonic()
            return self._health

    def forget(self) -> None:
        """Look anew at the next question: what was there is not."""
        self._health = None

    async def now(self) -> dict[str, Standing]:
        """Table key -> how it stands, of those that are there."""
        return {
            self._keys[table.name]: Standing(table.rows, table.state)
            for table in (await self.health()).tables
            if table.state in STATES
        }


@dataclass(frozen=True)
class Asked:
    """A plan, and the statement by which production answers it."""

    plan: Plan
    state: str

    @property
    def sql(self) -> str:
        return self.plan.sql(f"{_STATE}, ")

    def values(self, limit: int | None) -> dict[str, Any]:
        return {**self.plan.parameters, "table": self.plan.offer.table.key, "limit": limit}

    @property
    def columns(self) -> list[AnswerColumn]:
        """What its columns are."""
        formulas = {metric.name: metric.formula for metric in self.plan.metrics}
        found = []
        for column in self.plan.columns:
            word = column.name.rpartition("_")[2]
            formula = formulas.get(column.name) or rates.formula_of(word)
            found.append(
                AnswerColumn(
                    name=column.name,
                    type=column.type,
                    unit=column.unit,
                    description=column.description,
                    formula=formula,
                )
            )
        return found


class Asker:
    """Questions to one production; as its reader, who can only read."""

    def __init__(self, tables: Sequence[Table], database: Database) -> None:
        promoted = [table for table in tables if table.publish]
        self.catalogue = Catalogue(promoted)
        self.tables = promoted
        self.database = database
        self.standings = Standings(promoted, database)

    async def plan(self, question: Question) -> Asked:
        """Who answers; raises ``Problem`` with a sentence: 422."""
        standing = await self.standings.now()
        try:
            plan = resolve(self.catalogue, question, standing)
        except CannotAnswer as refusal:
            raise Problem(422, "cannot_answer", str(refusal)) from None
        except QuestionError as refusal:
            raise Problem(422, "invalid_value", f"question: {refusal}") from None
        return Asked(plan, standing[plan.offer.table.key].state)

    async def answer(self, question: Question) -> Answer:
        """The answer, of at most ``MOST_ROWS`` rows; raises ``Problem``."""
        asked = await self.plan(question)
        most = min(question.limit or MOST_ROWS, MOST_ROWS)
        rows = await self._read(asked, most + 1)
        version, as_of = rows[0][:2] if rows else await self._version(asked)
        names = [column.name for column in asked.plan.columns]
        return Answer(
            question=str(question),
            table=asked.plan.offer.name,
            state=asked.state,
            version=version,
            as_of=as_of,
            columns=asked.columns,
            notes=list(asked.plan.notes),
            data=[dict(zip(names, row[2:], strict=True)) for row in rows[:most]],
            more=len(rows) > most,
        )

    async def _read(self, asked: Asked, limit: int) -> Sequence[Any]:
        try:
            return await self.database.read(asked.sql, asked.values(limit), by_name=False)
        except Problem as problem:
            if problem.code == "not_promoted":
                self.standings.forget()
            raise

    async def _version(self, asked: Asked) -> tuple[str, datetime | None]:
        """Of a table that has no row for this."""
        table = {"table": asked.plan.offer.table.key}
        (row,) = await self.database.read(f"select {_STATE}", table, by_name=False)
        return row

    def batches(self, asked: Asked) -> AsyncIterator[Sequence[Sequence[Any]]]:
        """The rows of an answer, each after its version and moment."""
        return self.database.stream(asked.sql, asked.values(asked.plan.question.limit))

    # ---- what can be asked -----------------------------------------------------------------------

    def metrics(self) -> list[Askable]:
        """All that can be asked for, by facts."""
        return [
            _described(subject, metric)
            for subject in self.catalogue.subjects
            for metric in subject.metrics.values()
        ]

    def metric(self, name: str) -> list[Askable]:
        """What a name means, in all facts that have it; raises ``Problem``: 404."""
        found = [
            _described(subject, metric)
            for subject in self.catalogue.subjects
            if (metric := subject.metric(name))
        ]
        if not found:
            known = [metric.name for metric in self.metrics()]
            raise Problem(404, "not_found", f"{no_such('metric', name[:100], known)}.")
        return found


def _described(subject: Subject, metric: Metric) -> Askable:
    offers = [offer for offer in subject.offers if offer.metric(metric.name)]
    words = dict.fromkeys(name for offer in offers for name in offer.words)
    return Askable(
        name=metric.name,
        kind=metric.kind,
        unit=metric.unit,
        description=metric.description,
        formula=metric.formula,
        of=f"{subject.domain}.{subject.name}",
        tables=[offer.name for offer in offers],
        by=[name for name in words if name not in TIMES]
        + [name for name in TIMES if name in words],
    )


def rates_described() -> Mapping[str, str]:
    """Word of ``with`` or of a comparison -> its formula and source."""
    return rates.FORMULAS
