"""How landed text becomes typed values: the code book, case by case, and laws for any text."""

from __future__ import annotations

import csv
import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_assets.core.rollups import build_sql
from analytics_assets.core.source import Landing
from analytics_assets.domains.births.columns import (
    AGE_GROUPS,
    COLUMN_NAMES,
    REFERENCE,
    SOURCE_COLUMNS,
    STATES,
    WEIGHT_CLASSES,
    SourceColumn,
    bands_sql,
    code_list,
)
from analytics_assets.domains.births.dates import date_sql
from analytics_assets.domains.births.labels import code_sql, label_key
from analytics_assets_tests.births.landed import FACT, PLACES, record

Row = Mapping[str, Any]


@pytest.fixture(scope="module")
def session() -> Iterator[duckdb.DuckDBPyConnection]:
    """A session in which the list of municipalities can be read."""
    with duckdb.connect() as connection:
        connection.execute("create schema births")
        assert PLACES.source
        with PLACES.source.land(Landing(connection, "all", {}, lambda sql: {})) as (sql,):
            connection.execute(f"create table births.dim_municipality as {sql}")
        yield connection


def births(
    session: duckdb.DuckDBPyConnection, rows: Sequence[Mapping[str, str | None]], year: int = 2024
) -> list[Row]:
    """The births that ``fact_births`` selects from a year's landed records, in their order."""
    names = [*COLUMN_NAMES, "source_state", "source_year", "source_row"]
    landed = [
        {**dict.fromkeys(COLUMN_NAMES), **row, "source_state": "BR", "source_year": year,
         "source_row": n}
        for n, row in enumerate(rows)
    ]  # fmt: skip
    kinds = {"source_year": pyarrow.int32(), "source_row": pyarrow.int64()}
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in names])
    session.register("landed", pyarrow.Table.from_pylist(landed, schema=schema))
    session.execute("create or replace view births.raw_births as select * from landed")
    found = session.execute(f"select * from ({build_sql(FACT)})").fetchall()
    columns = [column.name for column in FACT.stored_columns]
    by_row = sorted(found, key=lambda row: int(row[0].rsplit("-", 1)[1]))
    return [dict(zip(columns, row, strict=True)) for row in by_row]


def birth(session: duckdb.DuckDBPyConnection, **values: str | None) -> Row:
    """The birth of one record with these values."""
    (found,) = births(session, [{**record(), **values}])
    return found


# ---- the code book ------------------------------------------------------------------------------


