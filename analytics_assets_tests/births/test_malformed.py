"""What happens to bad input: a clear refusal, a quarantined row or a NULL that is named.

Whatever happens, the other years land, and the version of the year that was live before stays.
"""

from __future__ import annotations

import gzip
import os
import random
import zipfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from analytics_assets.core.source import Landing, SourceError
from analytics_assets.domains.births import sources
from analytics_assets_tests.births.conftest import GOOD
from analytics_assets_tests.births.files import dbc_bytes, dbf_bytes
from analytics_assets_tests.births.landed import (
    Landed,
    csv_text,
    land,
    query,
    record,
    records,
    write_csv,
)

ROWS = 100
NAME = "SINASC_2024.csv"


def refused(*said: str) -> str:
    """Land 2023 and 2024: 2024 is refused in these words, and nothing good is lost."""
    landed = land([2023, 2024])
    assert "2024" in landed.errors, "2024 was not refused"
    message = landed.errors["2024"]
    for words in said:
        assert words in message
    assert landed.errors.keys() == {"2024"}
    assert landed.fact == landed.raw == {"2023": GOOD, "2024": GOOD}
    assert landed.rejected == {}
    return message


def accepted(rows: int, rejected: int = 0) -> Landed:
    """Land 2024: ``rows`` records are there, so many of them rejected; 2023 is as it was."""
    landed = land([2024])
    assert landed.errors == {}
    assert landed.raw == {"2023": GOOD, "2024": rows}
    assert landed.fact == {"2023": GOOD, "2024": rows - rejected}
    assert landed.rejected == ({"2024": rejected} if rejected else {})
    warned = f"{rejected} of {rows} rows, " in landed.warnings.get("2024", "")
    assert warned == (rejected > 0.005 * rows)
    return landed


def rejections() -> list[tuple[int, str, str | None]]:
    """(source_row, reason, unreadable line) of the rejected records."""
    return query(
        "select source_row, reason, unreadable_line from births.rejected_births order by source_row"
    )


def value(column: str, row: int) -> tuple[object, str | None]:
    """A value of a birth, and the names of its columns that could not be read."""
    (found,) = query(
        f"select {column}, unreadable_columns from births.fact_births"
        f" where birth_id = 'BR-2024-{row}'"
    )
    return found


def with_line(line: str, at: int = 50) -> str:
    """A file of 100 good records and one line, the ``at``-th line after the header."""
    lines = csv_text(records(ROWS)).splitlines(keepends=True)
    return "".join([*lines[:at], line, *lines[at:]])


# ---- files that are not what their name says ----------------------------------------------------


def test_empty_file(published: Path) -> None:
    (published / NAME).write_bytes(b"")
    refused(str(published / NAME), "the file is empty", "Fetch it again")


def test_header_only(published: Path) -> None:
    (published / NAME).write_text(csv_text(records(1)).splitlines()[0] + "\n")
    refused(NAME, "it has a header but no records")


def test_only_blank_lines(published: Path) -> None:
    (published / NAME).write_text("\n\n  \n\n")
    refused(NAME, "it cannot be read")


def test_only_blank_records(published: Path) -> None:
    blank = [dict.fromkeys(record(), "") for _ in range(ROWS)]
    (published / NAME).write_text(csv_text(blank))
    refused(f"{NAME}: 100 of 100 rows, most as no date of birth, first row 1")


def test_file_of_another_year(published: Path) -> None:
    (published / NAME).write_text(csv_text(records(ROWS, year=2019)))
    refused(NAME, "100 of 100 rows, most as date of birth outside the file's year", "split by year")


def test_zero_byte_parquet(published: Path) -> None:
    (published / "SINASC_2024.parquet").write_bytes(b"")
    refused("SINASC_2024.parquet", "the file is empty")


def test_parquet_that_is_none(published: Path) -> None:
    (published / "SINASC_2024.parquet").write_bytes(random.Random(1).randbytes(5000))
    refused("SINASC_2024.parquet", "it cannot be read")


def test_parquet_with_a_damaged_page(published: Path) -> None:
    path = published / "SINASC_2024.parquet"
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist(records(3000)), path, compression="snappy", use_dictionary=False
    )
    content = bytearray(path.read_bytes())
    content[2000:12000] = random.Random(1).randbytes(10000)
    path.write_bytes(content)
    refused("SINASC_2024.parquet", "it cannot be read")


