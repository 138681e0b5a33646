"""What changes the meaning of rows, what changes how they are judged, and what changes neither."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.columns import Column, Ratio
from analytics_assets.core.configured import Configured
from analytics_assets.core.declaration import Check, Table
from analytics_assets.core.partitions import DAILY, UNPARTITIONED
from analytics_assets.core.sql_text import essential
from analytics_assets.core.used_code import used_code
from analytics_assets_tests.toy import DAY, SALES, SHOP, WEEK, Memory, toy_tables

SMALL = Check("small", "Sales are small.", "select * from toy.fact_sales where cents > 9", "Mend.")
RAW, FACT, DAILY_SHOPS, _, WEEKLY, _ = toy_tables(Memory())
CHECKED = replace(FACT, checks=(SMALL,))
SUNDAYS = replace(WEEK, from_date={"week": "cast(date_trunc('week', {date}) as date) - 1"})


# ---- SQL ----------------------------------------------------------------------------------------

quoted = st.sampled_from(
    ["'a  --b'", "'it''s  /* no */'", "E'\\'  --'", '"a  ""b"', "$$ -- '$$", "$t$ /* $$ $t$", "$1"]
)
word = st.sampled_from(["select", "a", "+", "b.c", "(", ")", "-", "/", ",", "e1"])
between = st.sampled_from([" ", "\n", "\t  ", " -- it's so\n", " /* a /* b */ ' */ ", "\n--\n "])


@given(st.lists(st.one_of(quoted, word), min_size=1, max_size=12), st.data())
def test_comments_and_layout_of_sql_count_for_nothing(tokens: list[str], data: st.DataObject):
    """And what stands in quotes counts to the letter."""
    laid_out = "".join(token + data.draw(between) for token in tokens)
    assert essential(laid_out) == " ".join(tokens)
    assert essential(essential(laid_out)) == essential(laid_out)


@settings(max_examples=20, deadline=None)
@given(st.text("ab '\n-", max_size=9), st.text('ab ;$"\n-*/', max_size=9))
def test_sql_gives_the_same_without_its_comments(text: str, other: str) -> None:
    sql = f"select /* x\n */ '{text.replace(chr(39), chr(39) * 2)}' -- {text.split(chr(10))[0]}\n"
    sql += f" ,\n '{other}'"
    with duckdb.connect() as connection:
        rows = connection.execute(essential(sql)).fetchall()
        assert rows == connection.execute(sql).fetchall() == [(text, other)]


# ---- declarations -------------------------------------------------------------------------------


def changed(before: Table, after: Table) -> tuple[set[str], set[str]]:
    """Names of the parts of the rows, and of the contract, that differ."""
    pairs = [
        (before.meaning.rows, after.meaning.rows),
        (before.meaning.contract, after.meaning.contract),
    ]
    rows, contract = (
        {name for name in b.keys() | a.keys() if b.get(name) != a.get(name)} for b, a in pairs
    )
    assert bool(rows) == (before.code_version != after.code_version)
    assert bool(contract) == (before.contract_version != after.contract_version)
    return rows, contract


def with_column(table: Table, number: int, **how: Any) -> Table:
    columns = list(table.columns)
    columns[number] = replace(columns[number], **how)
    return replace(table, columns=tuple(columns))


def with_measures(table: Table, **how: Any) -> Table:
    return replace(table, measures=replace(SALES, **how))


OTHER_MEASURE = (*SALES.measures[:2], replace(SALES.measures[2], sql="coalesce(sum(2 * cents), 0)"))
RATIO = Ratio("mean", "cents", "sales", "Mean.", "cents")
ROWS = {
    "SQL": replace(FACT, sql=f"{FACT.sql} and cents <> 7"),
    "a column's type": with_column(FACT, 2, type="bigint"),
    "another column": replace(FACT, columns=(*FACT.columns, Column("till", "text", "The till."))),
    "the order of columns": replace(FACT, columns=FACT.columns[::-1]),
    "the time column": replace(FACT, time_column="sold_on - 1"),
    "the partitions": replace(FACT, period=UNPARTITIONED),
    "the reach": replace(FACT, reach={RAW.key: (0, 6)}),
    "that it reads its own rows": replace(FACT, reads_itself=True),
    "the axis of a rollup": replace(WEEKLY, grain=(SUNDAYS,)),
    "the grain of a rollup": replace(WEEKLY, grain=(WEEK, SHOP)),
    "the slices": replace(RAW, slice_sql=f"{RAW.slice_sql} || ''"),
    "the period of slices": replace(RAW, slice_period=UNPARTITIONED),
    "the SQL of a measure": with_measures(DAILY_SHOPS, measures=OTHER_MEASURE),
}
NAMED = {
    "SQL": "SQL",
    "a column's type": "columns",
    "another column": "columns",
    "the order of columns": "columns",
    "the time column": "time axis",
    "the partitions": "partitions",
    "the reach": "reach",
    "that it reads its own rows": "reading of its own rows",
    "the axis of a rollup": "time axis",
    "the grain of a rollup": "derived SQL",
    "the slices": "slices",
    "the period of slices": "slices",
    "the SQL of a measure": "measures",
}
CONTRACT = {
    "check small": replace(CHECKED, checks=(replace(SMALL, sql=f"{SMALL.sql}0"),)),
    "check small (blocking)": replace(CHECKED, checks=(replace(SMALL, blocking=False),)),
    "check small (at fault)": replace(CHECKED, checks=(replace(SMALL, at_fault="true"),)),
    "check small (told)": replace(CHECKED, checks=(replace(SMALL, told="shop"),)),
    "check other": replace(CHECKED, checks=(SMALL, replace(SMALL, name="other"))),
    "rule cents > 10": with_column(CHECKED, 2, maximum=10),
    "rule cents < 1": with_column(CHECKED, 2, minimum=1),
    "rule cents is missing": with_column(CHECKED, 2, nullable=False),
    "rule shop not in its code list": with_column(CHECKED, 1, values=("a",)),
    "rule shop not like [a-c]": with_column(CHECKED, 1, pattern="[a-c]"),
    "unique key": replace(CHECKED, unique=("sold_on", "shop")),
    "rule one row for each row read": replace(CHECKED, keeps_rows=False),
    "reconciliation": replace(CHECKED, parts_of=DAILY_SHOPS),
}
NEITHER = {
    "description": replace(CHECKED, description="Other."),
    "a column's description": with_column(CHECKED, 2, description="Other.", unit="pesos"),
    "a check's description": replace(
        CHECKED, checks=(replace(SMALL, description="So.", advice="Do."),)
    ),
    "layout of SQL": replace(CHECKED, sql=f"-- it's so\n{CHECKED.sql}\n".replace(" ", "  ")),
    "layout of a check": replace(
        CHECKED, checks=(replace(SMALL, sql=SMALL.sql.replace("where", "/* so */\nwhere")),)
    ),
    "owner": replace(CHECKED, owner="team:other"),
    "index of the warehouse": replace(CHECKED, indexed=("shop",)),
}


@pytest.mark.parametrize("what", ROWS)
def test_what_can_change_rows_is_named(what: str) -> None:
    table = ROWS[what]
    before = {one.key: one for one in (FACT, WEEKLY, RAW, DAILY_SHOPS)}[table.key]
    rows, _ = changed(before, table)
    assert NAMED[what] in rows
    assert NAMED[what] in table.meaning.changed_rows(before.meaning.text)


@pytest.mark.parametrize("name", CONTRACT)
def test_what_judges_rows_changes_no_row(name: str) -> None:
    rows, contract = changed(CHECKED, CONTRACT[name])
    assert rows == set()
    assert contract >= {name.split(" (")[0]}
    assert name.split(" (")[0] in CONTRACT[name].meaning.changed_contract(CHECKED.meaning.text)


@pytest.mark.parametrize("what", NEITHER)
def test_what_people_read_changes_nothing(what: str) -> None:
    assert changed(CHECKED, NEITHER[what]) == (set(), set())


def test_a_ratio_and_the_text_of_a_measure_change_no_row() -> None:
    told = tuple(replace(measure, description="So.", unit="u") for measure in SALES.measures)
    for how in ({"ratios": (*SALES.ratios, RATIO)}, {"measures": told}):
        daily = with_measures(DAILY_SHOPS, **how)
        assert changed(DAILY_SHOPS, daily) == (set(), set())
        weekly = replace(with_measures(WEEKLY, **how), rollup_of=daily)
        assert changed(WEEKLY, weekly) == (set(), set())


def test_an_entry_of_an_earlier_release_is_declared_otherwise() -> None:
    assert FACT.meaning.changed_rows("") == "its declaration changed"
    assert FACT.meaning.changed_contract("") == "its contract changed"


# ---- code ---------------------------------------------------------------------------------------

SOURCE = '''
"""A source."""
from {package} import words, helpers
from .helpers import shifted, UNUSED
import functools

LIMITS = {{"a": 1}}
LIMITS.update(b=2)
if True:
    def scale(x):
        return x * FACTOR
    FACTOR = 3

def unrelated():
    return 1

class Base:
    """Docs."""
    def one(self):
        # a comment
        return scale(self.n) + words.GREETING

class Source(Base):
    def __init__(self, n, log=()):
        self.n, self.log = n, []

    def land(self):
        from {package}.lazy import late
        return shifted(late(LIMITS))
'''
FILES = {
    "__init__.py": "",
    "sources.py": SOURCE,
    "words.py": "GREETING = 'hello'\nOTHER = 1\n",
    "helpers.py": "def shifted(x):\n    return _by(x)\n\ndef _by(x):\n    return x + 1\n\n"
    "UNUSED = 2\n",
    "lazy.py": "def late(x):\n    '''Late.'''\n    return x\n\ndef later(x):\n    return x\n",
}
# File, what is changed, into what, and the definition that is to be named; none if nothing is.
EDITS = [
    ("sources.py", "return shifted(late", "return 1 + shifted(late", "sources.py: Source"),
    ("sources.py", "return scale(self.n)", "return 2 * scale(self.n)", "sources.py: Base"),
    ("sources.py", "x * FACTOR", "x + FACTOR", "sources.py: FACTOR"),
    ("sources.py", "FACTOR = 3", "FACTOR = 4", "sources.py: FACTOR"),
    ("sources.py", '{"a": 1}', '{"a": 5}', "sources.py: LIMITS"),
    ("sources.py", "update(b=2)", "update(b=3)", "sources.py: LIMITS"),
    ("words.py", "hello", "good day", "words.py: GREETING"),
    ("helpers.py", "x + 1", "x + 2", "helpers.py: _by"),
    ("lazy.py", "    return x\n\ndef later", "    return -x\n\ndef later", "lazy.py: late"),
    ("sources.py", "# a comment", "# another", ""),
    ("sources.py", '"""Docs."""', '"""Other docs."""', ""),
    ("sources.py", "        return scale", "\n\n        return scale", ""),
    ("sources.py", "return 1\n", "return 2\n", ""),
    ("words.py", "OTHER = 1", "OTHER = 2", ""),
    ("lazy.py", "'''Late.'''", "'''Later.'''\n", ""),
    ("lazy.py", "(x):\n    return x\n", "(x):\n    return x  # so\n", ""),
    ("helpers.py", "return _by(x)", "return _by(\n        x,\n    )", ""),
    ("helpers.py", "UNUSED = 2", "UNUSED = 3", ""),
]


def package(folder: Path, edit: tuple[str, str, str, str] | None = None) -> ModuleType:
    """The sources of a domain of its own, imported as they are after an edit."""
    name = f"domain_{uuid4().hex}"
    place = folder / name / "kiosk"
    place.mkdir(parents=True)
    (folder / name / "__init__.py").touch()
    for file, text in FILES.items():
        text = text.format(package="PACKAGE.kiosk") if file == "sources.py" else text
        if edit and edit[0] == file:
            assert edit[1] in text
            text = text.replace(edit[1], edit[2], 1)
        (place / file).write_text(text.replace("PACKAGE", name))
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(f"{name}.kiosk.sources")
    finally:
        sys.path.remove(str(folder))


def code_of(module: ModuleType) -> dict[str, str]:
    sys.path.insert(0, str(Path(module.__file__ or "").parents[2]))
    try:
        found = used_code([module.Source], "kiosk")
    finally:
        sys.path.pop(0)
    name = module.__name__.split(".")[0]
    return {place.replace(name, ""): digest for place, digest in found.items()}


@pytest.mark.parametrize("edit", EDITS, ids=[f"{e[0]}-{n}" for n, e in enumerate(EDITS)])
def test_code_of_a_source_counts_definition_by_definition(
    tmp_path: Path, edit: tuple[str, str, str, str]
) -> None:
    before, after = code_of(package(tmp_path)), code_of(package(tmp_path, edit))
    differ = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    differ -= {"sources.py: Source"} if edit[3] != "sources.py: Source" else set()
    assert (edit[3] in differ) == bool(edit[3])
    assert before.keys() >= {"words.py: GREETING", "helpers.py: _by", "lazy.py: late"}


# ---- what a source was made with ----------------------------------------------------------------


class Made:
    def __init__(self, *values: Any, **memory: Any) -> None:
        self.values = values
        self.__dict__.update(memory)


def values_of(source: object) -> list[str]:
    made = Configured()
    made.add_source(source)
    return made.values


plain = st.one_of(st.text(), st.integers(), st.none(), st.dates(), st.booleans())
value = st.recursive(plain, lambda of: st.one_of(st.lists(of).map(tuple), st.frozensets(plain)))


@given(value, value)
def test_a_source_made_with_other_values_is_another(one: Any, other: Any) -> None:
    assert (values_of(Made(one)) == values_of(Made(other))) == (repr(one) == repr(other))


@given(st.lists(plain), st.dictionaries(st.text(), plain))
def test_what_a_source_has_seen_does_not_make_it_another(seen: list, cache: dict) -> None:
    assert values_of(Made(1, seen=seen, cache=cache)) == values_of(Made(1, seen=[], cache={}))


def test_what_a_source_was_handed_counts() -> None:
    def scaled(by: int, x: int = 0) -> int:
        return by * x

    other_day = replace(DAY, from_date={"day": "{date} + 1"})
    handed = [scaled, partial(scaled, 1), partial(scaled, 2), partial(scaled, x=2)]
    handed += [DAY, other_day, DAILY, Memory]
    assert len({repr(values_of(Made(one))) for one in handed}) == len(handed)


def test_a_setting_that_a_source_tells_counts() -> None:
    class Telling(Memory):
        def __init__(self, unit: str) -> None:
            super().__init__()
            self.unit = {"unit": unit}

        def settings(self) -> dict[str, str]:
            return self.unit

    cents, pesos = (replace(RAW, source=Telling(unit)) for unit in ("cents", "pesos"))
    assert changed(cents, pesos) == ({"source's settings"}, set())
    assert changed(cents, replace(RAW, source=Telling("cents"))) == (set(), set())


def test_what_memory_holds_is_no_part_of_the_toy() -> None:
    source = Memory()
    before = toy_tables(source)[0]
    source.months["2024-05"] = [(None, "a", 1)]
    assert changed(before, toy_tables(source)[0]) == (set(), set())