READ = [
    ("DIFDATA", "99", 99),
    ("DIFDATA", "0", 0),
    ("APGAR1", "9", 9),
    ("APGAR5", "0", 0),
    ("APGAR5", "10", 10),
    ("PESO", "0999", 999),
    ("PESO", "2513.0", 2513),
    ("IDADEMAE", "09", 9),
    ("QTDFILVIVO", "09", 9),
    ("QTDFILVIVO", "00", 0),
    ("SEMAGESTAC", "22", 22),
    ("MESPRENAT", "9", 9),
    ("CONSPRENAT", "9", 9),
    ("SEXO", "M", "1"),
    ("SEXO", "F", "2"),
    ("SEXO", "f", "2"),
    ("SEXO", "Feminino", "2"),
    ("GESTACAO", "37 a 41 semanas", "5"),
    ("GESTACAO", "22 a 27 semanas", "2"),
    ("GRAVIDEZ", "Única", "1"),
    ("GRAVIDEZ", "Trípla e mais", "3"),
    ("GRAVIDEZ", "TRIPLICE E MAIS", "3"),
    ("GRAVIDEZ", "Tripla", "3"),
    ("PARTO", "Cesáreo", "2"),
    ("PARTO", "Cesareo", "2"),
    ("LOCNASC", "Outro estabelecimento de saúde", "2"),
    ("LOCNASC", "Domicilio", "3"),
    ("ESTCIVMAE", "União consensual (versões anteriores)", "5"),
    ("ESTCIVMAE", "Separado judicialmente/Divorciado", "4"),
    ("ESTCIVMAE", "Viuva", "3"),
    ("ESCMAE", "12 e mais", "5"),
    ("ESCMAE", "12 anos ou mais", "5"),
    ("CONSULTAS", "1 a 3 vezes", "2"),
    ("CONSULTAS", "de 4 a 6", "3"),
    ("CONSULTAS", "4-6", "3"),
    ("CONSULTAS", "7 ou mais vezes", "4"),
    ("CONSULTAS", "7 e +", "4"),
    ("GESTACAO", "42 semanas ou mais", "6"),
    ("GESTACAO", "8", "8"),
    ("RACACOR", "Indigena", "5"),
    ("KOTELCHUCK", "Não fez pré-natal (Campo33=0)", "1"),
    ("TPROBSON", "Grupo 5", "05"),
    ("ESCMAEAGR1", "2", "02"),
    ("TPROBSON", "1", "01"),
    ("TPROBSON", "10.0", "10"),
    ("HORANASC", "5", "0005"),
    ("HORANASC", "915.0", "0915"),
    ("CODESTAB", "2513", "0002513"),
    ("CODUFNATU", "12", "12"),
    ("CODOCUPMAE", "999992", "999992"),
    ("CODOCUPMAE", "999992.0", "999992"),
    ("CODOCUPMAE", "10105", "010105"),
    ("CODOCUPMAE", "10105.0", "010105"),
    ("DTCADASTRO", "8/11/2024", dt.date(2024, 11, 8)),
    ("DTCADASTRO", "8.11.2024", dt.date(2024, 11, 8)),
    ("DTCADASTRO", "2024-11-08 00:00:00", dt.date(2024, 11, 8)),
    ("DTCADASTRO", "2024-11-08T00:00:00.000Z", dt.date(2024, 11, 8)),
    ("DTCADASTRO", "08/11/2024 0:00", dt.date(2024, 11, 8)),
    ("DTCADASTRO", "20241108", dt.date(2024, 11, 8)),
    ("DTCADASTRO", "8112024", dt.date(2024, 11, 8)),
    ("DTCADASTRO", "2024-11-08", dt.date(2024, 11, 8)),
    ("DTCADASTRO", "08/11/2024", dt.date(2024, 11, 8)),
    ("DTCADASTRO", "8112024.0", dt.date(2024, 11, 8)),
    ("DTRECEBIM", "28112024.0", dt.date(2024, 11, 28)),
    ("DTNASCMAE", "29022000", dt.date(2000, 2, 29)),
    ("STTRABPART", "2", "2"),
]
UNKNOWN = [
    ("PESO", "0"),
    ("PESO", "9999"),
    ("APGAR1", "99"),
    ("APGAR5", "99"),
    ("QTDFILVIVO", "99"),
    ("IDADEMAE", "99"),
    ("IDADEMAE", "0"),
    ("SEXO", "0"),
    ("SEXO", "I"),
    ("SEXO", "9"),
    ("SEXO", None),
    ("GESTACAO", "9"),
    ("ESTCIVMAE", "9"),
    ("IDANOMAL", "9"),
    ("CONSULTAS", "9"),
    ("SEMAGESTAC", "99"),
    ("CODESTAB", "0000000"),
    ("HORANASC", "9999"),
    ("CODMUNNASC", "000000"),
    ("CODMUNRES", "999999"),
    ("DTULTMENST", "99999999"),
    ("DTNASCMAE", "00000000"),
    ("KOTELCHUCK", "9"),
    ("KOTELCHUCK", "9.0"),
    ("IDANOMAL", "9.0"),
    ("QTDFILMORT", "99.0"),
    ("CODESTAB", "9999999.0"),
    ("CODOCUPMAE", "0"),
    ("CODOCUPMAE", "0.0"),
    ("CODMUNRES", "900068"),
    ("CONSULTAS", "Ignorado"),
    ("SEXO", "IGNORADO"),
    ("ESCMAE", "Não informado"),
    ("KOTELCHUCK", "Não classificados"),
]
OUTSIDE = [
    ("PESO", "32I5"),
    ("PESO", "99999"),
    ("PESO", "2513.7"),
    ("PESO", "1e3"),
    ("PESO", "1_000"),
    ("PESO", "-2500"),
    ("APGAR1", "11"),
    ("IDADEMAE", "120"),
    ("PARTO", "3"),
    ("PARTO", "2 or 1"),
    ("GESTACAO", "5x"),
    ("SEXO", "Male?"),
    ("LOCNASC", "1.5"),
    ("HORANASC", "09:15"),
    ("HORANASC", "091500"),
    ("CODESTAB", "20001210"),
    ("CODESTAB", "1e5"),
    ("CODESTAB", "-2513"),
    ("DTCADASTRO", "31022024"),
    ("DTCADASTRO", "20241308"),
    ("DTCADASTRO", "2024-02-08 10:30:00"),
    ("DTCADASTRO", "12/31/2024"),
    ("DTCADASTRO", "infinity"),
    ("CONSULTAS", "4.6"),
    ("CONSULTAS", "muitas"),
    ("DTCADASTRO", "yesterday!"),
    ("CODMUNRES", "990040"),
    ("CODMUNRES", "12004"),
    ("CODMUNRES", "120040 Rio Branco"),
    ("CODMUNRES", "Rio Branco"),
]


