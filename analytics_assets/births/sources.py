"""Landing SINASC files: which file holds which state and year, and reading it as text.

Belongs here: file names, formats, encodings, delimiters, and every refusal with its reason.
Does not belong here: the meaning of a column (``columns.py``).

Everything is landed as text, trimmed, blank = NULL, under upper-case names. A line that cannot be
split into columns is landed whole in ``unreadable_line``, and so ends up among the rejected.
"""

from __future__ import annotations

import csv
import gzip
import os
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast
from uuid import uuid4

import duckdb

from analytics_assets import settings
from analytics_assets.births.columns import COLUMN_NAMES, KNOWN_BUT_LEFT_OUT, RENAMED, code_list
from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import SourceError
from analytics_assets.core.partitions import UNPARTITIONED
from analytics_assets.warehouse.session import literal

NATIONAL = "BR"
STATES = frozenset(
    "AC AL AM AP BA CE DF ES GO MA MG MS MT PA PB PE PI PR RJ RN RO RR RS SC SE SP TO".split()
)
# More unreadable lines than this say that the file is not what its name says.
MAX_UNREADABLE_SHARE = 0.05
_MONTHS = "JAN FEV MAR ABR MAI JUN JUL AGO SET OUT NOV DEZ".split()
_FORMATS = r"\.(?P<format>csv|csv\.gz|zip|parquet|dbc|dbf)"
_NAMES = (
    re.compile(r"DN(?P<state>[A-Z]{2})(?P<year>\d{4})" + _FORMATS, re.IGNORECASE),
    re.compile(r"SINASC_(?P<year>\d{4})" + _FORMATS, re.IGNORECASE),
    re.compile(
        r"SINASC_(?P<state>[A-Z]{2})_(?P<year>\d{4})(?:_(?P<month>[A-Z]{3}))?" + _FORMATS,
        re.IGNORECASE,
    ),
)
_HOW_TO_NAME = (
    "Name it DN<UF><YYYY>.dbc, SINASC_<YYYY>.csv, SINASC_<UF>_<YYYY>.csv (also .zip, .csv.gz,"
    " .parquet, .dbf), or SINASC_<UF>_<YYYY>_<MON>.csv for a year to date; a file of several"
    " years has to be split by year"
)


@dataclass(frozen=True)
class LandedFile:
    """A file of the landing folder: its state (``BR`` for all), year and last month if to date."""

    path: Path
    state: str
    year: str
    month: int
    format: str


@dataclass(frozen=True)
class Folder:
    """What a landing folder holds: files by year, files set aside, files refused and why."""

    files: Mapping[str, list[LandedFile]]
    replaced: list[Path]
    refused: Mapping[Path, str]


def scan(folder: Path) -> Folder:
    """Look at the names in a landing folder; ``SourceError`` if there is no such folder."""
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise SourceError(
            f"the landing folder cannot be read ({error.strerror})", str(folder),
            "Create it, or set SINASC_SOURCE to the folder of your SINASC files",
        ) from error
    files: dict[str, list[LandedFile]] = {}
    refused: dict[Path, str] = {}
    for path in paths:
        if path.is_dir() or path.stem.upper().startswith("CNESDO"):
            continue
        found = _classify(path)
        if isinstance(found, str):
            refused[path] = found
        else:
            files.setdefault(found.year, []).append(found)
    replaced = [old for year in files for old in _drop_replaced(files[year])]
    return Folder(files, replaced, refused)


def _classify(path: Path) -> LandedFile | str:
    match = next((m for m in (name.fullmatch(path.name) for name in _NAMES) if m), None)
    if match is None:
        return f"its name does not say which state and year it holds. {_HOW_TO_NAME}"
    parts = match.groupdict()
    state = (parts.get("state") or NATIONAL).upper()
    month = (parts.get("month") or "").upper()
    if state != NATIONAL and state not in STATES:
        return f"{state} is not a state. {_HOW_TO_NAME}"
    if month and month not in _MONTHS:
        return f"{month} is not a month ({', '.join(_MONTHS)}). {_HOW_TO_NAME}"
    number = _MONTHS.index(month) + 1 if month else 12
    return LandedFile(path, state, parts["year"], number, parts["format"].lower())


def _drop_replaced(files: list[LandedFile]) -> list[Path]:
    """Take out year-to-date files that a later month of the same state repeats."""
    latest = {file.state: max(f.month for f in files if f.state == file.state) for file in files}
    old = [file for file in files if file.month < latest[file.state]]
    for file in old:
        files.remove(file)
    return [file.path for file in old]


