"""Every kind of change of a declaration, done to a domain; docs/changes.md is what came of it.

``python -m analytics_assets_tests.warehouse.test_kinds_of_change`` writes and prints that page.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import duckdb
import psycopg2
import pytest

from analytics_assets import settings
from analytics_assets.automation.jobs import present
from analytics_assets.automation.refresh import refresh
from analytics_assets.automation.staleness import staleness
from analytics_assets.core import partitions
from analytics_assets.core.columns import MeasureList, Ratio
from analytics_assets.core.declaration import Check, Publish, Table
from analytics_assets.core.small_cells import protect
from analytics_assets.definitions import build as definitions_of
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.catalogue import mend_catalogue
from analytics_assets.warehouse.lake import open_lake
from analytics_assets_tests import toy
from analytics_assets_tests.conftest import as_admin
from analytics_assets_tests.toy import SALES, WEEK, toy_tables
from analytics_assets_tests.workspace import Ran, Workspace

PAGE = Path(__file__).parents[2] / "docs" / "changes.md"
HEAD = """# What a changed declaration changes
Each kind of change was made to a small domain of sales (`raw_sales`, a month; `fact_sales`, a day;
`agg_shop_daily` and its rollups `agg_shop_monthly`, `agg_weekly`, `agg_yearly`, all in production),
and everything that was behind then was run. Written by
`python -m analytics_assets_tests.warehouse.test_kinds_of_change`.