@pytest.fixture(scope="module")
def read(session: duckdb.DuckDBPyConnection) -> Mapping[tuple[str, str | None], Row]:
    """(column, text) -> birth; all at once, since planning the query takes longer than running."""
    cases = [(column, text) for column, text, *_ in (*READ, *UNKNOWN, *OUTSIDE)]
    found = births(session, [{**record(), column: text} for column, text in cases])
    return dict(zip(cases, found, strict=True))


@pytest.mark.parametrize(("column", "text", "value"), READ)
def test_text_is_read(read: Mapping, column: str, text: str, value: object) -> None:
    found = read[column, text]
    assert (found[column], found["unreadable_columns"]) == (value, None)


@pytest.mark.parametrize(("column", "text"), UNKNOWN)
def test_unknown_is_null_and_no_error(read: Mapping, column: str, text: str | None) -> None:
    found = read[column, text]
    assert (found[column], found["unreadable_columns"]) == (None, None)


@pytest.mark.parametrize(("column", "text"), OUTSIDE)
def test_text_outside_the_book_is_null_and_named(read: Mapping, column: str, text: str) -> None:
    found = read[column, text]
    assert (found[column], found["unreadable_columns"]) == (None, column)


# ---- places -------------------------------------------------------------------------------------


MUNICIPALITIES = {
    "120040": "1200401",
    "1200401": "1200401",
    "120040.0": "1200401",
    "1200401.0": "1200401",
    # The check digit of nine municipalities is not what the formula gives.
    "220191": "2201919",
    "220198": "2201988",
    "220225": "2202251",
    "261153": "2611533",
    "311783": "3117836",
    "315213": "3152131",
    "430587": "4305871",
    "520393": "5203939",
    "520396": "5203962",
    # Unknown in a state.
    "120000": "1200000",
    "1200000": "1200000",
    # In no list, as extinct ones are: kept, the check digit added where it is missing.
    "130001": "1300011",
    "1399999": "1399999",
}


def test_municipality(session: duckdb.DuckDBPyConnection) -> None:
    found = births(
        session, [{**record(), "CODMUNRES": text, "CODMUNNASC": text} for text in MUNICIPALITIES]
    )
    for (text, code), row in zip(MUNICIPALITIES.items(), found, strict=True):
        assert row["CODMUNRES"] == row["CODMUNNASC"] == code, text
        assert row["residence_municipality_code"] == row["birth_municipality_code"] == code
        assert row["unreadable_columns"] is None


def test_a_place_unknown_in_its_state_is_no_other_place(
    session: duckdb.DuckDBPyConnection,
) -> None:
    known, here, there = "120040", "120000", "110000"
    pairs = [(known, here), (here, here), (here, there), (there, known), (known, "120020")]
    found = births(session, [{**record(), "CODMUNNASC": a, "CODMUNRES": b} for a, b in pairs])
    assert [row["birth_location_differs"] for row in found] == [None, None, None, None, True]