def test_dbc_lands(published: Path) -> None:
    """Without it, the refusals below could be for another reason."""
    (published / "DNAC2024.dbc").write_bytes(dbc_bytes(dbf_bytes(records(ROWS))))
    accepted(ROWS)


def test_dbf_with_accents(published: Path) -> None:
    rows = records(ROWS)
    rows[10]["ORIGEM"] = "São João"
    (published / "SINASC_2024.dbf").write_bytes(dbf_bytes(rows))
    accepted(ROWS)
    assert value("ORIGEM", 11) == ("São João", None)


def test_truncated_dbc(published: Path) -> None:
    (published / "DNAC2024.dbc").write_bytes(dbc_bytes(dbf_bytes(records(ROWS)))[:-2000])
    refused("DNAC2024.dbc", "cut off", "Fetch it again")


def test_dbc_of_random_bytes(published: Path) -> None:
    (published / "DNAC2024.dbc").write_bytes(random.Random(2).randbytes(20_000))
    refused("DNAC2024.dbc", "it is damaged")


def test_dbc_of_nul_bytes(published: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (published / "DNAC2024.dbc").write_bytes(bytes(20_000))
    refused("DNAC2024.dbc", "it is damaged, or no DBC file")
    assert "panicked" not in capfd.readouterr().err


def test_dbc_that_is_a_web_page(published: Path) -> None:
    (published / "DNAC2024.dbc").write_text("<html><body>Service unavailable</body></html>" * 9)
    refused("DNAC2024.dbc", "it is damaged, or no DBC file")


def test_truncated_dbf(published: Path) -> None:
    content = dbf_bytes(records(ROWS))
    length = 1 + 12 * len(record())
    (published / "DNAC2024.dbf").write_bytes(content[: -1 - 30 * length])
    refused("DNAC2024.dbf", "it is cut off: 70 of 100 records are there")


def test_dbf_of_random_bytes(published: Path) -> None:
    (published / "DNAC2024.dbf").write_bytes(b"\x03" + random.Random(3).randbytes(200_000))
    refused("DNAC2024.dbf")


def test_damaged_zip(published: Path) -> None:
    (published / "SINASC_2024.zip").write_bytes(b"PK\x03\x04" + bytes(200))
    refused("SINASC_2024.zip", "it is damaged")


def test_zip_with_damaged_content(published: Path) -> None:
    path = published / "SINASC_2024.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(NAME, csv_text(records(ROWS)))
    content = bytearray(path.read_bytes())
    content[200:400] = bytes(200)
    path.write_bytes(content)
    refused("SINASC_2024.zip", "it is damaged")


def test_zip_with_two_csv_files(published: Path) -> None:
    with zipfile.ZipFile(published / "SINASC_2024.zip", "w") as archive:
        archive.writestr("a.csv", csv_text(records(ROWS)))
        archive.writestr("b.csv", csv_text(records(ROWS)))
    refused("SINASC_2024.zip", "it holds 2 files of .csv", "Pack exactly one into it")


def test_zip_with_no_csv_file(published: Path) -> None:
    with zipfile.ZipFile(published / "SINASC_2024.zip", "w") as archive:
        archive.writestr("read me.md", "nothing here")
    refused("SINASC_2024.zip", "it holds 0 files of .csv")


def test_zip_packed_on_a_mac(published: Path) -> None:
    with zipfile.ZipFile(published / "SINASC_2024.zip", "w") as archive:
        archive.writestr(NAME, csv_text(records(ROWS)))
        archive.writestr(f"__MACOSX/._{NAME}", b"\x00\x05\x16\x07")
    accepted(ROWS)


def test_truncated_gz(published: Path) -> None:
    content = gzip.compress(csv_text(records(ROWS)).encode())
    (published / "SINASC_2024.csv.gz").write_bytes(content[: len(content) // 2])
    refused("SINASC_2024.csv.gz", "it is damaged")


def test_gz_that_is_none(published: Path) -> None:
    (published / "SINASC_2024.csv.gz").write_text(csv_text(records(ROWS)))
    refused("SINASC_2024.csv.gz", "it is damaged")


# ---- names and folders --------------------------------------------------------------------------


def test_two_files_of_one_state_and_year(published: Path) -> None:
    (published / "DNAC2024.dbf").write_bytes(dbf_bytes(records(ROWS)))
    (published / "SINASC_AC_2024.csv").write_text(csv_text(records(ROWS)))
    refused("DNAC2024.dbf and SINASC_AC_2024.csv hold the same births of 2024", "Keep one of them")


def test_dbc_and_csv_of_the_same_births(published: Path) -> None:
    (published / "DNAC2024.dbc").write_bytes(dbc_bytes(dbf_bytes(records(ROWS))))
    (published / "SINASC_AC_2024.csv").write_text(csv_text(records(ROWS)))
    refused("DNAC2024.dbc and SINASC_AC_2024.csv hold the same births of 2024")


def test_national_and_state_file_of_one_year(published: Path) -> None:
    (published / NAME).write_text(csv_text(records(ROWS)))
    (published / "DNAC2024.dbf").write_bytes(dbf_bytes(records(ROWS)))
    refused("DNAC2024.dbf", NAME, "hold the same births of 2024")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("births.csv", "does not say which state and year"),
        ("DNXX2024.dbc", "XX is not a state"),
        ("SINASC_AC_2024_FOO.csv", "FOO is not a month"),
        ("SINASC_1999.csv", "1999 is not a year from 2000 until now"),
        ("SINASC_2199.csv", "2199 is not a year"),
    ],
)
def test_name_that_cannot_be_placed(published: Path, name: str, why: str) -> None:
    (published / name).write_text(csv_text(records(ROWS)))
    landed = land([2023])
    told = landed.reports["2023"]["files refused"]
    assert told.startswith(f"{name}: ")
    assert why in told
    assert "SINASC_<UF>_<YYYY>.csv" in told
    assert landed.fact["2023"] == GOOD
    assert sources.SinascSource().inputs().keys() == {"2023"}


def test_folder_named_like_a_file(published: Path) -> None:
    (published / NAME).mkdir()
    (published / "other").mkdir()
    landed = land([2023])
    assert landed.reports["2023"]["files refused"].startswith(f"{NAME}: it is a folder")
    assert "other" not in landed.reports["2023"]["files refused"]
    assert landed.fact == {"2023": GOOD, "2024": GOOD}


def test_folder_that_does_not_exist(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SINASC_SOURCE", str(published / "nowhere"))
    with pytest.raises(SourceError, match=r"nowhere: the landing folder cannot be read.*Create it"):
        land([2023])


def test_folder_that_is_a_file(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SINASC_SOURCE", str(published / "SINASC_2023.csv"))
    with pytest.raises(SourceError, match=r"cannot be read \(Not a directory\).*SINASC_SOURCE"):
        land([2023])


@pytest.mark.parametrize("name", [NAME, "DNAC2024.dbc", "SINASC_2024.parquet", "SINASC_2024.zip"])
def test_no_permission_to_read(published: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so for root the answer of the system is put in its place."""
    bad = published / name
    bad.write_text(csv_text(records(ROWS)))
    bad.chmod(0)
    if os.access(bad, os.R_OK):
        really = Path.open

        def denied(path: Path, *args, **kwargs):
            if path == bad:
                raise PermissionError(13, "Permission denied", str(path))
            return really(path, *args, **kwargs)

        monkeypatch.setattr(Path, "open", denied)
    refused(str(bad), "it cannot be read (Permission denied)", "the right to read it")


def test_file_that_fails_while_it_is_read(published: Path) -> None:
    """A device error; Linux gives one for the memory of a process that is not mapped."""
    memory = Path("/proc/self/mem")
    if not memory.exists():
        pytest.skip("only Linux has a file that cannot be read by anyone")
    (published / NAME).symlink_to(memory)
    refused(NAME, "it cannot be read (Input/output error)")


def test_file_that_disappears_before_it_is_read(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = published / NAME
    bad.write_text(csv_text(records(ROWS)))
    really = sources.refuse_doubles

    def after_the_scan(files) -> None:
        really(files)
        bad.unlink()

    monkeypatch.setattr(sources, "refuse_doubles", after_the_scan)
    landed = land([2024])
    assert f"{bad}: it cannot be read (No such file" in landed.errors["2024"]
    assert landed.fact == {"2023": GOOD, "2024": GOOD}


def test_file_that_disappears_before_its_year_begins(published: Path) -> None:
    """The year must not be published without it: what is live would go, and pass for complete."""
    bad = published / NAME
    bad.write_text(csv_text(records(ROWS)))
    source = sources.SinascSource()
    assert "2024" in source.inputs()
    bad.unlink()
    with pytest.raises(SourceError, match=f"{NAME} was there when the run began and is gone"):
        source.land(Landing(None, "2024", {}, lambda sql: {})).__enter__()


# ---- text of a CSV file -------------------------------------------------------------------------


def test_latin_1_is_read(published: Path) -> None:
    rows = records(ROWS)
    rows[10]["ORIGEM"] = "São João"
    (published / NAME).write_bytes(csv_text(rows).encode("latin-1"))
    accepted(ROWS)
    assert value("ORIGEM", 11) == ("São João", None)


def test_utf_16(published: Path) -> None:
    (published / NAME).write_bytes(csv_text(records(ROWS)).encode("utf-16"))
    refused(NAME, "it is UTF-16 text", "Save it as UTF-8")


def test_utf_8_with_byte_order_mark(published: Path) -> None:
    rows = [{"DTNASC": row["DTNASC"], **row} for row in records(ROWS)]
    (published / NAME).write_bytes(csv_text(rows).encode("utf-8-sig"))
    accepted(ROWS)


def test_crlf(published: Path) -> None:
    (published / NAME).write_bytes(csv_text(records(ROWS)).replace("\n", "\r\n").encode())
    accepted(ROWS)
    assert query("select count(*) from births.raw_births where SEMAGESTAC = '39'") == [(140,)]


def test_lf_and_crlf_mixed(published: Path) -> None:
    lines = csv_text(records(ROWS)).splitlines()
    text = "".join(line + ("\r\n" if n % 3 else "\n") for n, line in enumerate(lines))
    (published / NAME).write_bytes(text.encode())
    accepted(ROWS)


def test_lines_that_end_in_cr(published: Path) -> None:
    (published / NAME).write_bytes(csv_text(records(ROWS)).replace("\n", "\r").encode())
    refused(NAME, "its lines end in CR alone", "Save it as UTF-8 with lines that end in LF")


def test_blank_lines_are_no_records(published: Path) -> None:
    (published / NAME).write_text("\n" + with_line("\n   \n\n") + "\n\n")
    accepted(ROWS)
    assert value("CONTADOR", 100) == ("100", None)


def test_no_line_end_after_the_last_record(published: Path) -> None:
    (published / NAME).write_text(csv_text(records(ROWS)).rstrip("\n"))
    accepted(ROWS)


def test_trailing_delimiter(published: Path) -> None:
    header, *lines = csv_text(records(ROWS)).splitlines()
    (published / NAME).write_text("\n".join([header, *(f"{line};" for line in lines)]) + "\n")
    accepted(ROWS)


def test_trailing_delimiter_in_the_header_alone(published: Path) -> None:
    header, *lines = csv_text(records(ROWS)).splitlines()
    (published / NAME).write_text("\n".join([f"{header};", *lines]) + "\n")
    accepted(ROWS)


def test_unnamed_index_column(published: Path) -> None:
    rows = [{"": str(n), **row} for n, row in enumerate(records(ROWS))]
    (published / NAME).write_text(csv_text(rows))
    landed = accepted(ROWS)
    assert not [what for what in landed.reports["2024"] if "unknown columns" in what]


def test_mixed_delimiters(published: Path) -> None:
    other = csv_text(records(1), delimiter=",").splitlines()[1]
    (published / NAME).write_text(with_line(f"{other}\n"))
    accepted(ROWS + 1, rejected=1)
    ((row, reason, line),) = rejections()
    assert row == -51
    assert reason == "line cannot be split into columns"
    assert line == f"line 51 (1 columns, not 23): {other}"


def test_line_with_too_many_columns(published: Path) -> None:
    line = csv_text(records(1)).splitlines()[1]
    (published / NAME).write_text(with_line(f"{line};extra\n"))
    accepted(ROWS + 1, rejected=1)
    assert rejections()[0][2].startswith("line 51 (24 columns, not 23): ")


def test_line_with_too_few_columns(published: Path) -> None:
    (published / NAME).write_text(with_line("1;2;3\n"))
    accepted(ROWS + 1, rejected=1)
    assert rejections()[0][2] == "line 51 (3 columns, not 23): 1;2;3"


def test_more_than_a_few_lines_unreadable(published: Path) -> None:
    (published / NAME).write_text(csv_text(records(ROWS)) + "1;2;3\n" * 6)
    refused(f"{NAME}: 6 of 106 rows, most as line cannot be split into columns, first row 102")


def test_all_lines_unreadable(published: Path) -> None:
    header, *lines = csv_text(records(ROWS)).splitlines()
    lines = [line.replace(";", "!") for line in lines]
    (published / NAME).write_text("\n".join([header, *lines]) + "\n")
    refused("100 of 100 rows, most as line cannot be split into columns, first row 2")


def test_one_lost_quote_swallows_nothing(published: Path) -> None:
    """RFC 4180 readers go on to the next quote, or to the end of the file."""
    lines = [";".join(f'"{value}"' for value in row.values()) for row in records(ROWS)]
    lines[49] = lines[49].replace('"27"', '"27')
    header = ";".join(f'"{name}"' for name in record())
    (published / NAME).write_text("\n".join([header, *lines]) + "\n")
    accepted(ROWS, rejected=1)
    ((row, _, line),) = rejections()
    assert row == -51
    assert line.startswith("line 51 (a quote that does not close): ")
    assert value("CONTADOR", 51) == ("51", None)


@pytest.mark.parametrize("apart", [1, 2, 7])
def test_two_lost_quotes_swallow_nothing_between_them(published: Path, apart: int) -> None:
    """Together they are even: the lines from one to the other would make one valid record."""
    lines = csv_text(records(ROWS)).splitlines()
    names = list(record())
    for at, end in ((50, False), (50 + apart, True)):
        values = lines[at].split(";")
        place = names.index("ORIGEM")
        values[place] = f'{values[place]}"' if end else f'"{values[place]}'
        lines[at] = ";".join(values)
    (published / NAME).write_text("\n".join(lines) + "\n")
    landed = land([2024])
    assert landed.errors == {}
    assert landed.fact["2024"] + landed.rejected["2024"] == landed.raw["2024"] == ROWS
    assert {row for row, *_ in rejections()} <= {-51, -(51 + apart)}


def test_quotes_inside_a_value_are_kept(published: Path) -> None:
    (published / NAME).write_text(csv_text([*records(ROWS), record(ORIGEM='a "b" c')]))
    accepted(ROWS + 1)
    assert value("ORIGEM", 101) == ('a "b" c', None)


def test_line_break_inside_a_value(published: Path) -> None:
    rows = records(ROWS)
    rows[10]["ORIGEM"] = "two\nlines; one value"
    rows[20]["ORIGEM"] = "three\r\n\nlines"
    write_csv(published / NAME, rows)
    accepted(ROWS)
    assert value("ORIGEM", 11) == ("two lines; one value", None)
    assert value("CONTADOR", 100) == ("100", None)


def test_nul_bytes_are_taken_out_and_told(published: Path) -> None:
    text = csv_text(records(ROWS)).encode().split(b"\n")
    text[50] = text[50].replace(b"3215", b"32\x0015")
    (published / NAME).write_bytes(b"\n".join(text))
    landed = accepted(ROWS)
    assert value("PESO", 50) == (3215, None)
    assert landed.reports["2024"][f"{NAME}: mended"] == "NUL bytes, taken out"


def test_file_that_ends_in_nul_bytes(published: Path) -> None:
    """What a crash leaves of a file whose length was reserved."""
    (published / NAME).write_bytes(csv_text(records(ROWS)).encode() + bytes(3_000_000))
    accepted(ROWS)


def test_row_names_of_r_are_no_column(published: Path) -> None:
    header, *lines = csv_text(records(ROWS)).splitlines()
    named = [f'"{n}";{line}' for n, line in enumerate(lines, start=1)]
    (published / NAME).write_text("\n".join([header, *named]) + "\n")
    accepted(ROWS)
    assert value("CONTADOR", 100) == ("100", None)


def test_decimals_of_parquet_are_their_numbers(published: Path) -> None:
    table = pyarrow.Table.from_pylist(records(ROWS))
    for name in ("PESO", "CODMUNNASC", "DTNASC"):
        whole = pyarrow.array([int(v) for v in table[name].to_pylist()], pyarrow.int64())
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, whole.cast(pyarrow.decimal128(21, 2)))
    pyarrow.parquet.write_table(table, published / "SINASC_2024.parquet")
    accepted(ROWS)
    assert value("[PESO::text, CODMUNNASC]", 1) == (["3215", "1200401"], None)


def test_nul_bytes_in_the_header(published: Path) -> None:
    (published / NAME).write_bytes(csv_text(records(ROWS)).encode().replace(b"PESO", b"PE\0SO", 1))
    refused(NAME, "its header holds NUL bytes")


def test_extremely_long_line(published: Path) -> None:
    (published / NAME).write_text(with_line("x;" * 3_000_000 + "\n"))
    accepted(ROWS + 1, rejected=1)
    (line,) = (line for *_, line in rejections())
    assert line.startswith("line 51 (more than 1,000,000 bytes): x;x;")
    assert len(line) < 1100


# ---- columns ------------------------------------------------------------------------------------


def test_no_date_of_birth_column(published: Path) -> None:
    rows = [{("BORN" if k == "DTNASC" else k): v for k, v in r.items()} for r in records(ROWS)]
    (published / NAME).write_text(csv_text(rows))
    refused(NAME, "it has no column DTNASC", "CONTADOR, ORIGEM", "Rename its columns")


def test_header_that_names_a_column_twice(published: Path) -> None:
    header, rest = csv_text(records(ROWS)).split("\n", 1)
    (published / NAME).write_text(header.replace("SEXO", "peso") + "\n" + rest)
    refused(NAME, "its header names a column twice")


def test_unknown_column_is_left_out_and_told(published: Path) -> None:
    rows = [{**row, "favourite_colour": "blue", "CODBAIRES": "12"} for row in records(ROWS)]
    (published / NAME).write_text(csv_text(rows))
    landed = accepted(ROWS)
    assert landed.reports["2024"][f"{NAME}: unknown columns left out"] == "FAVOURITE_COLOUR"


def test_missing_column_is_null_and_told(published: Path) -> None:
    rows = [{k: v for k, v in row.items() if k != "PESO"} for row in records(ROWS)]
    (published / NAME).write_text(csv_text(rows))
    landed = accepted(ROWS)
    assert "PESO" in landed.reports["2024"][f"{NAME}: columns missing"].split(", ")
    assert value("PESO", 1) == (None, None)


def test_column_under_both_of_its_names(published: Path) -> None:
    rows = [{**row, "DTRECORIG": "", "DTRECORIGA": "04022024"} for row in records(ROWS)]
    rows[0].update(DTRECORIG="05022024", DTRECORIGA="")
    (published / NAME).write_text(csv_text(rows))
    accepted(ROWS)
    assert str(value("DTRECORIGA", 1)[0]) == "2024-02-05"
    assert str(value("DTRECORIGA", 2)[0]) == "2024-02-04"


# ---- dates of birth -----------------------------------------------------------------------------


def land_with(published: Path, **changes: str) -> int:
    """Land 100 good records and one with other values; the row number of that one."""
    (published / NAME).write_text(csv_text([*records(ROWS), record(**changes)]))
    return ROWS + 1


def test_impossible_date(published: Path) -> None:
    row = land_with(published, DTNASC="31022024")
    accepted(ROWS + 1, rejected=1)
    assert rejections() == [(row, "date of birth cannot be read", None)]


def test_no_date(published: Path) -> None:
    row = land_with(published, DTNASC="")
    accepted(ROWS + 1, rejected=1)
    assert rejections() == [(row, "no date of birth", None)]


def test_date_of_another_year(published: Path) -> None:
    row = land_with(published, DTNASC="03022021")
    accepted(ROWS + 1, rejected=1)
    assert rejections() == [(row, "date of birth outside the file's year", None)]


@pytest.mark.parametrize("text", ["3022024", "2024-02-03", "03/02/2024", " 03022024 "])
def test_date_that_is_repaired(published: Path, text: str) -> None:
    row = land_with(published, DTNASC=text)
    accepted(ROWS + 1)
    assert str(value("DTNASC", row)[0]) == "2024-02-03"


@pytest.mark.parametrize("kind", [pyarrow.date32(), pyarrow.timestamp("us")])
def test_parquet_whose_dates_are_dates(published: Path, kind: pyarrow.DataType) -> None:
    table = pyarrow.Table.from_pylist(records(ROWS))
    dates = pyarrow.array([f"2024-02-{n % 28 + 1:02d}" for n in range(1, ROWS + 1)])
    place = table.schema.get_field_index("DTNASC")
    table = table.set_column(place, "dtnasc", dates.cast(pyarrow.date32()).cast(kind))
    pyarrow.parquet.write_table(table, published / "SINASC_2024.parquet")
    accepted(ROWS)
    assert str(value("DTNASC", 1)[0]) == "2024-02-02"


def test_parquet_with_numbers(published: Path) -> None:
    """Pandas turns whole numbers into decimals where one is missing."""
    rows = [{**row, "PESO": 3215.0, "SEXO": 1.0, "DTNASC": 3022024.0} for row in records(ROWS)]
    rows = [{**row, "CODOCUPMAE": str(100_000 + n)} for n, row in enumerate(rows)]
    rows[1]["PESO"] = None
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), published / "SINASC_2024.parquet")
    accepted(ROWS)
    found = query(
        "select PESO, SEXO, DTNASC from births.raw_births where source_year = 2024"
        " order by source_row limit 2"
    )
    assert found == [("3215", "1", "3022024"), (None, "1", "3022024")]


# ---- other values -------------------------------------------------------------------------------


def test_letters_in_a_number(published: Path) -> None:
    row = land_with(published, PESO="32I5")
    accepted(ROWS + 1)
    assert value("PESO", row) == (None, "PESO")


def test_code_outside_the_book(published: Path) -> None:
    row = land_with(published, PARTO="7", SEXO="X")
    accepted(ROWS + 1)
    assert value("PARTO", row) == (None, "PARTO,SEXO")


def test_labels_instead_of_codes(published: Path) -> None:
    row = land_with(published, SEXO="Masculino", GESTACAO="37 a 41 semanas", GRAVIDEZ="Única")
    accepted(ROWS + 1)
    assert value("[SEXO, GESTACAO, GRAVIDEZ]", row) == (["1", "5", "1"], None)


def test_values_padded_with_blanks(published: Path) -> None:
    row = land_with(published, SEXO=" 2 ", CODMUNRES="120040   ", PESO="  2950", LOCNASC="   ")
    accepted(ROWS + 1)
    assert value("[SEXO, CODMUNRES, PESO::text, LOCNASC]", row) == (
        ["2", "1200401", "2950", None], None
    )  # fmt: skip


def test_codes_that_became_decimals(published: Path) -> None:
    row = land_with(published, CODESTAB="2513.0", SEXO="2.0", CODMUNRES="120040.0", PESO="2950.0")
    accepted(ROWS + 1)
    assert value("[CODESTAB, SEXO, CODMUNRES, PESO::text]", row) == (
        ["0002513", "2", "1200401", "2950"], None
    )  # fmt: skip


def test_very_long_values(published: Path) -> None:
    row = land_with(published, **dict.fromkeys(["ORIGEM", "PESO", "SEXO", "CODMUNRES"], "x" * 400))
    accepted(ROWS + 1)
    assert value("length(ORIGEM)", row) == (400, "CODMUNRES,SEXO,PESO")
    assert value("[PESO::text, SEXO, CODMUNRES]", row)[0] == [None, None, None]


def test_order_of_the_file_is_the_number_of_the_row(published: Path) -> None:
    """In a file that several threads could share: DuckDB cuts such into blocks of some 32 MB."""
    count = 320_000
    note = "x" * 250
    with (published / NAME).open("w") as file:
        file.write("CONTADOR;DTNASC;NOTE\n")
        file.writelines(f"{n};03022024;{note}\n" for n in range(1, count + 1))
    landed = land([2024], tables=["raw_births"])
    assert landed.raw["2024"] == count
    assert query("select count(*) from births.raw_births where CONTADOR <> source_row::text") == [
        (0,)
    ]
