"""The tables of a domain as they are declared, one after the other.

Belongs here: what every domain declares alike: keys, SQL from files and its words, what a table
reads, rollups.
Does not belong here: what a table is (``declaration.py``), a word of any domain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from analytics_assets.core import calendar
from analytics_assets.core.columns import Dimension
from analytics_assets.core.declaration import Table, in_dependency_order
from analytics_assets.core.lineage import place_of, upstream_of
from analytics_assets.core.refusals import declared_at, no_such, refusal
from analytics_assets.core.rollups import measures_sql
from analytics_assets.core.source import DescribedSource, Source
from analytics_assets.core.sql_files import fill_in, read_sql


class TableSet:
    """The tables of ``domain``: each of its methods declares one and returns it.

    ``sql``: the folder of its SQL files; ``words``: word -> what ``{word}`` stands for in all of
    them; ``defaults``: what each table declares that says nothing else, such as ``owner``. What a
    table is declared with beside what a method names are the fields of ``Table``.
    Each method raises ``DeclarationError`` naming the file and line of its caller, or of the SQL.
    """

    def __init__(
        self,
        domain: str,
        sql: Path | None = None,
        words: Mapping[str, str] | None = None,
        **defaults: Any,
    ) -> None:
        self.domain = domain
        self._sql = sql
        self._words = words or {}
        self._defaults = defaults
        self._known: dict[str, Table] = {}

    @property
    def all(self) -> tuple[Table, ...]:
        """What was declared so far, each table after those that it is computed from."""
        return tuple(in_dependency_order(tuple(self._known.values())))

    def source(self, name: str, source: Source, **declared: Any) -> Table:
        """A table that comes from a source, which may say its columns itself; its checks are made
        beside those that are given."""
        own = source.declared if isinstance(source, DescribedSource) else {}
        checks = (*own.get("checks", ()), *declared.get("checks", ()))
        what = {"layer": "sources", "source": source, **own, **declared, "checks": checks}
        return self._declare(name, **what)

    def from_sql(
        self,
        name: str,
        sql: str = "",
        file: str = "",
        words: Mapping[str, str] | None = None,
        also_reads: Iterable[Table] = (),
        **declared: Any,
    ) -> Table:
        """A table whose rows ``sql`` selects, or else the SQL file ``file`` (or ``name``).

        ``words`` of its own come before those of all; of a table with measures, ``{measures}``
        computes each from the rows that are counted and ``{measure_names}`` lists them. What the
        SQL reads is found in it; ``also_reads`` is what only checks compare with.
        """
        of_measures = {}
        if measures := getattr(declared.get("measures"), "measures", ()):
            of_measures["measures"] = measures_sql(measures)
            of_measures["measure_names"] = ", ".join(measure.name for measure in measures)
        known_words = {**of_measures, **self._words, **(words or {})}
        text = fill_in(sql, known_words) if sql else self._read(name, file or name, known_words)
        key = f"{self.domain}/{name}"
        if circle := self._circle((name,), text):
            why = f"tables depend on each other: {' <- '.join(circle)}"
            raise refusal(key, why, place_of(key, text, f"{self.domain}.{circle[1]}"))
        reads = {*upstream_of(key, text, self._known), *also_reads}
        in_order = tuple(sorted(reads, key=lambda table: table.key))
        return self._declare(name, **{"sql": text, "reads": in_order, **declared})

    def rollup(self, name: str, finer: Table, *grain: Dimension, **declared: Any) -> Table:
        """The sums of a finer table by a coarser grain, partitioned by its axis of time.

        ``Births by municipality and day`` by the axes month and state are described as ``Births by
        state and month`` if nothing else is said.
        """
        what = finer.description.rstrip(".").rpartition(" by ")[0] or finer.description.rstrip(".")
        derived = {
            "layer": "aggregates",
            "rollup_of": finer,
            "grain": grain,
            "measures": finer.measures,
            "period": calendar.partitions_of(grain, finer.period),
            "description": f"{what} by {' and '.join(axis.name for axis in reversed(grain))}.",
        }
        return self._declare(name, **derived | declared)

    def derive(self, tables: Iterable[Table]) -> None:
        """Add tables that were made of those here, in place of what has the same name."""
        self._known.update({table.sql_name: table for table in tables})

    def copy(self) -> TableSet:
        """A set that goes on from here; what is declared in it does not change this one."""
        begun = TableSet(self.domain, self._sql, self._words, **self._defaults)
        begun._known |= self._known
        return begun

    def _declare(self, name: str, **declared: Any) -> Table:
        table = Table(f"{self.domain}/{name}", **{**self._defaults, **declared})
        if twin := self._known.get(table.sql_name):
            raise table.refused(f"a table of that name is declared already ({twin.place})")
        self._known[table.sql_name] = table
        return table

    def _circle(self, path: tuple[str, ...], sql: str) -> tuple[str, ...]:
        """The way from a table to itself through SQL files of tables that are not declared yet."""
        for other in re.findall(rf"\b{self.domain}\.(\w+)", sql):
            file = self._sql / f"{other}.sql" if self._sql else None
            if other == path[0] and len(path) > 1:
                return (*path, other)
            known = other in path or f"{self.domain}.{other}" in self._known
            if known or file is None or not file.is_file():
                continue
            if circle := self._circle((*path, other), file.read_text(encoding="utf-8")):
                return circle
        return ()

    def _read(self, name: str, file: str, words: Mapping[str, str]) -> str:
        key = f"{self.domain}/{name}"
        if self._sql is None:
            why = "give its sql, or the TableSet the folder of its SQL files"
            raise refusal(key, why, declared_at(key))
        path = self._sql / f"{file}.sql"
        if not path.is_file():
            there = sorted(other.name for other in self._sql.glob("*.sql"))
            why = f"in the folder {self._sql.name} {no_such('file', path.name, there)}"
            raise refusal(key, why, declared_at(key))
        return read_sql(path, words)