def test_unknown_place_is_a_place_of_its_own(session: duckdb.DuckDBPyConnection) -> None:
    found = birth(session, CODMUNRES=None)
    assert (found["CODMUNRES"], found["residence_municipality_code"]) == (None, "0000000")


def test_every_municipality_is_completed_to_itself(session: duckdb.DuckDBPyConnection) -> None:
    codes = [
        code
        for (code,) in session.execute(
            "select municipality_code from births.dim_municipality"
            " where municipality_code <> '0000000'"
        ).fetchall()
    ]
    assert len(codes) > 5570
    found = births(session, [{**record(), "CODMUNRES": code[:6]} for code in codes])
    assert [row["CODMUNRES"] for row in found] == codes


# ---- flags --------------------------------------------------------------------------------------


FLAGS = [
    ("is_cesarean", "PARTO", "2", "1"),
    ("is_hospital_birth", "LOCNASC", "1", "3"),
    ("is_multiple_birth", "GRAVIDEZ", "3", "1"),
    ("is_low_birth_weight", "PESO", "2499", "2500"),
    ("is_very_low_birth_weight", "PESO", "1499", "1500"),
    ("is_extremely_low_birth_weight", "PESO", "999", "1000"),
    ("is_high_birth_weight", "PESO", "4000", "3999"),
    ("is_low_apgar1", "APGAR1", "6", "7"),
    ("is_low_apgar5", "APGAR5", "6", "7"),
    ("is_critical_apgar1", "APGAR1", "3", "4"),
    ("is_critical_apgar5", "APGAR5", "3", "4"),
    ("is_adolescent_pregnancy", "IDADEMAE", "19", "20"),
    ("is_very_young_pregnancy", "IDADEMAE", "14", "15"),
    ("is_geriatric_pregnancy", "IDADEMAE", "35", "34"),
    ("is_prenatal_adequate", "CONSULTAS", "4", "3"),
    ("is_first_pregnancy", "QTDGESTANT", "0", "1"),
    ("has_previous_cesarean", "QTDPARTCES", "1", "0"),
    ("has_previous_normal_delivery", "QTDPARTNOR", "1", "0"),
    ("has_congenital_anomaly", "IDANOMAL", "1", "2"),
    ("birth_location_differs", "CODMUNRES", "120020", "120040"),
]


@pytest.fixture(scope="module")
def flagged(session: duckdb.DuckDBPyConnection) -> Mapping[tuple[str, str], list[Row]]:
    """(flag, column) -> births with the true, the false, no and an unreadable text."""
    texts = [(flag, column, text) for flag, column, *own in FLAGS for text in (*own, None, "?")]
    found = iter(births(session, [{**record(), column: text} for _, column, text in texts]))
    return {(flag, column): [next(found) for _ in range(4)] for flag, column, *_ in FLAGS}


@pytest.mark.parametrize(("flag", "column", "true", "false"), FLAGS)
def test_flag(flagged: Mapping, flag: str, column: str, true: str, false: str) -> None:
    assert [row[flag] for row in flagged[flag, column]] == [True, False, None, None]


def test_preterm(session: duckdb.DuckDBPyConnection) -> None:
    """The class goes before the weeks, which say it only where there is no class."""
    cases = [
        ("4", None, True, False),
        ("3", None, True, True),
        ("5", None, False, False),
        (None, "36", True, False),
        (None, "31", True, True),
        (None, "37", False, False),
        ("9", "30", True, True),
        ("5", "30", False, False),
        (None, None, None, None),
        ("9", "99", None, None),
        ("8", None, True, None),
        ("8", "31", True, True),
        ("8", "33", True, False),
    ]
    found = births(
        session, [{**record(), "GESTACAO": case[0], "SEMAGESTAC": case[1]} for case in cases]
    )
    for (gestation, weeks, *expected), row in zip(cases, found, strict=True):
        assert [row["is_preterm"], row["is_extreme_preterm"]] == expected, (gestation, weeks)