def landing_folder() -> Path:
    """``SINASC_SOURCE``, or the folder of the generated sample."""
    return Path(os.environ.get("SINASC_SOURCE") or settings.load().home / "samples" / "sinasc")


class SinascSource:
    """Birth records of the landing folder, by year."""

    @property
    def folder(self) -> Path:
        """Looked up at each use: a code location outlives a change of settings."""
        return landing_folder()

    def inputs(self) -> dict[str, dict[str, str]]:
        """Year -> file name -> size and time of change: looked at, not read."""
        found: dict[str, dict[str, str]] = {}
        for year, files in scan(self.folder).files.items():
            for file in files:
                status = file.path.stat()
                found.setdefault(year, {})[file.path.name] = (
                    f"{status.st_size}-{status.st_mtime_ns}"
                )
        return found

    def land(
        self, session: duckdb.DuckDBPyConnection, year: str, report: dict[str, Any]
    ) -> Iterator[str]:
        """SELECTs of a year's records; raises ``SourceError`` naming the file that is bad."""
        folder = scan(self.folder)
        files = folder.files.get(year, [])
        _refuse_doubles(files)
        report["files"] = ", ".join(file.path.name for file in files) or "none"
        if folder.replaced:
            report["replaced by a later file"] = ", ".join(p.name for p in folder.replaced)
        if folder.refused:
            report["files refused"] = "\n".join(
                f"{path.name}: {why}" for path, why in folder.refused.items()
            )
        scratch = settings.load().scratch / f"landing-{uuid4().hex}"
        scratch.mkdir(parents=True)
        try:
            for file in files:
                yield from _Reader(session, file, scratch, report).statements()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


class HealthFacilitySource:
    """Names of health facilities: the newest ``CNESDO*.DBF`` of the landing folder, if any."""

    def _file(self) -> Path | None:
        found = [p for p in landing_folder().glob("*") if re.fullmatch(r"(?i)CNESDO\d+\.dbf", p.name)]
        return max(found, key=lambda path: path.name.upper(), default=None)

    def inputs(self) -> dict[str, dict[str, str]]:
        """The file's name, size and time of change; an empty list of names is a list, too."""
        file = self._file()
        state = f"{file.stat().st_size}-{file.stat().st_mtime_ns}" if file else "none"
        return {UNPARTITIONED.only_key: {file.name if file else "CNESDO": state}}

    def land(
        self, session: duckdb.DuckDBPyConnection, key: str, report: dict[str, Any]
    ) -> Iterator[str]:
        """Code and name of each facility."""
        import pyarrow
        import pyogrio

        file = self._file()
        report["file"] = file.name if file else "none: facilities are shown by code only"
        if file is None:
            yield "select null as cnes_code, null as facility_name where false"
            return
        with pyogrio.open_arrow(file, encoding="latin-1") as (_, stream):
            rows = pyarrow.RecordBatchReader.from_stream(stream).read_all()
        session.register("health_facilities", rows)
        yield (
            "select lpad(trim(CODESTAB), 7, '0') as cnes_code,"
            " max(coalesce(nullif(trim(DESCESTAB), ''), 'No name')) as facility_name"
            " from health_facilities where trim(CODESTAB) <> '' group by 1"
        )
        session.unregister("health_facilities")


def _refuse_doubles(files: list[LandedFile]) -> None:
    by_state: dict[str, list[LandedFile]] = {}
    for file in files:
        by_state.setdefault(file.state, []).append(file)
    doubled = [own for own in by_state.values() if len(own) > 1]
    if NATIONAL in by_state and len(by_state) > 1:
        doubled.append([file for own in by_state.values() for file in own])
    if doubled:
        names = " and ".join(file.path.name for file in doubled[0])
        raise SourceError(
            f"{names} hold the same births of {doubled[0][0].year}", str(doubled[0][0].path.parent),
            "Keep one of them and move the other out of the folder",
        )


