"""What messages say of values and of errors that are not ours."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import dagster as dg
import duckdb
import psutil
import psycopg2.errors
import pyarrow
import pytest
from dagster._utils.error import serializable_error_info_from_exc_info
from hypothesis import given
from hypothesis import strategies as st

from analytics_assets.core import telling
from analytics_assets.core.boundary import in_our_words
from analytics_assets.core.columns import Column, text
from analytics_assets.core.source import SourceError
from analytics_assets.core.troubles import said

WHO = "9110000077013 John O'Doe"
FREE, TOLD = text("note", "Free."), text("code", "Of a code book.", told=True)
LISTED = text("kind", "Of a list.", values=("Organic", "Apple Ads", "unknown"))
PERSONAL = Column("who", "text", "A person.", personal=True)
RANDOM = Column("id", "text", "A random word.", pattern="c[a-z0-9]{4}", told=True)


@pytest.mark.parametrize(
    ("value", "column", "shown"),
    [
        (WHO, FREE, "9999999999999 aaaa a..."),
        (WHO, LISTED, "9999999999999 aaaa a..."),
        (WHO, PERSONAL, "(personal)"),
        (WHO, RANDOM, "9999999999999 aaaa a..."),
        (WHO, None, "9999999999999 aaaa a..."),
        ("c12ab", RANDOM, "c12ab"),
        ("São Paulo", TOLD, "São Paulo"),
        ("São Paulo", FREE, "aaa aaaaa"),
        ("Organic", LISTED, "Organic"),
        ("organik", LISTED, "organik"),
        ("referral", LISTED, "referral"),
        ("John", LISTED, "aaaa"),
        ("gate_30", LISTED, "gate_30"),
        ("100357", LISTED, "999999"),
        (100_357, None, "about 100,000"),
        ("referral", FREE, "aaaaaaaa"),
        ("31/02/2024", FREE, "31/02/2024"),
        ("2024-13-01", FREE, "2024-13-01"),
        ("-12.5", FREE, "-12.5"),
        ("20304050", FREE, "99999999"),
        (12, FREE, 12),
        (99_999, None, 99_999),
        (9_110_000_077_013, None, "about 9,110,000,000,000"),
        (-9_110_077.5, None, "about -9,110,000"),
        (Decimal("12345678.9"), None, "about 12,300,000"),
        (float("inf"), None, "about inf"),
        (True, FREE, True),
        (None, FREE, None),
        (date(2024, 1, 2), FREE, date(2024, 1, 2)),
        ([WHO], None, "(list)"),
        (b"John", None, "(bytes)"),
    ],
)
def test_a_value_of_a_row(value: Any, column: Column | None, shown: Any) -> None:
    assert telling.cell(value, column) == shown


@given(st.text(min_size=5))
def test_of_a_free_text_only_the_shape_is_told(value: str) -> None:
    shown = telling.cell(value, FREE)
    assert shown == value or not any(
        (c.isalpha() and c != "a") or (c.isnumeric() and c != "9") for c in shown
    )
    assert len(shown) <= 80


@given(st.integers() | st.floats(allow_nan=False) | st.decimals(allow_nan=False))
def test_no_number_is_told_with_more_than_five_digits(value: Any) -> None:
    shown = telling.number(value)
    assert shown == value if abs(value) < 10**5 else shown.startswith("about ")
    assert telling.number(telling.rounded(value), is_total=True) == telling.number(value, True)


def test_a_row_has_no_personal_column() -> None:
    columns = {"who": PERSONAL, "note": FREE}
    row = {"who": WHO, "note": WHO, "reason": "day is no date", "other": WHO}
    assert telling.row(row, columns, ("reason",)) == {
        "note": "9999999999999 aaaa a...",
        "reason": "day is no date",
        "other": "9999999999999 aaaa a...",
    }


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("spend_eur", "spend_eur"),
        ("John Doe", "aaaa aaa"),
        ("n_9110000077013", "a_9999999999999"),
        ("9110000077013", "9999999999999"),
        ("_column_7", "_column_7"),
    ],
)
def test_a_column_that_nobody_knows(name: str, shown: str) -> None:
    assert telling.header(name) == shown


# ---- errors -------------------------------------------------------------------------------------


def of_duckdb(sql: str) -> Callable[[], Any]:
    return lambda: duckdb.connect().execute(sql, [WHO] if "?" in sql else None).fetchall()


ERRORS: dict[str, Callable[[], Any]] = {
    "conversion": of_duckdb("select cast(? as integer)"),
    "date": of_duckdb("select cast(? as date)"),
    "strptime": of_duckdb("select strptime(?, '%Y')"),
    "range": of_duckdb("select cast(cast('9110000077013' as bigint) as integer)"),
    "error": of_duckdb("select error(?)"),
    "json": of_duckdb("select json_extract(?, '$.a')"),
    "number": lambda: int(WHO),
    "float": lambda: float(WHO),
    "key": lambda: {}[WHO],
    "moment": lambda: date.fromisoformat(WHO),
    "arrow": lambda: pyarrow.array([WHO], pyarrow.int64()),
    "bytes": lambda: f"{WHO}é".encode("latin-1").decode(),
}


def raised(run: Callable[[], Any]) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011  (whatever it is)
        run()
    return caught.value


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_of_a_library_quotes_nobody(name: str) -> None:
    told = telling.told(raised(ERRORS[name]))
    assert not any(word in told for word in ("John", "Doe", "9110000077013")), told
    assert told


def test_errors_of_postgresql_quote_nobody(postgres: str) -> None:
    import psycopg2
    import sqlalchemy as sa

    engine = sa.create_engine(f"postgresql+psycopg2://postgres@/postgres?host={postgres}")
    doubled = "select * from (values (:who), (:who)) as t (a), lateral (select 1) as s"
    with engine.connect() as connection:
        connection.exec_driver_sql("create temp table t (a text primary key, n int)")
        for sql in (
            "insert into t values (:who, 1), (:who, 2)",
            "insert into t (n) values (cast(:who as int))",
            "select to_date(:who, 'YYYY')",
            f"select cast(a as json) from ({doubled}) as x",
        ):
            with pytest.raises(sa.exc.DBAPIError) as caught, connection.begin_nested():
                connection.execute(sa.text(sql), {"who": WHO})
            assert "John" not in telling.told(caught.value)
            assert "9110000077013" not in telling.told(caught.value)
        raw, sent = connection.connection.cursor(), io.StringIO(f"{WHO}\n")
        with pytest.raises(psycopg2.Error) as copied:
            raw.copy_expert("copy t (n) from stdin", sent)
        assert "John" not in telling.told(copied.value)


def _generator() -> Iterator[int]:
    yield 1
    raise ValueError(f"could not read {WHO!r}") from KeyError(WHO)


def _function() -> None:
    try:
        {}[WHO]
    except KeyError as error:
        raise dg.Failure("Our own words.") from error


@pytest.mark.parametrize(("body", "words"), [(_generator, "ValueError"), (_function, "Our own")])
def test_what_dagster_keeps_of_an_error_has_no_cause_that_quotes(body: Any, words: str) -> None:
    with pytest.raises(dg.Failure) as caught:
        list(in_our_words(body)() or ())
    info = serializable_error_info_from_exc_info(
        (type(caught.value), caught.value, caught.value.__traceback__)
    )
    assert words in (caught.value.description or "")
    assert "John" not in info.to_string() + str(caught.value.description)
    assert "test_telling.py" in info.to_string()


# ---- troubles of the surroundings ---------------------------------------------------------------


def test_troubles_are_one_sentence_with_what_to_do() -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/lake/x.parquet")
    assert said(full).startswith("/lake/x.parquet: the disk is full. ")
    wrapped = RuntimeError("it failed")
    wrapped.__cause__ = duckdb.IOException('IO Error: Could not write file "x": No space left on'
                                           " device")  # fmt: skip
    assert said(wrapped).startswith("The disk is full. ")
    server = psycopg2.errors.DiskFull('could not extend file "base/1/2": No space left on device')
    assert said(server).startswith("PostgreSQL's disk is full. ")
    rights = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/home/x")
    assert said(rights) == (
        "/home/x: Permission denied. Give the user that runs this the right to read and write it."
    )
    assert "was killed" in said(psutil.NoSuchProcess(17))
    assert "ANALYTICS_MEMORY_LIMIT" in said(duckdb.OutOfMemoryException("Out of Memory Error"))
    own = SourceError("it is cut off", "a.csv", "Fetch it again")
    assert said(own) == str(own)
    assert said(ValueError(WHO)).startswith("ValueError")
    assert "John" not in said(ValueError(WHO))