def test_twins_of_the_same_sex_are_two_births(session: duckdb.DuckDBPyConnection) -> None:
    twin = record(GRAVIDEZ="2")
    found = births(session, [twin, twin])
    assert len({row["birth_id"] for row in found}) == 2
    assert {**found[0], "birth_id": ""} == {**found[1], "birth_id": ""}


# ---- laws ---------------------------------------------------------------------------------------


def is_of_its_kind(column: SourceColumn, value: Any) -> bool:
    """Whether a value is one that the column's declaration allows."""
    if column.kind == "code":
        return value in column.declared().values and value not in column.unknown
    if column.kind == "number":
        assert column.low is not None
        assert column.high is not None
        return isinstance(value, int) and column.low <= value <= column.high
    if column.kind == "date":
        return isinstance(value, dt.date)
    if column.kind == "digits":
        return re.fullmatch(f"[0-9]{{{column.width}}}", value) is not None
    if column.kind == "place":
        return re.fullmatch("[0-9]{7}", value) is not None and value[:2] in STATES.values()
    return value != "" and value not in column.unknown


def is_unknown(column: SourceColumn, text: str) -> bool:
    """Whether a text is one that the column's declaration, or any list, has for unknown."""
    if column.kind == "place" and text.startswith("9000"):
        return True
    bare = re.sub(r"(?<=.)\.0$", "", text)
    return (bare.lstrip("0") if column.kind == "occupation" else bare) in column.unknown


# What is landed is trimmed and not blank; NUL bytes do not get through the readers.
ANYTHING = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=12),
    st.text("0123456789.-+eE_ /,", max_size=11),
    st.integers(-10, 100_000_000).map(str),
    st.sampled_from(["9", "99", "9999", "0", "00", "2513.0", "1.0", ".0", "inf", "NaN", "x" * 400]),
    st.dates(dt.date(1, 1, 1)).map(lambda day: day.strftime("%d%m%Y")),
).map(lambda text: text.strip(" ") or None)
FREE = [name for name in COLUMN_NAMES if name != "DTNASC"]
# Many records an example: planning the query takes longer than running it.
RECORDS = st.lists(
    st.dictionaries(st.sampled_from(FREE), ANYTHING, max_size=12), min_size=1, max_size=80
)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(changes=RECORDS)
def test_any_text_is_a_value_or_unknown_or_named(
    session: duckdb.DuckDBPyConnection, changes: list[dict[str, str | None]]
) -> None:
    found = births(session, [{**record(), **change} for change in changes])
    assert len(found) == len(changes)
    for change, row in zip(changes, found, strict=True):
        named = set((row["unreadable_columns"] or "").split(",")) - {""}
        for column in SOURCE_COLUMNS:
            if column.name not in change:
                assert column.name not in named
                continue
            text, value = change[column.name], row[column.name]
            if value is not None:
                assert is_of_its_kind(column, value), (column.name, text, value)
                assert column.name not in named
            elif text is None or is_unknown(column, text):
                assert column.name not in named, (column.name, text)
            elif column.kind not in ("text", "occupation"):
                assert column.name in named, (column.name, text)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(ANYTHING, min_size=1, max_size=100))
def test_a_birth_is_of_the_year_that_its_text_says(
    session: duckdb.DuckDBPyConnection, texts: list[str | None]
) -> None:
    """Any text as date of birth: a record that gets through has a date in the year of the file."""
    for row in births(session, [{**record(), "DTNASC": text} for text in texts]):
        text = texts[int(row["birth_id"].rsplit("-", 1)[1])]
        assert row["DTNASC"].year == 2024
        assert text is not None
        assert "2024" in text


# A day in every spelling but month first, which is told of a file and not of a value.
SPELLINGS = (
    "{0:%d%m%Y}", "{0.day}{0:%m%Y}", "{0:%Y%m%d}", "{0:%Y-%m-%d}", "{0:%Y/%m/%d}",
    "{0.year}-{0.month}-{0.day}", "{0:%d/%m/%Y}", "{0.day}/{0.month}/{0.year}", "{0:%d-%m-%Y}",
    "{0:%d.%m.%Y}",
)  # fmt: skip
TIMES = ("", " 00:00:00", " 00:00", "T00:00:00", "T00:00:00.000Z")


