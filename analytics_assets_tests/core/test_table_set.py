"""A small domain declared by a ``TableSet``: what it derives, and how it refuses a newcomer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from analytics_assets import cli, domains, registry
from analytics_assets.core import calendar
from analytics_assets.core.columns import Column
from analytics_assets.core.partitions import DAILY, MONTHLY, UNPARTITIONED, WEEKLY, YEARLY
from analytics_assets.core.rollups import build_sql
from analytics_assets.core.table_set import TableSet

DOMAIN = """
from analytics_assets.core.domain import Domain
from analytics_assets.domains.rivers.tables import tables

DOMAIN = Domain("Levels of rivers", tables.all)
"""
TABLES = """
from pathlib import Path

from analytics_assets.core import calendar
from analytics_assets.core.columns import Column, Dimension, Measure, MeasureList, text
from analytics_assets.core.declaration import Check, Publish, Table
from analytics_assets.core.partitions import DAILY
from analytics_assets.core.table_set import TableSet
from analytics_assets_tests.toy import Memory

STATION = Dimension("station", (text("station", "The station.", False),))
LEVELS = MeasureList((Measure("readings", "count(*)", "Readings.", "readings"),))
COLUMNS = (Column("day", "date", "The day."), text("station", "The station."))

tables = TableSet("rivers", Path(__file__).parent / "sql", {"first": "2020"}, owner="team:water")
raw = tables.source("raw", Memory(), description="As landed.", period=DAILY, columns=COLUMNS)
basins = tables.source(
    "basins",
    Memory(),
    layer="dimensions",
    description="Basins.",
    columns=(text("station", "The station."), text("basin", "Its basin.")),
)
fact = tables.from_sql(
    "fact",
    layer="facts",
    description="Readings.",
    period=DAILY,
    time_column="day",
    columns=(*COLUMNS, text("basin", "The basin.")),
    checks=(Check("there", "There.", "select _partition from rivers.fact where false", "Mend."),),
)
daily = tables.from_sql(
    "daily",
    "select day, station, {measures} from rivers.fact group by all",
    layer="aggregates",
    description="Readings by station and day; as they are.",
    period=DAILY,
    grain=(calendar.day(), STATION),
    measures=LEVELS,
    measured_from=fact,
    publish=Publish(("station",)),
)
monthly = tables.rollup("monthly", daily, calendar.month(), STATION)
"""
FACT = """select raw.day, raw.station, basins.basin
from rivers.raw as raw
left join rivers.basins as basins
    on basins.station = raw.station
where year(raw.day) >= {first}
"""


@pytest.fixture
def rivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the only domain that there is."""
    monkeypatch.setattr(domains, "__path__", [str(tmp_path)])
    monkeypatch.delenv("ANALYTICS_DOMAINS", raising=False)
    folder = tmp_path / "rivers"
    (folder / "sql").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "domain.py").write_text(DOMAIN)
    (folder / "tables.py").write_text(TABLES)
    (folder / "sql" / "fact.sql").write_text(FACT)

    def forget() -> None:
        registry.found.cache_clear()
        registry.domain.cache_clear()
        for name in [n for n in sys.modules if n.startswith(f"{domains.__name__}.rivers")]:
            del sys.modules[name]
        if hasattr(domains, "rivers"):
            delattr(domains, "rivers")

    forget()
    yield folder
    forget()


def write(folder: Path, file: str, old: str, new: str) -> None:
    path = folder / file
    text = path.read_text() if path.exists() else ""
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_what_a_table_is_follows_from_little(rivers: Path) -> None:
    found = {table.name: table for table in registry.tables()}
    assert list(found) == ["raw", "basins", "fact", "daily", "monthly"]
    assert {table.owner for table in found.values()} == {"team:water"}
    assert found["raw"].layer == "sources"
    assert [table.name for table in found["fact"].reads] == ["basins", "raw"]
    assert found["fact"].sql is not None
    assert "2020" in found["fact"].sql
    monthly = found["monthly"]
    assert (monthly.rollup_of, monthly.measures) == (found["daily"], found["daily"].measures)
    assert (monthly.period, monthly.layer) == (MONTHLY, "aggregates")
    assert monthly.description == "Readings by station and month."
    assert "cast(count(*) as integer) as readings" in build_sql(found["daily"])


