"""A wrong declaration, as its author meets it: one sentence that names the place and the word."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from analytics_assets import cli, definitions, registry
from analytics_assets.core.columns import Column, Dimension, Measure, MeasureList, Type
from analytics_assets.core.declaration import Publish, Table
from analytics_assets.core.refusals import DeclarationError, nearest_word
from analytics_assets.core.sql_files import read_sql
from analytics_assets.warehouse.binding import bind

# A domain of one fact and two aggregates, the last of which has its SQL in a file.
DOMAIN = """
from pathlib import Path

from analytics_assets.core.declaration import Check, Publish, Table
from analytics_assets.core.columns import Column, MeasureList, Measure, Ratio
from analytics_assets.core.lineage import upstream_of
from analytics_assets.core.partitions import DAILY, MONTHLY
from analytics_assets.core.sql_files import read_sql
from analytics_assets_tests.toy import DAY, MONTH, SHOP, YEAR, Memory

MEASURES = MeasureList(
    (Measure("sales", "count(*)", "Sales.", "sales"),),
    (Ratio("share", "sales", "sales", "Share.", "percent"),),
)
raw = Table(
    "scratch/raw",
    "sources",
    "Landed.",
    DAILY,
    columns=(Column("sold_on", "date", "Day."), Column("shop", "text", "Shop.")),
    source=Memory(),
)
fact = Table(
    "scratch/fact",
    layer="facts",
    description="Sales.",
    period=DAILY,
    columns=(Column("sold_on", "date", "Day."), Column("shop", "text", "Shop.")),
    time_column="sold_on",
    sql="select sold_on, shop from scratch.raw",
    reads=(raw,),
    unique=("shop",),
    checks=(
        Check("odd", "Odd.", "select _partition, shop from scratch.fact where shop = ''", "Mend."),
    ),
)
known = {table.sql_name: table for table in (raw, fact)}
sql = read_sql(Path(__file__).parent / "daily.sql")
daily = Table(
    "scratch/daily",
    layer="aggregates",
    description="By day.",
    period=MONTHLY,
    grain=(DAY, SHOP),
    measures=MEASURES,
    sql=sql,
    reads=upstream_of("scratch/daily", sql, known),
    measured_from=fact,
    publish=Publish(("shop",)),
)
monthly = Table(
    "scratch/monthly",
    layer="aggregates",
    description="By month.",
    period=MONTHLY,
    grain=(MONTH, SHOP),
    measures=MEASURES,
    rollup_of=daily,
)
TABLES = (raw, fact, daily, monthly)
"""
SQL = """-- Sales by day.
select
    sold_on as day,
    shop,
    count(*) as sales
from scratch.fact
group by sold_on, shop
"""
_ROLLUP = "grain=(MONTH, SHOP),\n    measures=MEASURES,\n    rollup_of=daily"


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a domain that is the only one there is."""
    monkeypatch.setattr(
        registry, "tables", lambda: runpy.run_path(str(tmp_path / "tables.py"))["TABLES"]
    )
    return tmp_path


def write(folder: Path, python: tuple[str, str] = ("", ""), sql: tuple[str, str] = ("", "")):
    assert python[0] in DOMAIN
    assert sql[0] in SQL
    (folder / "tables.py").write_text(DOMAIN.replace(*python, 1) if python[0] else DOMAIN)
    (folder / "daily.sql").write_text(SQL.replace(*sql, 1) if sql[0] else SQL)