class _Reader:
    """Reads one file; each format ends as a relation of text columns named as in the file."""

    def __init__(
        self,
        session: duckdb.DuckDBPyConnection,
        file: LandedFile,
        scratch: Path,
        report: dict[str, Any],
    ) -> None:
        self._session = session
        self._file = file
        self._scratch = scratch
        self._report = report

    def statements(self) -> Iterator[str]:
        """SELECTs of the file's rows in the shape of ``raw_births``."""
        try:
            if self._file.path.stat().st_size == 0:
                raise self._error("the file is empty", "Fetch it again")
            if self._file.format in ("dbc", "dbf"):
                yield self._from_dbf()
            elif self._file.format == "parquet":
                yield self._from_parquet(self._file.path)
            else:
                yield from self._from_csv()
        except OSError as error:
            raise self._error(
                f"it cannot be read ({error.strerror or error})",
                "Give the user that runs this the right to read it, or fetch it again",
            ) from error
        except duckdb.Error as error:
            raise self._error(
                f"it cannot be read ({str(error).splitlines()[0]})", "Fetch it again"
            ) from error

    def _error(self, what: str, to_do: str) -> SourceError:
        return SourceError(what, str(self._file.path), to_do)

    def _select(self, source: str, present: Mapping[str, str], names: list[str]) -> str:
        """Select the 61 columns, NULL where the file lacks one.

        ``present`` is column -> expression over ``source``; ``names`` are the file's own.
        """
        if "DTNASC" not in present:
            raise self._error(
                "it has no column DTNASC (date of birth); its columns are "
                + ", ".join(names[:12]) + (" ..." if len(names) > 12 else ""),
                "Rename its columns to the names of the SINASC layout",
            )
        absent = [name for name in COLUMN_NAMES if name not in present]
        unknown = sorted(
            name for name in names if name not in present and name not in KNOWN_BUT_LEFT_OUT
            and name not in RENAMED
        )
        self._note("columns missing", absent)
        self._note("unknown columns left out", unknown)
        columns = ", ".join(
            f"nullif(trim({present[name]}), '') as {name}" if name in present
            else f"cast(null as varchar) as {name}"
            for name in COLUMN_NAMES
        )
        return (
            f"select {columns}, {self._origin()}, row_number() over () as source_row,"
            f" cast(null as varchar) as unreadable_line from {source}"
        )

    def _origin(self) -> str:
        return (
            f"{literal(self._file.path.name)} as source_file,"
            f" {literal(self._file.state)} as source_state, {int(self._file.year)} as source_year"
        )

    def _note(self, what: str, names: list[str]) -> None:
        if names:
            key = f"{self._file.path.name}: {what}"
            self._report[key] = ", ".join(names)

    def _columns(self, names: list[str], expressions: list[str]) -> dict[str, str]:
        """Upper-case name -> expression; refuses a name that stands twice."""
        doubled = sorted({name for name in names if name and names.count(name) > 1})
        if doubled:
            raise self._error(
                f"its header names {', '.join(doubled)} twice", "Keep one of the two columns"
            )
        wanted = set(COLUMN_NAMES)
        found = {}
        for name, expression in zip(names, expressions, strict=True):
            name = RENAMED.get(name, name)
            if name in wanted:
                found.setdefault(name, expression)
        return found

    # ---- DBC and DBF ------------------------------------------------------------------------

    def _from_dbf(self) -> str:
        import pyarrow
        import pyarrow.parquet
        import pyogrio

        path = self._file.path
        if self._file.format == "dbc":
            path = self._unpacked()
        self._check_length(path)
        target = self._scratch / f"{uuid4().hex}.parquet"
        with pyogrio.open_arrow(path, encoding="latin-1") as (_, stream):
            reader = pyarrow.RecordBatchReader.from_stream(stream)
            text = pyarrow.schema([(name, pyarrow.string()) for name in reader.schema.names])
            with pyarrow.parquet.ParquetWriter(target, text, compression="lz4") as writer:
                for batch in reader:
                    writer.write_table(pyarrow.Table.from_batches([batch]).cast(text))
        return self._from_parquet(target)

    def _unpacked(self) -> Path:
        """The DBF inside a DBC, at a fresh path: the unpackers do not truncate an existing file."""
        target = self._scratch / f"{uuid4().hex}.dbf"
        try:
            _decompress(self._file.path, target)
        except OSError:
            raise
        except BaseException as error:  # the Rust unpacker panics on damaged input
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            raise self._error(f"it is damaged ({error})", "Fetch it again") from error
        return target

    def _check_length(self, path: Path) -> None:
        """A DBF says how many records it has; fewer bytes than that means it was cut off."""
        with path.open("rb") as file:
            header = file.read(12)
        records = int.from_bytes(header[4:8], "little")
        start = int.from_bytes(header[8:10], "little")
        length = int.from_bytes(header[10:12], "little")
        size = path.stat().st_size
        if len(header) < 12 or not length or size < start + records * length:
            have = max(0, size - start) // length if length else 0
            raise self._error(
                f"it is cut off: {have:,} of {records:,} records are there", "Fetch it again"
            )

    # ---- Parquet ----------------------------------------------------------------------------

    def _from_parquet(self, path: Path) -> str:
        source = f"read_parquet({literal(str(path))})"
        described = self._session.execute(f"describe select * from {source}").fetchall()
        own = [row[0] for row in described]
        names = [name.strip().upper() for name in own]
        expressions = [f"cast({quoted(name)} as varchar)" for name in own]
        return self._select(source, self._columns(names, expressions), names)

    # ---- CSV --------------------------------------------------------------------------------

    def _from_csv(self) -> Iterator[str]:
        path = self._extracted()
        encoding = "utf-8"
        names, delimiter = self._header(path, encoding)
        rejects = f"rejects_{uuid4().hex}"
        scans = f"scans_{uuid4().hex}"
        # Almost all files are plain ASCII; only a reader that fails on a byte costs a second look.
        if not _is_utf8(path):
            encoding = "latin-1"
            names, delimiter = self._header(path, encoding)
        positions = [f"c{index}" for index in range(len(names))]
        typed = ", ".join(f"'{position}': 'VARCHAR'" for position in positions)
        source = (
            f"read_csv({literal(str(path))}, auto_detect = false, header = true,"
            f" delim = {literal(delimiter)}, quote = '\"', escape = '\"', columns = {{{typed}}},"
            f" encoding = '{encoding}', store_rejects = true, rejects_table = '{rejects}',"
            f" rejects_scan = '{scans}', max_line_size = 1000000)"
        )
        yield self._select(source, self._columns(names, positions), names)
        yield from self._unreadable(rejects, path, len(names))

    def _unreadable(self, rejects: str, path: Path, width: int) -> Iterator[str]:
        """The lines that could not be split into columns, as rows of their own."""
        bad = self._session.execute(
            f"select count(distinct line) from {rejects}"
        ).fetchall()[0][0]
        if not bad:
            return
        lines = _count_lines(path)
        if bad > MAX_UNREADABLE_SHARE * lines:
            example = self._session.execute(
                f"select line, error_message from {rejects} order by line limit 1"
            ).fetchall()[0]
            raise self._error(
                f"{bad:,} of {lines:,} lines do not have the header's {width} columns; line"
                f" {example[0]}: {example[1].splitlines()[0]}",
                "Look for another delimiter or lost quotes, or fetch the file again",
            )
        self._report[f"{self._file.path.name}: unreadable lines"] = bad
        columns = ", ".join(f"cast(null as varchar) as {name}" for name in COLUMN_NAMES)
        yield (
            f"select {columns}, {self._origin()}, -line as source_row,"
            f" concat('line ', line, ': ', any_value(csv_line)) as unreadable_line"
            f" from {rejects} group by line"
        )

    def _extracted(self) -> Path:
        """The CSV itself, out of its archive."""
        path = self._file.path
        target = self._scratch / f"{uuid4().hex}.csv"
        try:
            if self._file.format == "zip":
                with zipfile.ZipFile(path) as archive:
                    inside = [n for n in archive.namelist() if n.lower().endswith(".csv")]
                    if len(inside) != 1:
                        raise self._error(
                            f"it holds {len(inside)} CSV files", "Pack exactly one into it"
                        )
                    with archive.open(inside[0]) as packed, target.open("wb") as out:
                        shutil.copyfileobj(packed, out)
                return target
            if self._file.format == "csv.gz":
                with gzip.open(path) as unpacked, target.open("wb") as out:
                    shutil.copyfileobj(cast(BinaryIO, unpacked), out)
                return target
        except (zipfile.BadZipFile, gzip.BadGzipFile, EOFError) as error:
            raise self._error(f"it is damaged ({error})", "Fetch it again") from error
        return path

    def _header(self, path: Path, encoding: str) -> tuple[list[str], str]:
        """Column names in upper case, and the delimiter that the header shows."""
        with path.open("rb") as file:
            first = file.readline(1_000_000)
        if first[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in first:
            raise self._error("it is not UTF-8 or Latin-1 text", "Save it as UTF-8")
        line = first.decode("utf-8-sig" if encoding == "utf-8" else encoding, "replace").rstrip("\r\n")
        delimiter = max(";,\t|", key=line.count)
        names = [name.strip().upper() for name in next(csv.reader([line], delimiter=delimiter), [])]
        return names, delimiter


def _decompress(source: Path, target: Path) -> None:
    """Unpack a DBC; ``datasus-dbc`` has no wheel for every Python, ``dbc-to-dbf`` is slower."""
    with source.open("rb"):
        pass  # an unreadable file is an OSError here, and no panic below
    try:
        import datasus_dbc
    except ImportError:
        from dbctodbf import DBCDecompress

        DBCDecompress().decompressFile(str(source), str(target))
    else:
        datasus_dbc.decompress(str(source), str(target))


def _is_utf8(path: Path) -> bool:
    decoder = __import__("codecs").getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                return False
    return True


def _count_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 22), b""))
