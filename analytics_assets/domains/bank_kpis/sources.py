"""The sources of the bank tables: workbooks by month, institutions, and a table to migrate from.

Belongs here: what a landing folder offers to the warehouse, as ``core.source.Source`` asks.
Does not belong here: reading a workbook (``workbooks.py``), its headers (``layouts.py``).
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pyarrow
import sqlalchemy as sa
from python_calamine import CalamineError, CalamineWorkbook

from analytics_assets.core.partitions import UNPARTITIONED
from analytics_assets.core.source import Landing, SourceError
from analytics_assets.domains.bank_kpis.layouts import FILES, LAYOUTS
from analytics_assets.domains.bank_kpis.metrics import REFERENCE
from analytics_assets.domains.bank_kpis.months import as_text
from analytics_assets.domains.bank_kpis.workbooks import Workbook, institution_code, plain, read
from analytics_assets.landing.folder import LandingFolder, arrived

_STARTS_WITH_MONTH = re.compile(r"(19|20)\d\d-(0[1-9]|1[0-2])-\d\d")


LANDING = LandingFolder("CNBV_SOURCE", "cnbv")
# Short enough for a key, with the institution's code behind it.
_LONGEST_CODE = 100


def _listed() -> list[Path]:
    # ~$name.xlsx is what Excel leaves beside an open workbook.
    return [path for path in LANDING.files() if not path.name.startswith("~")]


class WorkbookSource:
    """The rows of one kind of workbook in the landing folder, by month."""

    def __init__(self, name: str) -> None:
        self._pattern, self._layout = FILES[name], LAYOUTS[name]
        self._seen: dict[str, set[str]] = {}

    def workbooks(self) -> tuple[dict[Path, Workbook], dict[Path, str]]:
        """Workbooks that can be read, and why others cannot."""
        found: dict[Path, Workbook] = {}
        refused: dict[Path, str] = {}
        for path in _listed():
            if self._pattern.fullmatch(path.name):
                try:
                    found[path] = read(path, self._layout)
                except SourceError as error:
                    refused[path] = str(error)
                except FileNotFoundError:
                    continue  # taken away after the listing
        return found, refused

    def inputs(self) -> dict[str, dict[str, str]]:
        """Month -> workbook -> fingerprint of its rows of the month.

        Unlike a look at the file's time, this tells the months that a restated workbook changes
        from those that it repeats; parsing 5,000 rows takes 0.2 s, once for each change.
        """
        inputs: dict[str, dict[str, str]] = {}
        for path, workbook in self.workbooks()[0].items():
            for month, fingerprint in workbook.fingerprints.items():
                inputs.setdefault(month, {})[path.name] = fingerprint
        self._seen = {month: set(files) for month, files in inputs.items()}
        return inputs

    def arrived(self, key: str, names: Collection[str]) -> datetime | None:
        """When the first of these workbooks came into the folder, or changed there."""
        return arrived(LANDING.path / name for name in names)

    def problems(self) -> list[str]:
        """Workbooks that cannot be read, or are not what their names say."""
        return list(self.workbooks()[1].values())

    @contextmanager
    def land(self, landing: Landing) -> Iterator[list[str]]:
        """SELECTs of a month's rows, one for each workbook that has it."""
        found, refused = self.workbooks()
        own = {path: book for path, book in found.items() if landing.key in book.months}
        gone = self._seen.get(landing.key, set()) - {path.name for path in own}
        if gone:
            raise SourceError(
                f"{', '.join(sorted(gone))} had this month when the run began and has it no more",
                str(LANDING.path),
                "Put it back, or run again to build from the files that are there",
            )
        landing.report["files"] = ", ".join(path.name for path in own) or "none"
        for path, book in own.items():
            landing.report.update({f"{path.name}: {what}": n for what, n in book.notes.items()})
        if refused:
            landing.report["files refused"] = "\n".join(refused.values())
        names = [f"workbook_{number}" for number in range(len(own))]
        try:
            for name, book in zip(names, own.values(), strict=True):
                landing.session.register(name, book.months[landing.key])
            yield [f"select * from {name}" for name in names]
        finally:
            for name in names:
                landing.session.unregister(name)