def test_the_domain_is_sound(scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(scratch)
    assert cli.main(["tables"]) == 0
    assert "## scratch.monthly" in capsys.readouterr().out


# What is wrong -> old and new Python, what is named, the sentence.
PYTHON = {
    "layer": (
        '"facts"',
        '"fact"',
        "scratch/fact",
        "there is no layer 'fact'; did you mean 'facts'?",
    ),
    "column type": (
        'Column("shop", "text"',
        'Column("shop", "txt"',
        "column 'shop'",
        "there is no type 'txt'; did you mean 'text'?",
    ),
    "measure type": (
        '"sales"),)',
        '"sales", "int"),)',
        "measure 'sales'",
        "there is no type 'int'; did you mean 'integer'?",
    ),
    "compression": (
        "measured_from=fact",
        'measured_from=fact, compression="gzip"',
        "scratch/daily",
        "there is no compression 'gzip'; there are zstd, snappy",
    ),
    "personal": (
        'Publish(("shop",))',
        'Publish(("shop",), personal="left_out")',
        "scratch/daily",
        "there is no rule for personal columns 'left_out'; did you mean 'left out'?",
    ),
    "period": (
        "period=DAILY",
        'period="DAYLY"',
        "scratch/fact",
        "there is no period 'DAYLY'; did you mean 'DAILY'?",
    ),
    "ratio": (
        'Ratio("share", "sales", "sales"',
        'Ratio("share", "sale", "sales"',
        "ratio 'share'",
        "there is no measure 'sale'; did you mean 'sales'?",
    ),
    "unique": (
        'unique=("shop",)',
        'unique=("shp",)',
        "scratch/fact",
        "there is no column, for unique, 'shp'; did you mean 'shop'?",
    ),
    "index": (
        'Publish(("shop",))',
        'Publish(("shopp",))',
        "scratch/daily",
        "there is no column, for an index, 'shopp'; did you mean 'shop'?",
    ),
    "promoted measure": (
        'Publish(("shop",))',
        'Publish(("shop",), measures=("sale",))',
        "scratch/daily",
        "there is no measure, for publish, 'sale'; did you mean 'sales'?",
    ),
    "each": (
        "measured_from=fact",
        'measured_from=fact, each=("shops",)',
        "scratch/daily",
        "there is no column, for each, 'shops'; did you mean 'shop'?",
    ),
    "no proof": (
        "    measured_from=fact,\n",
        "",
        "scratch/daily",
        "nothing proves its measures; give measured_from, the table whose rows they count, or"
        " rollup_of, or name in proven_by the checks that hold back what is counted wrongly",
    ),
    "a proof that is none": (
        "measured_from=fact",
        'proven_by=("odd",)',
        "scratch/daily",
        "there is no blocking check of its own, for proven_by, 'odd'",
    ),
    "measured from a table that it does not read": (
        "measured_from=fact",
        "measured_from=raw",
        "scratch/daily",
        "there is no table that it reads, for measured_from, 'scratch/raw'; did you mean"
        " 'scratch/fact'?",
    ),
    "rollup axis": (
        _ROLLUP,
        _ROLLUP.replace("MONTH, SHOP", "MONTH, __import__('dataclasses').replace(SHOP, columns=("
        "Column('shpo', 'text', 'S.'),))"),
        "scratch/monthly",
        "shpo cannot be derived from scratch/daily: there is no column 'shpo'; did you mean"
        " 'shop'?",
    ),
    "measures differ": (
        _ROLLUP,
        _ROLLUP.replace("MEASURES", "MeasureList(())"),
        "scratch/monthly",
        "its measures are not those of scratch/daily, which it rolls up",
    ),
    "SQL in Python": (
        "select sold_on, shop from",
        "select sold_on, shpo from",
        "scratch/fact",
        'its SQL: Referenced column "shpo" not found in FROM clause; did you mean \'shop\'?',
    ),
    "check": (
        "where shop = ''",
        "where shpo = ''",
        "scratch/fact",
        'its check odd: Referenced column "shpo" not found in FROM clause; did you mean \'shop\'?',
    ),
    "check without partitions": (
        "select _partition, shop from",
        "select shop from",
        "scratch/fact",
        "its check odd does not select '_partition'",
    ),
    "measure that cannot be counted": (
        '"count(*)"',
        '"count(nothing)"',
        "scratch/daily",
        'what its measures count in scratch/fact: Referenced column "nothing" not found in FROM'
        " clause",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", PYTHON)
def test_wrong_python_is_one_sentence(
    scratch: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    old, new, who, why = PYTHON[what]
    write(scratch, (old, new))
    assert cli.main(["tables"]) == 1
    said = capsys.readouterr().err
    path, _, line = said.partition(" (")[2].partition(")")[0].rpartition(", line ")
    assert said == f"{who} ({path}, line {line}): {why}\n"
    assert Path(path) == scratch / "tables.py"
    # The declaration begins there: its first line, or that of its name.
    near = DOMAIN.splitlines()[int(line) - 1 : int(line) + 2]
    assert any(who.strip("'").split("'")[-1] in text for text in near), near


SQL_FILE = {
    "column": (
        ("    shop,\n", "    shp,\n"),
        4,
        "its SQL: Referenced column \"shp\" not found in FROM clause; did you mean 'shop'?",
    ),
    "table": (
        ("scratch.fact", "scratch.facts"),
        6,
        "its SQL reads what is not declared before it: there is no table 'scratch.facts'; did you"
        " mean 'scratch.fact'?",
    ),
    "a table that is declared later": (
        ("scratch.fact", "scratch.monthly"),
        6,
        "its SQL reads what is not declared before it: there is no table 'scratch.monthly'; did"
        " you mean 'scratch.fact'?",
    ),
    "ambiguous": (
        ("from scratch.fact\n", "from scratch.fact join scratch.raw using (sold_on)\n"),
        4,
        "its SQL: Ambiguous reference to column name \"shop\" (use: 'fact.shop' or 'raw.shop')",
    ),
    "not selected": (
        ("    shop,\n", "    shop as shops,\n"),
        1,
        "its SQL does not select the column 'shop'; did you mean its 'shops'?",
    ),
    "selected twice": (
        ("    shop,\n", "    shop,\n    shop,\n"),
        1,
        "its SQL selects the column 'shop' 2 times",
    ),
    "two statements": (
        ("group by sold_on, shop\n", "group by sold_on, shop; select 1\n"),
        1,
        "its SQL has to be one statement",
    ),
}


@pytest.mark.parametrize("what", SQL_FILE)
def test_wrong_sql_names_its_file_and_line(
    scratch: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    change, line, why = SQL_FILE[what]
    write(scratch, sql=change)
    assert cli.main(["tables"]) == 1
    where = f"{scratch / 'daily.sql'}, line {line}"
    assert capsys.readouterr().err == f"scratch/daily ({where}): {why}\n"


@pytest.mark.parametrize("change", [("from scratch", "form scratch"), ("count(*)", "count(*")])
def test_wrong_syntax_is_one_sentence(
    scratch: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str]
) -> None:
    write(scratch, sql=change)
    assert cli.main(["tables"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"scratch/daily ({scratch / 'daily.sql'}, line ")
    assert "): its SQL: " in said
    assert said.count("\n") == 1


def test_materialize_starts_nothing_for_a_wrong_declaration(
    scratch: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANALYTICS_HOME", str(scratch / "home"))
    write(scratch, ('"facts"', '"fact"'))
    assert cli.main(["materialize"]) == 1
    assert "there is no layer 'fact'" in capsys.readouterr().err
    assert [path.name for path in (scratch / "home").iterdir()] == ["building.lock"]


def test_dagster_is_told_the_same_sentence(scratch: Path) -> None:
    write(scratch, sql=("    shop,\n", "    shp,\n"))
    with pytest.raises(
        DeclarationError, match=r"^scratch/daily \(.*daily.sql, line 4\): its SQL: R"
    ):
        definitions.defs()


def test_the_sql_of_every_table_and_check_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANALYTICS_DOMAINS", raising=False)
    bind(registry.tables())


def test_words_that_stand_for_many_lines_do_not_move_the_place(tmp_path: Path) -> None:
    path = tmp_path / "t.sql"
    path.write_text("select\n    {many},\n    last\n")
    sql = read_sql(path, {"many": "a,\nb,\nc"})
    assert [sql.place(line).line for line in range(1, 7)] == [1, 2, 2, 2, 3, 3]
    assert sql.splitlines()[4].strip() == "last"


@pytest.mark.parametrize(
    ("part", "why"),
    [
        (lambda: Column("a", "integer", "A.", minimum=2, maximum=1), "no value is from 2 to 1"),
        (lambda: Dimension("d", (), keys=1), "1 of its 0 columns cannot be keys"),
        (
            lambda: MeasureList((Measure("m", "count(*)", "M.", "u", usually="n"),)),
            "of its usual value, there is no number or earlier measure 'n'",
        ),
        (
            lambda: MeasureList((Measure("m", "max(x)", "M.", "u"),)),
            "nothing would show that rows are lost; add one that adds up, such as count",
        ),
        (
            lambda: Measure("m", "max(x)", "M.", "u", usually="0"),
            "its NULL says that there is no max, and cannot stand for a usual value; leave out",
        ),
        (
            lambda: Measure("m", "max(day)", "M.", "u", "date"),
            "it is a number, and date is none; give integer, bigint, decimal",
        ),
        (
            lambda: Measure("m", "f(x)", "M.", "u", rolls_up="maximum"),
            "there is no way to roll up 'maximum'; did you mean 'max'",
        ),
    ],
)
def test_parts_that_contradict_themselves(part, why: str) -> None:
    with pytest.raises(DeclarationError, match=why):
        part()


def test_a_wrong_word_is_told_with_the_nearest() -> None:
    assert nearest_word("Shp", ["day", "shop"]) == "shop"
    assert nearest_word("zzz", ["day", "shop"]) == ""
    assert nearest_word("weight_mean", ["weight_sum", "mean_weight"]) == "mean_weight"


def test_a_derived_table_stands_where_the_first_one_does() -> None:
    from dataclasses import replace

    table = Table("toy/t", "marts", "T.", columns=(Column("n", "text", "N."),), sql="select 1 as n")
    derived = replace(table, key="toy/u", publish=Publish())
    assert table.place is not None
    assert derived.place == table.place
    assert table.place.path == __file__
    assert derived == replace(derived, place=None)


def test_all_type_words_are_known_to_every_other_tool() -> None:
    from typing import get_args

    from analytics_assets.core.contracts import _ARROW, _SQL

    assert set(get_args(Type)) == set(_ARROW) == set(_SQL)
