"""The 61 columns of a SINASC birth record: what each means and how its text is read.

Belongs here: the code book, and the DuckDB expressions that turn landed text into typed values.
Does not belong here: dates (``dates.py``), labels in the place of codes (``labels.py``), flags and
measures (``measures.py``), tables (``tables.py``).

Source of names, codes and unknown codes: "Estrutura do SINASC" and "Dicionário de Dados SINASC"
(Ministério da Saúde). What a code book does not allow becomes NULL and is named in
``unreadable_columns``; a code that the book gives for "unknown" becomes NULL and is not.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from analytics_assets.core.columns import Column, Type
from analytics_assets.domains.births.dates import date_sql
from analytics_assets.domains.births.labels import code_sql, is_unknown_sql
from analytics_assets.warehouse.session import literal

REFERENCE = Path(__file__).parent / "reference"
Kind = Literal["code", "digits", "number", "date", "place", "occupation", "text"]
_TYPES: dict[Kind, Type] = {"number": "integer", "date": "date"}


@dataclass(frozen=True)
class SourceColumn:
    """One column of the record.

    ``unknown``: texts that mean "unknown", of an occupation without leading zeros. ``code_list``:
    the list its values are from. ``width``: digits to which lost leading zeros are restored.
    ``low``, ``high``: inclusive range.
    """

    name: str
    kind: Kind
    description: str
    unknown: tuple[str, ...] = ()
    code_list: str | None = None
    width: int = 0
    low: int | None = None
    high: int | None = None
    unit: str = ""
    personal: bool = False

    def declared(self) -> Column:
        """The column of the fact table."""
        values = tuple(code for code, _, _ in code_list(self.code_list)) if self.code_list else ()
        return Column(
            self.name,
            _TYPES.get(self.kind, "text"),
            self.description,
            self.unit,
            minimum=self.low,
            maximum=self.high,
            values=values,
            personal=self.personal,
        )


@cache
def code_list(name: str) -> tuple[tuple[str, str, str], ...]:
    """(code, label, Portuguese label) of a code list, in its order; ``KeyError`` if unknown."""
    with (REFERENCE / "code_lists.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["list"] == name]
    if not rows:
        raise KeyError(name)
    return tuple((row["code"], row["label"], row["label_pt"]) for row in rows)


def _states() -> dict[str, str]:
    with (REFERENCE / "states.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["state_code"] != "00"]
    return {row["state_abbreviation"]: row["state_code"] for row in rows}


# Abbreviation of each of the 27 states -> IBGE code.
STATES = _states()


def _code(
    name: str, code_list: str, description: str, *unknown: str, width: int = 0
) -> SourceColumn:
    return SourceColumn(name, "code", description, unknown or ("9",), code_list, width)


def _number(
    name: str, low: int, high: int, description: str, *unknown: str, unit: str = "count"
) -> SourceColumn:
    return SourceColumn(name, "number", description, unknown, low=low, high=high, unit=unit)


def _date(name: str, description: str, personal: bool = False) -> SourceColumn:
    return SourceColumn(name, "date", description, ("00000000", "99999999", "0"), personal=personal)


def _place(name: str, description: str) -> SourceColumn:
    return SourceColumn(name, "place", description, ("000000", "0000000", "999999", "9999999", "0"))


SOURCE_COLUMNS: tuple[SourceColumn, ...] = (
    SourceColumn("ORIGEM", "text", "Origin of the record: 1 Oracle, 2 FTP, 3 SEAD."),
    SourceColumn(
        "CODESTAB",
        "digits",
        "Health facility of birth (CNES).",
        ("0", "0000000", "9999999"),
        width=7,
    ),
    _place("CODMUNNASC", "Municipality of birth (IBGE)."),
    _code("LOCNASC", "birth_place", "Kind of place of birth."),
    _number("IDADEMAE", 8, 70, "Age of the mother.", "0", "00", "99", unit="years"),
    _code("ESTCIVMAE", "marital_status", "Marital status of the mother."),
    _code("ESCMAE", "schooling", "Schooling of the mother, completed years."),
    SourceColumn(
        "CODOCUPMAE",
        "occupation",
        "Occupation of the mother (CBO).",
        ("", "99999", "999999"),
    ),
    _number("QTDFILVIVO", 0, 98, "Children born alive before.", "99"),
    _number("QTDFILMORT", 0, 98, "Children lost before.", "99"),
    _place("CODMUNRES", "Municipality of residence of the mother (IBGE)."),
    _code("GESTACAO", "gestation_class", "Length of gestation, in classes of weeks."),
    _code("GRAVIDEZ", "plurality", "Single or multiple pregnancy."),
    _code("PARTO", "delivery", "Vaginal or caesarean delivery."),
    _code("CONSULTAS", "prenatal_visits", "Prenatal visits, in classes."),
    _date("DTNASC", "Date of birth."),
    SourceColumn("HORANASC", "digits", "Time of birth, HHMM.", ("9999", "99999"), width=4),
    _code("SEXO", "sex", "Sex of the child.", "0", "9", "I"),
    _number("APGAR1", 0, 10, "Apgar score in the first minute.", "99", unit="score"),
    _number("APGAR5", 0, 10, "Apgar score in the fifth minute.", "99", unit="score"),
    _code("RACACOR", "race", "Race of the child."),
    _number("PESO", 100, 9998, "Birth weight.", "0", "00", "0000", "9999", unit="grams"),
    _code("IDANOMAL", "anomaly", "Congenital anomaly found."),
    _date("DTCADASTRO", "Date of entry into the system."),
    SourceColumn("CODANOMAL", "text", "Congenital anomalies (ICD-10), run together."),
    SourceColumn("NUMEROLOTE", "text", "Batch number."),
    SourceColumn("VERSAOSIST", "text", "Version of the entry system."),
    _date("DTRECEBIM", "Date of receipt at the ministry."),
    _number("DIFDATA", 0, 99999, "Days from birth to receipt.", unit="days"),
    _date("DTRECORIGA", "Date of first receipt."),
    SourceColumn("NATURALMAE", "text", "Country or state where the mother was born.", ("999",)),
    _place("CODMUNNATU", "Municipality where the mother was born (IBGE)."),
    SourceColumn("CODUFNATU", "digits", "State where the mother was born.", ("99", "0"), width=2),
    _code("ESCMAE2010", "schooling_2010", "Schooling of the mother, 2010 classes."),
    _number("SERIESCMAE", 1, 8, "School year of the mother.", "0", "9", unit="grade"),
    _date("DTNASCMAE", "Date of birth of the mother.", personal=True),
    _code("RACACORMAE", "race", "Race of the mother."),
    _number("QTDGESTANT", 0, 98, "Pregnancies before.", "99"),
    _number("QTDPARTNOR", 0, 98, "Vaginal deliveries before.", "99"),
    _number("QTDPARTCES", 0, 98, "Caesareans before.", "99"),
    _number("IDADEPAI", 8, 98, "Age of the father.", "0", "00", "99", unit="years"),
    _date("DTULTMENST", "Date of the last menstruation."),
    _number("SEMAGESTAC", 15, 46, "Weeks of gestation.", "0", "00", "99", unit="weeks"),
    _code("TPMETESTIM", "gestation_method", "How the length of gestation was found."),
    _number("CONSPRENAT", 0, 98, "Prenatal visits.", "99"),
    _number(
        "MESPRENAT",
        0,
        10,
        "Month of gestation at the first prenatal visit.",
        "99",
        unit="month of gestation",
    ),
    _code("TPAPRESENT", "presentation", "Presentation of the child."),
    _code("STTRABPART", "labour_induced", "Labour was induced.", "3", "9"),
    _code("STCESPARTO", "caesarean_before_labour", "Caesarean before labour began."),
    _code("TPNASCASSI", "birth_attendant", "Who attended the birth."),
    SourceColumn("TPFUNCRESP", "text", "Function of who filled in the form.", ("0", "9")),
    SourceColumn("TPDOCRESP", "text", "Kind of document of who filled in the form.", ("9",)),
    _date("DTDECLARAC", "Date of the declaration."),
    _code(
        "ESCMAEAGR1",
        "schooling_2010_grouped",
        "Schooling of the mother, regrouped.",
        "09",
        "9",
        width=2,
    ),
    SourceColumn("STDNEPIDEM", "text", "Declaration taken up by epidemiological search.", ("9",)),
    SourceColumn("STDNNOVA", "text", "New form of the declaration.", ("9",)),
    SourceColumn("CODPAISRES", "text", "Country of residence.", ("999",)),
    _code("TPROBSON", "robson_group", "Robson group.", "12", width=2),
    _code("PARIDADE", "parity", "First birth or not."),
    _code("KOTELCHUCK", "kotelchuck", "Adequacy of prenatal care (Kotelchuck index)."),
    SourceColumn("CONTADOR", "text", "Running number given by the source."),
)
COLUMN_NAMES = tuple(column.name for column in SOURCE_COLUMNS)

# In the files of some years, but not among the 61: left out without a warning.
KNOWN_BUT_LEFT_OUT = frozenset(
    {
        "NUMERODN",
        "CODBAINASC",
        "CODBAIRES",
        "UFINFORM",
        "CODINST",
        "CODINSTRES",
        "CODCART",
        "NUMREGCART",
        "DTREGCART",
        "CODMUNCART",
        "RACACORN",
        "RACACOR_RN",
    }
)
# (code, first value that is above it)
AGE_GROUPS = (
    ("<15", 15),
    ("15-19", 20),
    ("20-24", 25),
    ("25-29", 30),
    ("30-34", 35),
    ("35-39", 40),
    ("40-44", 45),
)
WEIGHT_CLASSES = (
    ("<500", 500),
    ("500-999", 1000),
    ("1000-1499", 1500),
    ("1500-2499", 2500),
    ("2500-2999", 3000),
    ("3000-3999", 4000),
)
# First year whose files have the occupations of CBO-2002.
CBO_2002_SINCE = 2006
RENAMED = {"DTRECORIG": "DTRECORIGA", "DTRECORI": "DTRECORIGA"}


def typed_sql(column: SourceColumn) -> str:
    """DuckDB expression: the typed value of a landed text, or NULL."""
    text = column.name
    if column.kind == "code":
        return _code_sql(column)
    if column.kind == "number":
        number = f"try_cast({text} as integer)"
        # DuckDB reads 1e3, 1_000 and 2513.7 as integers, too. Most texts are just their number, so
        # that the expensive comparison is seldom made.
        digits = f"cast({number} as varchar) = {text} or regexp_full_match({text}, '[0-9]+(\\.0)?')"
        return (
            f"case when {number} between {column.low} and {column.high} and ({digits})"
            f" then {number} end"
        )
    if column.kind == "date":
        return date_sql(text)
    if column.kind == "digits":
        return (
            f"case when regexp_full_match({_bare(text)}, '[0-9]{{1,{column.width}}}')"
            f" and {_not_unknown(column)} then {_padded(_bare(text), column.width)} end"
        )
    if column.kind == "place":
        return _place_sql(column)
    if column.kind == "occupation":
        # CBO-1994 has five digits, CBO-2002 six; the files changed over at the turn of 2006.
        width = f"if(source_year < {CBO_2002_SINCE}, 5, 6)"
        return (
            f"case when ltrim({_bare(text)}, '0') in ({_listed(column.unknown)}) then null"
            f" when length({_bare(text)}) < 6 and regexp_full_match({_bare(text)}, '[0-9]+')"
            f" then {_padded(_bare(text), width)}"
            f" when regexp_full_match({_bare(text)}, '[0-9A-Za-z]{{1,6}}') then {_bare(text)} end"
        )
    return f"case when {_not_unknown(column)} then {_bare(text)} end"


def bands_sql(column: str, bands: tuple[tuple[str, int], ...], last: str) -> str:
    """CASE branches of consecutive bands: (code, first value that is above it)."""
    branches = [f"when {column} < {above} then {literal(code)}" for code, above in bands]
    return " ".join([*branches, f"when {column} is not null then {literal(last)}"])


def unreadable_sql() -> str:
    """DuckDB expression: names of the columns whose text (``raw_X``) could not be read, or NULL."""
    conditions = {
        column.name: _unreadable_sql(column) for column in SOURCE_COLUMNS if column.kind != "text"
    }
    any_of = " or ".join(f"({condition})" for condition in conditions.values())
    named = ", ".join(
        f"case when {condition} then '{name}' end" for name, condition in conditions.items()
    )
    # The names are put together for the few rows that have any.
    return f"case when {any_of} then concat_ws(',', {named}) end"


def _unreadable_sql(column: SourceColumn) -> str:
    raw = f"raw_{column.name}"
    known = f"ltrim({_bare(raw)}, '0')" if column.kind == "occupation" else raw
    bad = f"{column.name} is null and {raw} is not null and {_not_unknown(column, known)}"
    if not column.code_list:
        return bad
    # A plain "and" would look at every text.
    return f"case when {bad} then not {is_unknown_sql(raw)} else false end"


def place_joins_sql() -> str:
    """Joins that complete each six-digit municipality code from the code list."""
    return "\n".join(
        f"left join places as {column.name.lower()}_place"
        f" on {column.name.lower()}_place.code6 = left(landed.{column.name}, 6)"
        for column in SOURCE_COLUMNS
        if column.kind == "place"
    )


def _place_sql(column: SourceColumn) -> str:
    """The code of the list; one that is not in it (an extinct municipality) keeps its own.

    Its seventh digit is the check digit: the digits times 1, 2, 1, 2, 1, 2, their cross sums
    added up, and what is missing to the next ten (IBGE).
    """
    code = f"left({column.name}, 6)"
    cross = [f"cast({code}[{i}] as integer)" for i in (1, 3, 5)] + [
        f"(2 * cast({code}[{i}] as integer)) // 10 + (2 * cast({code}[{i}] as integer)) % 10"
        for i in (2, 4, 6)
    ]
    digit = f"(10 - ({' + '.join(cross)}) % 10) % 10"
    # The list is joined by the first six characters: what follows them must be no other text.
    whole = (
        f"(length({column.name}) in (6, 7) or regexp_full_match({column.name}, '[0-9]{{6,7}}\\.0'))"
    )
    return (
        f"case when {column.name.lower()}_place.municipality_code is not null and {whole}"
        f" then {column.name.lower()}_place.municipality_code"
        f" when {_not_unknown(column)} and regexp_full_match({_bare(column.name)}, '[0-9]{{6,7}}')"
        f" and {code}[1:2] in ({_listed(STATES.values())})"
        f" then {code} || case when length({_bare(column.name)}) = 7"
        f" then {column.name}[7] else cast({digit} as varchar) end end"
    )


def _bare(text: str) -> str:
    # Codes that went through a spreadsheet come back as 2513.0.
    return f"case when {text} like '_%.0' then {text}[:-3] else {text} end"


def _padded(text: str, width: int | str) -> str:
    # lpad alone cuts what is longer: the label "37 a 41 semanas" would become code 3.
    return f"lpad({text}, cast(greatest(length({text}), {width}) as integer), '0')"


def _not_unknown(column: SourceColumn, text: str | None = None) -> str:
    if not column.unknown:
        return "true"
    # A country stands in the place of a municipality as 9000xx.
    here = f" and {text or column.name}[1:4] <> '9000'" if column.kind == "place" else ""
    return f"{_bare(text or column.name)} not in ({_listed(column.unknown)}){here}"


def _listed(values: Iterable[str]) -> str:
    return ", ".join(literal(value) for value in values)


def _code_sql(column: SourceColumn) -> str:
    """Codes as they stand; else codes that lost zeros or became decimals, or their labels."""
    assert column.code_list
    entries = code_list(column.code_list)
    codes = [code for code, _, _ in entries if code not in column.unknown]
    bare = _padded(_bare(column.name), column.width) if column.width else _bare(column.name)
    return (
        f"case when {column.name} in ({_listed(codes)}) then {column.name}"
        f" when {column.name} is null or not {_not_unknown(column)} then null"
        f" when {bare} in ({_listed(codes)}) then {bare}"
        f" when try_cast({column.name} as double) is null"
        f" then {code_sql(column.name, REFERENCE, column.code_list)} end"
    )