def test_a_table_stands_where_its_author_wrote_it(rivers: Path) -> None:
    lines = TABLES.splitlines()
    for table in registry.tables():
        assert table.place is not None
        assert table.place.path == str(rivers / "tables.py")
        assert lines[table.place.line - 1].startswith(f"{table.name} = tables.")


def test_the_domain_is_sound(rivers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tables"]) == 0
    assert "## rivers.monthly" in capsys.readouterr().out


def test_a_set_that_goes_on_leaves_the_first_as_it_is() -> None:
    first = TableSet("rivers", owner="team:water")
    fact = first.from_sql(
        "fact",
        "select 1 as n",
        layer="facts",
        description="Numbers.",
        columns=(Column("n", "integer", "A number."),),
    )
    for _ in range(2):
        second = first.copy()
        more = second.from_sql(
            "more",
            "select n from rivers.fact",
            layer="marts",
            description="The same.",
            columns=fact.columns,
        )
        assert (second.all, more.owner) == ((fact, more), "team:water")
    assert first.all == (fact,)


_CIRCLE = "select day, station, basin from rivers.fact\n"
# What is wrong -> file, old and new text, where it is told, the sentence after the place.
MISTAKES = {
    "keyword of a table": (
        ("tables.py", "    period=DAILY,\n    time_column", "    perod=DAILY,\n    time_column"),
        ("tables.py", "fact = tables.from_sql("),
        "domains/rivers",
        "there is no keyword of Table 'perod'; did you mean 'period'?",
    ),
    "keyword of a column": (
        ("tables.py", 'text("basin", "Its basin.")', 'Column("basin", "text", "B.", units="m")'),
        ("tables.py", '"B."'),
        "domains/rivers",
        "there is no keyword of Column 'units'; did you mean 'unit'?",
    ),
    "keyword of Publish": (
        ("tables.py", 'Publish(("station",))', 'Publish(index=("station",))'),
        ("tables.py", "Publish(index"),
        "domains/rivers",
        "there is no keyword of Publish 'index'; did you mean 'indexes'?",
    ),
    "keyword of a check": (
        ("tables.py", '"Mend.")', '"Mend.", block=False)'),
        ("tables.py", "block=False"),
        "domains/rivers",
        "there is no keyword of Check 'block'; did you mean 'blocking'?",
    ),
    "no description": (
        ("tables.py", '    description="Readings.",\n', ""),
        ("tables.py", "fact = tables.from_sql("),
        "domains/rivers",
        "Table lacks its 'description'",
    ),
    "Python that cannot be parsed": (
        ("tables.py", "LEVELS = MeasureList((", "LEVELS = MeasureList(("[:-1] + "]"),
        ("tables.py", "LEVELS ="),
        "domains/rivers",
        "its Python: closing parenthesis ']' does not match opening parenthesis '('",
    ),
    "name that is not there": (
        ("tables.py", "MeasureList, text\n", "MeasureLst, text\n"),
        ("tables.py", "MeasureLst"),
        "domains/rivers",
        "cannot import name 'MeasureLst' from 'analytics_assets.core.columns'",
    ),
    "a word of Python": (
        ("tables.py", "period=DAILY, columns=COLUMNS", "period=DALY, columns=COLUMNS"),
        ("tables.py", "raw = tables"),
        "domains/rivers",
        "NameError: name 'DALY' is not defined",
    ),
    "a column asked of another table": (
        ("sql/fact.sql", "basins.station = raw.station", "basins.day = raw.day"),
        ("sql/fact.sql", "basins.day"),
        "rivers/fact",
        "its SQL: table \"basins\" does not have a column named \"day\"",
    ),
    "a table of the join by another name": (
        ("sql/fact.sql", "basins.station = raw.station", "bassins.station = raw.station"),
        ("sql/fact.sql", "bassins.station"),
        "rivers/fact",
        "its SQL: Referenced table \"bassins\" not found; did you mean 'basins'?",
    ),
    "circle": (
        ("sql/basins_of_fact.sql", "", _CIRCLE),
        ("sql/fact.sql", "left join"),
        "rivers/fact",
        "tables depend on each other: fact <- basins_of_fact <- fact",
    ),
    "no such file": (
        ("tables.py", '    "fact",\n', '    "facts",\n'),
        ("tables.py", "fact = tables.from_sql("),
        "rivers/facts",
        "in the folder sql there is no file 'facts.sql'; did you mean 'fact.sql'?",
    ),
    "no folder of SQL": (
        ("tables.py", 'Path(__file__).parent / "sql"', "None"),
        ("tables.py", "fact = tables.from_sql("),
        "rivers/fact",
        "give its sql, or the TableSet the folder of its SQL files",
    ),
    "a name twice": (
        ("tables.py", 'tables.rollup("monthly"', 'tables.rollup("daily"'),
        ("tables.py", "monthly = tables.rollup("),
        "rivers/daily",
        "a table of that name is declared already (",
    ),
    "no tables": (
        ("domain.py", "tables.all", "()"),
        ("domain.py", "DOMAIN ="),
        "a domain",
        "it lists no tables; give those that it declares, such as tables.all",
    ),
    "a table of another domain": (
        ("tables.py", 'TableSet("rivers"', 'TableSet("river"'),
        ("tables.py", "raw = tables"),
        "river/raw",
        "it is listed by the domain rivers; call it rivers/raw, or list it there",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_one_sentence_with_its_line(
    rivers: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    change, (file, line), who, why = MISTAKES[what]
    write(rivers, *change)
    if what == "circle":
        write(rivers, "sql/fact.sql", "rivers.basins", "rivers.basins_of_fact")
    if what == "a table of another domain":
        for path in (rivers / "tables.py", rivers / "sql" / "fact.sql"):
            path.write_text(path.read_text().replace("rivers.", "river."))
    assert cli.main(["tables"]) == 1
    said = capsys.readouterr().err
    numbers = [n for n, text in enumerate((rivers / file).read_text().splitlines(), 1)
               if line in text]  # fmt: skip
    assert said.startswith(f"{who} ({rivers / file}, line {numbers[0]}): {why}")
    assert said.count("\n") == 1


def test_a_module_that_is_not_installed_is_named(
    rivers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(rivers, "tables.py", "from pathlib import Path", "import rivers_of_the_world")
    assert cli.main(["tables"]) == 1
    where = f"{rivers / 'tables.py'}, line 2"
    expected = f"domains/rivers ({where}): No module named 'rivers_of_the_world'\n"
    assert capsys.readouterr().err == expected


# ---- the calendar -------------------------------------------------------------------------------


def test_every_axis_reads_from_a_date_and_back() -> None:
    """Against Python's own calendar, over leap days and the turns of ISO years."""
    days = [date(1999, 12, 20) + timedelta(days=n) for n in range(0, 9000, 3)]
    axes = {
        calendar.day("on_day"): lambda day: day,
        calendar.week("monday"): lambda day: day - timedelta(days=day.isoweekday() - 1),
        calendar.month(): lambda day: day.replace(day=1),
        calendar.quarter(): lambda day: date(day.year, (day.month - 1) // 3 * 3 + 1, 1),
        calendar.year(): lambda day: date(day.year, 1, 1),
    }
    session = duckdb.connect()
    session.execute("create table days (d date)")
    session.executemany("insert into days values (?)", [[day] for day in days])
    for axis, first in axes.items():
        columns = ", ".join(
            f"{axis.from_date[c.name].format(date='d')} as {c.name}" for c in axis.columns
        )
        found = session.execute(
            f"select d, {axis.date_sql} from (select d, {columns} from days) order by d"
        ).fetchall()
        assert found == [(day, first(day)) for day in days], axis.name
        names = axis.key_names
        assert tuple(column.name for column in axis.columns) == names


def test_a_month_is_from_1_to_12_and_a_quarter_from_1_to_4() -> None:
    limits = {c.name: (c.minimum, c.maximum) for a in (calendar.month("birth", 2000),
              calendar.quarter()) for c in a.columns}  # fmt: skip
    assert limits == {"year": (None, None), "month": (1, 12), "quarter": (1, 4)}
    year = calendar.year("birth", since=2000).columns[0]
    assert (year.description, year.minimum) == ("Year of birth.", 2000)


def test_the_partitions_of_an_axis() -> None:
    assert [
        calendar.partitions_of((axis,), MONTHLY)
        for axis in (calendar.year(), calendar.quarter(), calendar.month(), calendar.week())
    ] == [YEARLY, YEARLY, MONTHLY, WEEKLY]
    # Days lie as those of the finer table do.
    assert calendar.partitions_of((calendar.day(),), MONTHLY) is MONTHLY
    assert calendar.partitions_of((calendar.day(),), DAILY) is DAILY
    assert calendar.partitions_of((), DAILY) is UNPARTITIONED