| change | warehouse | production | alerts |
|---|---|---|---|
"""
SOURCE = '''
"""Sales."""

from contextlib import contextmanager

from analytics_assets_tests.toy import Memory


class Kiosk(Memory):
    """Sales of a kiosk."""

    def __init__(self, months, factor=1):
        super().__init__()
        self.months = months
        self.factor = factor

    @contextmanager
    def land(self, landing):
        with super().land(landing) as selects:
            yield [f"select * replace (cents * {self.factor} as cents) from ({sql})" for sql in selects]
'''  # noqa: E501
MONTHS = {
    f"2020-{month:02}": [(date(2020, month, day), shop, 400) for day in (6, 7, 15) for shop in "ab"]
    for month in (4, 5, 6)
}
_CENTS = "select _partition, sold_on, shop from toy.fact_sales where cents"
_CHECK = Check("sales_are_small", "Sales are small", f"{_CENTS} > 300", "Look at them.")
_MEAN = Ratio("mean_cents", "cents", "sales", "Mean price.", "cents")

pytestmark = pytest.mark.slow


def kiosk(folder: Path, old: str = "", new: str = "", factor: int = 1) -> Any:
    """The source of the domain, from a module whose text is as it is after an edit."""
    name = f"kiosk_{uuid4().hex}"
    path = folder / name / "sources.py"
    path.parent.mkdir()
    assert old in SOURCE
    path.write_text(SOURCE.replace(old, new) if old else SOURCE)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module.Kiosk(MONTHS, factor)


# ---- the kinds of change ------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """A change, by what it makes of the sound tables."""

    what: str
    tables: Callable[[Path, pytest.MonkeyPatch], Sequence[Table]]


def of_one(what: str, name: str, change: Callable[[Table], Table]) -> Kind:
    """One table of the domain is declared otherwise, and those computed from it know it."""

    def tables(folder: Path, patch: pytest.MonkeyPatch) -> Sequence[Table]:
        return _with(toy_tables(kiosk(folder)), f"toy/{name}", change)

    return Kind(what, tables)


def of_fact(what: str, change: Callable[[Table], Table]) -> Kind:
    return of_one(what, "fact_sales", change)


def _with(tables: Sequence[Table], key: str, change: Callable[[Table], Table]) -> list[Table]:
    made: dict[str, Table] = {}
    for table in tables:
        table = replace(
            table,
            reads=tuple(made[one.key] for one in table.reads),
            rollup_of=table.rollup_of and made[table.rollup_of.key],
            measured_from=table.measured_from and made[table.measured_from.key],
        )
        made[table.key] = change(table) if key in (table.key, "") else table
    return list(made.values())


def of_measures(what: str, measures: MeasureList) -> Kind:
    def tables(folder: Path, patch: pytest.MonkeyPatch) -> Sequence[Table]:
        patch.setattr(toy, "SALES", measures)
        return toy_tables(kiosk(folder))

    return Kind(what, tables)


def of_source(what: str, old: str = "", new: str = "", factor: int = 1) -> Kind:
    return Kind(what, lambda folder, _: toy_tables(kiosk(folder, old, new, factor)))


def _big_from(cents: int) -> MeasureList:
    sales, big, turnover = SALES.measures
    big = replace(big, sql=f"count(*) filter (where cents > {cents})")
    return replace(SALES, measures=(sales, big, turnover))


def _column(number: int, **how: Any) -> Callable[[Table], Table]:
    def change(table: Table) -> Table:
        columns = list(table.columns)
        columns[number] = replace(columns[number], **how)
        return replace(table, columns=tuple(columns))

    return change


def _checked(**how: Any) -> Callable[[Table], Table]:
    return lambda table: replace(table, checks=(replace(_CHECK, **how),))


def _less(table: Table) -> Table:
    return replace(table, sql=f"{table.sql} and shop <> 'b'", keeps_rows=False)


def _published(**how: Any) -> Callable[[Table], Table]:
    return lambda table: replace(table, publish=Publish(**how))


def _protected(folder: Path, patch: pytest.MonkeyPatch) -> Sequence[Table]:
    def change(table: Table) -> Table:
        publish = table.publish and replace(table.publish, threshold=3)
        return replace(table, publish=publish)

    return protect(_with(toy_tables(kiosk(folder)), "", change))


def _later_start(folder: Path, patch: pytest.MonkeyPatch) -> Sequence[Table]:
    patch.setattr(partitions, "START", date(2001, 1, 1))
    for period in partitions.PERIODS:
        patch.delitem(period.__dict__, "definition", raising=False)
    return toy_tables(kiosk(folder))


_END_OF_WEEK = {"week": "cast(date_trunc('week', {date}) as date) + 6"}
KINDS = [
    of_one(
        "a rollup's axis: weeks by their Sunday",
        "agg_weekly",
        lambda t: replace(t, grain=(replace(WEEK, from_date=_END_OF_WEEK),)),
    ),
    of_fact("time column", lambda t: replace(t, time_column="sold_on + 0")),
    of_fact("SQL: one shop less", _less),
    of_fact("comment in SQL", lambda t: replace(t, sql=f"-- Dated.\n{t.sql}")),
    of_measures("measure: what counts as big", _big_from(300)),
    of_measures("ratio added", replace(SALES, ratios=(*SALES.ratios, _MEAN))),
    of_fact("column type", _column(2, type="bigint")),
    of_fact("check added that rows pass", _checked(sql=f"{_CENTS} > 900")),
    of_fact("check added that rows fail", _checked()),
    of_fact("check added that warns", _checked(blocking=False)),
    of_fact("stricter rule that rows fail", _column(2, maximum=300)),
    of_fact("looser rule", _column(2, minimum=None)),
    of_fact("description", lambda t: replace(t, description="What was sold.")),
    of_source("source's code that changes rows", "cents * {", "cents + {"),
    of_source("comment in the source's code", "        self.f", "        # One.\n        self.f"),
    of_source("source's setting", factor=2),
    Kind("setting of the domain: counts below 3 are withheld", _protected),
    Kind("first day of all partitions", _later_start),
    of_one("index of the warehouse", "agg_shop_daily", lambda t: replace(t, indexed=("shop",))),
    of_one("index in production", "agg_shop_daily", _published(indexes=("shop", "sales"))),
    of_one("name in production", "agg_weekly", _published(name="weeks")),
]


# ---- what comes of one --------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    warehouse: str
    production: str
    alerts: str


class Site:
    """A domain that is up to date, copied for each change."""

    def __init__(self, folder: Path, workspace: Workspace) -> None:
        self._folder, self._home = folder, settings.load().home
        self._url = os.environ["PRODUCTION_URL"]
        self._found: dict[str, Found] = {}
        self._tables = toy_tables(kiosk(folder))
        workspace.refresh(definitions_of(self._tables), self._tables)

    def found(self, kind: Kind) -> Found:
        """What came of a change, which is made once."""
        if kind.what not in self._found:
            with pytest.MonkeyPatch.context() as patch:
                self._copy(patch)
                folder = self._folder / uuid4().hex
                folder.mkdir()
                self._found[kind.what] = _done(kind.tables(folder, patch))
        return self._found[kind.what]

    def _copy(self, patch: pytest.MonkeyPatch) -> None:
        name, home = f"test_{uuid4().hex}", self._folder / f"home-{uuid4().hex}"
        before, _, host = self._url.rpartition("?host=")
        template = before.rpartition("/")[2]
        as_admin(host, f"create database {name} owner promoter template {template}")
        shutil.copytree(self._home, home)
        patch.setenv("ANALYTICS_HOME", str(home))
        patch.setenv("PRODUCTION_URL", f"postgresql://promoter@/{name}?host={host}")
        # Its views are over the files of the home that it is a copy of.
        mend_catalogue(settings.load(), Snapshot(open_lake(settings.load().lake)), self._tables)


def _done(tables: Sequence[Table]) -> Found:
    lake = open_lake(settings.load().lake)
    with present() as (snapshot, engine):
        asked = {
            table.key: snapshot.behind(table)
            for table in tables
            if snapshot.lake.version(table) is not None
        }
        waiting = Counter(
            (lag.state, lag.why)
            for lag in staleness(tables, snapshot, engine)
            if lag.layer == "production"
        )
    files = {table.key: {f.uri for f in lake.files(table)} for table in tables}
    shown, views = _shown(), _views()
    with dg.DagsterInstance.ephemeral() as instance:
        ran = list(refresh(definitions_of(tables), tables, instance))
    with present() as (snapshot, engine):
        late = staleness(tables, snapshot, engine)
        rewritten = [t.name for t in tables if {f.uri for f in lake.files(t)} - files[t.key]]
        failing = {t.name: len(snapshot.failing(t)) for t in tables if snapshot.failing(t)}
    renewed = sorted(name for name, view in _views().items() if view != views.get(name, view))
    left = sorted({f"`{lag.table.name}` {lag.why}" for lag in late if lag.layer == "production"})
    return Found(
        _warehouse(asked, rewritten, failing, [n for n in renewed if n not in rewritten]),
        _production(waiting, shown, _shown(), left),
        _alerts(ran),
    )


def _warehouse(
    asked: dict[str, Any],
    rewritten: Sequence[str],
    failing: dict[str, int],
    renewed: Sequence[str],
) -> str:
    said = []
    for key, behind in asked.items():
        for why in sorted({one.why for one in behind}):
            own = [one for one in behind if one.why == why]
            what = "judged anew" if own[0].unjudged else "rebuilt"
            said.append(f"`{key.split('/')[1]}`: {why}; {len(own)} {what}")
    said += [
        f"live rows of {n} partitions of `{name}` fail and stay" for name, n in failing.items()
    ]
    said += [f"new rows in {_names(rewritten)}"] if rewritten else []
    said += [f"`warehouse.duckdb` shows {_names(renewed)} anew"] if renewed else []
    return _sentence(said or ["nothing"])


def _production(
    waiting: Counter[tuple[str, str]],
    before: dict[str, str],
    after: dict[str, str],
    left: Sequence[str],
) -> str:
    said = [f"before: {why}" for _, why in sorted(waiting)]
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            what = "new" if name not in before else "gone" if name not in after else "changed"
            said.append(f"`{name}` is {what}")
    said += [f"then: {one}" for one in left]
    return _sentence(said or ["nothing"])


def _alerts(ran: Ran) -> str:
    failed = [result for _, result in ran if not result.success]
    checks = sorted(
        {
            (e.asset_key.path[-1], e.check_name, e.severity.value)
            for _, result in ran
            for e in result.get_asset_check_evaluations()
            if not e.passed
        }
    )
    said = [f"{len(failed)} run{'s' * (len(failed) > 1)} failed"] if failed else []
    said += [f"check `{check}` of `{asset}`: {how}" for asset, check, how in checks]
    return _sentence(said or ["none"])


def _sentence(parts: Iterable[str]) -> str:
    text = ". ".join(part[0].upper() + part[1:] for part in parts)
    return text.replace("|", "\\|")


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _views() -> dict[str, str]:
    """Table -> state of what ``warehouse.duckdb`` shows of it."""
    with duckdb.connect(str(settings.load().catalogue), read_only=True) as connection:
        listed = (
            "select view_name, comment from duckdb_views() where schema_name = 'toy'"
            " union all select table_name, comment from duckdb_tables() where schema_name = 'toy'"
        )
        return dict(connection.execute(listed).fetchall())


def _shown() -> dict[str, str]:
    """Relation -> its columns and rows as a reader finds them, in production."""
    url, _, host = os.environ["PRODUCTION_URL"].rpartition("?host=")
    connection = psycopg2.connect(host=host, user="postgres", dbname=url.rpartition("/")[2])
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "select table_name from information_schema.tables where table_schema='toy'"
            )
            shown = {}
            for (name,) in cursor.fetchall():
                cursor.execute(f'select * from toy."{name}" as shown order by shown')
                columns = [column.name for column in cursor.description or ()]
                shown[name] = repr((columns, cursor.fetchall()))
            return shown
    finally:
        connection.close()


# ---- the page -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, module_workspace: Workspace) -> Site:
    return Site(tmp_path_factory.mktemp("changes"), module_workspace)


UNSEEN = ("comment in SQL", "description", "comment in the source's code")
# No row is made or judged in another way.
STORED = (
    "ratio added",
    "setting of the domain: counts below 3 are withheld",
    "first day of all partitions",
    "index of the warehouse",
    "index in production",
    "name in production",
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.what)
def test_only_what_people_read_and_storage_change_nothing(site: Site, kind: Kind) -> None:
    nothing = site.found(kind) == Found("Nothing", "Nothing", "None")
    assert nothing or kind.what not in UNSEEN
    asked = "rebuilt" in site.found(kind).warehouse or "judged" in site.found(kind).warehouse
    assert asked == (kind.what not in (*UNSEEN, *STORED))


def test_the_page_is_current(site: Site) -> None:
    rows = [(kind.what, *vars(site.found(kind)).values()) for kind in KINDS]
    page = HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)
    if os.environ.get("UPDATE_DOCS") == "1":
        PAGE.write_text(page)
    assert PAGE.read_text() == page, f"run: python -m {__name__}"


if __name__ == "__main__":
    os.environ["UPDATE_DOCS"] = "1"
    code = pytest.main(["-q", "-m", "slow", __file__])
    print(PAGE.read_text())
    sys.exit(code)