class InstitutionSource:
    """The institutions that ship with the package, and those of an ``Instituciones*.xlsx``."""

    def _file(self) -> Path | None:
        named = [path for path in _listed() if path.name.lower().startswith("instituciones")]
        return max(named, default=None)

    @staticmethod
    def _beside() -> dict[str, str]:
        """Code -> name, of banks that other workbooks name beside their numbers."""
        found: dict[str, str] = {}
        for name in FILES:
            for book in WorkbookSource(name).workbooks()[0].values():
                found = {**book.names, **found}
        return {code: name for code, name in sorted(found.items()) if code.startswith("04")}

    def inputs(self) -> dict[str, dict[str, str]]:
        """The shipped list's content; the workbook's name, size and time of change."""
        shipped = (REFERENCE / "institutions.csv").read_bytes()
        found = {"institutions.csv": hashlib.sha256(shipped).hexdigest()[:16]}
        if file := self._file():
            found[file.name] = f"{file.stat().st_size}-{file.stat().st_mtime_ns}"
        if beside := self._beside():
            found["names in workbooks"] = hashlib.sha256(repr(beside).encode()).hexdigest()[:16]
        return {UNPARTITIONED.only_key: found}

    def arrived(self, key: str, names: Collection[str]) -> datetime | None:
        """When the first of these workbooks came into the folder, or changed there."""
        return arrived(LANDING.path / name for name in names)

    @contextmanager
    def land(self, landing: Landing) -> Iterator[list[str]]:
        """Code, short name, name and level of each; the shipped list says what it knows."""
        with (REFERENCE / "institutions.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        known = {row["institution_code"] for row in rows}
        taken = {row["bank_code"] for row in rows}
        named = []
        if path := self._file():
            landing.report["file"] = path.name
            named = _named_in(path)
        for row in [*named, *(_institution(*both) for both in self._beside().items())]:
            if row["institution_code"] not in known:
                # The regulator gave old and new groups the same names.
                if row["bank_code"] in taken:
                    row["bank_code"] += f"_{row['institution_code']}"
                known.add(row["institution_code"])
                taken.add(row["bank_code"])
                rows.append(row)
        landing.session.register("institutions_landed", pyarrow.Table.from_pylist(rows))
        try:
            yield ["select * from institutions_landed"]
        finally:
            landing.session.unregister("institutions_landed")


def _institution(code: str, name: str) -> dict[str, str]:
    return {
        "institution_code": code,
        "bank_code": "_".join(plain(name.replace(".", "")).upper().split())[:_LONGEST_CODE],
        "bank_name": name,
        "level": level_of(code, name),
    }


def level_of(code: str, name: str) -> str:
    """Of an institution that the shipped list does not know."""
    if code.startswith("04"):
        return "bank"
    # The regulator's codes of single banks with their subsidiaries; groups are below.
    return "consolidated" if 80 <= int(code) < 200 else "group"


def _named_in(path: Path) -> list[dict[str, str]]:
    """Institutions of the regulator's list: code and name in the first two columns."""
    try:
        with CalamineWorkbook.from_path(path) as workbook:
            rows = workbook.get_sheet_by_index(0).to_python()
    except (CalamineError, OSError) as error:
        raise SourceError(
            f"it cannot be read as an Excel workbook ({error})", str(path), "Fetch it again"
        ) from error
    found = {}
    for row in rows:
        code, name = (
            (institution_code(as_text(row[0])), as_text(row[1])) if row[1:] else (None,) * 2
        )
        if code and name:
            found[code] = _institution(code, name)
    return list(found.values())


class LegacySource:
    """An existing wide table: ``LEGACY_KPIS`` is a CSV file, or an SQLAlchemy URL with ``#table``.

    Its columns are those of the brief (``fecha``, ``banco_norm``, metrics by code); columns that
    are no metric of ours are left out and named.
    """

    def __init__(self, columns: tuple[str, ...]) -> None:
        self._columns = columns
        self._months: dict[str, list[dict[str, str | None]]] = {}
        self._unknown: set[str] = set()

    def _rows(self) -> tuple[list[dict[str, str | None]], set[str]]:
        where = os.environ.get("LEGACY_KPIS", "")
        if not where:
            return [], set()
        in_database = "://" in where
        # A URL may hold a password, so it is not shown.
        shown = "LEGACY_KPIS" if in_database else where
        try:
            rows = _from_database(where) if in_database else _from_csv(Path(where))
        except (OSError, sa.exc.SQLAlchemyError, UnicodeDecodeError) as error:
            said = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise SourceError(f"it cannot be read ({said})", shown, "Mend LEGACY_KPIS") from error
        names = set(rows[0]) if rows else set()
        if rows and not {"fecha", "banco_norm"} <= names:
            raise SourceError("it has no columns fecha and banco_norm", shown, "Rename its columns")
        for number, row in enumerate(rows, start=1):
            if not _STARTS_WITH_MONTH.match(row["fecha"] or ""):
                raise SourceError(
                    f"fecha of row {number} is {row['fecha']!r}",
                    shown,
                    "Write it as 2023-01-01",
                )
        kept = [{name: row.get(name) for name in self._columns} for row in rows]
        return kept, names - set(self._columns) - {"id", "created_at", "updated_at"}

    def inputs(self) -> dict[str, dict[str, str]]:
        """Month -> checksum of its rows, which are kept to be landed."""
        rows, self._unknown = self._rows()
        self._months = {}
        for row in rows:
            self._months.setdefault((row["fecha"] or "")[:7], []).append(row)
        return {
            month: {"legacy": hashlib.sha256(repr(own).encode()).hexdigest()[:16]}
            for month, own in self._months.items()
        }

    @contextmanager
    def land(self, landing: Landing) -> Iterator[list[str]]:
        """A month's rows as text."""
        if self._unknown:
            landing.report["columns left out"] = ", ".join(sorted(self._unknown))
        schema = pyarrow.schema([(name, pyarrow.string()) for name in self._columns])
        rows = pyarrow.Table.from_pylist(self._months.get(landing.key, []), schema)
        landing.session.register("legacy_landed", rows)
        try:
            yield ["select * from legacy_landed"]
        finally:
            landing.session.unregister("legacy_landed")


def _from_csv(path: Path) -> list[dict[str, str | None]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [
            {
                name: value.replace("\0", "") or None if value else None
                for name, value in row.items()
            }
            for row in csv.DictReader(file)
        ]


def _from_database(where: str) -> list[dict[str, str | None]]:
    url, _, name = where.partition("#")
    schema, _, table = (name or "monthly_kpis").rpartition(".")
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            selected = sa.select(sa.text("*")).select_from(sa.table(table, schema=schema or None))
            return [
                {key: None if value is None else str(value) for key, value in row.items()}
                for row in connection.execute(selected).mappings()
            ]
    finally:
        engine.dispose()