def test_a_date_reads_the_same_in_every_spelling(session: duckdb.DuckDBPyConnection) -> None:
    """Every day of two years: those before 2013 look like a day and a month, turned around."""
    for year in (2011, 2024):
        days = [dt.date(year, 1, 1) + dt.timedelta(n) for n in range(365)]
        texts = {
            spelling.format(day) + time: day
            for day in days
            for spelling in SPELLINGS
            for time in (TIMES if "/" in spelling or "-" in spelling else TIMES[:1])
        }
        sql = f"select {date_sql('text')} from (select unnest(?) as text)"
        found = [day for (day,) in session.execute(sql, [list(texts)]).fetchall()]
        wrong = [(t, f) for (t, day), f in zip(texts.items(), found, strict=True) if f != day]
        assert wrong == []


CODES = st.tuples(
    st.integers(0, 999_999), st.integers(1, 9_999_998), st.sampled_from([*MUNICIPALITIES.values()])
)


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(codes=st.lists(CODES, min_size=1, max_size=80), year=st.sampled_from([2005, 2006]))
def test_a_code_with_lost_zeros_is_the_code(
    session: duckdb.DuckDBPyConnection, codes: list[tuple[int, int, str]], year: int
) -> None:
    """A spreadsheet takes zeros away and may add a decimal; which code it was stays the same."""
    width = 5 if year < 2006 else 6
    rows = []
    for number, facility, municipality in codes:
        full = {
            "DTNASC": f"0302{year}", "CODOCUPMAE": f"{number % 10**width:0{width}}",
            "CODESTAB": f"{facility:07}", "CODMUNRES": municipality,
            "HORANASC": f"{number % 24:02}05",
        }  # fmt: skip
        bare = {name: text.lstrip("0") or "0" for name, text in full.items()}
        rows += [full, bare, {name: f"{text}.0" for name, text in bare.items()}]
    found = births(session, [{**record(), **row} for row in rows], year)
    for at in range(0, len(rows), 3):
        full, *spelled = ([row[name] for name in rows[at]] for row in found[at : at + 3])
        assert spelled == [full, full]
        occupation = rows[at]["CODOCUPMAE"]
        is_unknown = occupation.lstrip("0") in ("", "99999", "999999")
        assert full[1:4] == [None if is_unknown else occupation, *list(rows[at].values())[2:4]]


LISTS = sorted({column.code_list for column in SOURCE_COLUMNS if column.code_list})


@pytest.mark.parametrize("name", LISTS)
def test_every_label_of_a_list_means_one_code(
    session: duckdb.DuckDBPyConnection, name: str
) -> None:
    """Also in capitals, without accents, and with what programs add; SQL and Python agree."""
    with (REFERENCE / "spellings.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["list"] == name]
    listed = [(code, label) for code, _, label in code_list(name)]
    listed += [(row["code"], row["label_pt"]) for row in rows]
    assert len({label_key(label) for _, label in listed}) == len(listed), "one is there twice"
    texts = {
        text: code
        for code, label in listed
        for text in (label, label.upper(), f" {label} ", label.replace(" e mais", " ou mais"))
    }
    sql = f"select {code_sql('text', REFERENCE, name)} from (select unnest(?) as text)"
    found = [code for (code,) in session.execute(sql, [list(texts)]).fetchall()]
    assert found == list(texts.values())


@pytest.mark.parametrize(("bands", "last"), [(AGE_GROUPS, "45+"), (WEIGHT_CLASSES, "4000+")])
def test_a_class_holds_what_its_name_says(
    session: duckdb.DuckDBPyConnection, bands: tuple[tuple[str, int], ...], last: str
) -> None:
    banded = f"select value, case {bands_sql('value', bands, last)} end from range(6000) t (value)"
    for value, name in session.execute(banded).fetchall():
        low, high = name.removesuffix("+"), float("inf")
        if name.startswith("<"):
            low, high = 0, int(name[1:]) - 1
        elif "-" in name:
            low, high = name.split("-")
        assert int(low) <= value <= float(high), (value, name)
