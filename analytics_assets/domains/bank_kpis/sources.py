"""The sources that read workbooks: by month, and institutions.

Belongs here: what a landing folder offers to the warehouse, as ``core.source.Source`` asks.
Does not belong here: reading a workbook (``workbooks.py``), its headers (``layouts.py``), a table
to migrate from (``legacy.py``).
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pyarrow

from analytics_assets import settings
from analytics_assets.core.columns import text
from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import MONTHLY, UNPARTITIONED
from analytics_assets.core.source import Landing, SourceError, Tally
from analytics_assets.domains.bank_kpis.columns import level_of
from analytics_assets.domains.bank_kpis.layouts import FILES, INSTITUTIONS, LAYOUTS
from analytics_assets.domains.bank_kpis.metrics import REFERENCE
from analytics_assets.domains.bank_kpis.months import as_text
from analytics_assets.domains.bank_kpis.sheets import sheets
from analytics_assets.domains.bank_kpis.units import Size, size_of, units, usual_percent
from analytics_assets.domains.bank_kpis.workbooks import (
    Workbook,
    institution_code,
    plain,
    read,
)
from analytics_assets.landing.folder import LandingFolder, arrived
from analytics_assets.warehouse.lake import open_lake
from analytics_assets.warehouse.session import open_session, select_files

LANDING = LandingFolder("CNBV_SOURCE", "cnbv")
# Short enough for a key, with the institution's code behind it.
_LONGEST_CODE = 100
_REJECTED = "rejected of "


def digest(found: object) -> str:
    return hashlib.sha256(repr(found).encode()).hexdigest()[:16]


def listed() -> list[Path]:
    # ~$name.xlsx is what Excel leaves beside an open workbook.
    return [path for path in LANDING.files() if not path.name.startswith("~")]


class WorkbookSource:
    """The rows of one kind of workbook in the landing folder, by month."""

    def __init__(self, name: str) -> None:
        self._name, self._pattern, self._layout = name, FILES[name], LAYOUTS[name]
        self._seen: dict[str, set[str]] = {}

    def workbooks(self) -> tuple[dict[Path, Workbook], dict[Path, str]]:
        """Workbooks that can be read, and why others cannot."""
        found: dict[Path, Workbook] = {}
        refused: dict[Path, str] = {}
        for path in listed():
            if self._pattern.fullmatch(path.name):
                try:
                    found[path] = read(path, self._layout)
                except SourceError as error:
                    refused[path] = str(error)
                except FileNotFoundError:
                    continue  # taken away after the listing
        if self._layout.ratios:
            self._tell_units(found, refused)
        return found, refused

    def _tell_units(self, found: dict[Path, Workbook], refused: dict[Path, str]) -> None:
        """Say of each month whether its ratios are percentages, or refuse a workbook for which
        neither its own months nor others, here or live, tell it."""
        limit = self._layout.limit
        sizes = [size for book in found.values() for size in book.sizes.values()]
        usual = usual_percent(sizes, limit)
        if usual is None and sizes:
            usual = usual_percent(self._live_sizes(), limit)
        for path, book in list(found.items()):
            told = units(book.sizes, limit, usual)
            unsure = [month for month, unit in told.items() if unit is None]
            if unsure:
                refused[path] = str(_either(path, self._layout.required[0], unsure))
                del found[path]
            else:
                found[path] = replace(book, units={m: u for m, u in told.items() if u})

    def _live_sizes(self) -> list[Size]:
        """Of the months in percent that are live."""
        layout = self._layout
        # As much of its table as it takes to find the files.
        columns = (text(layout.required[0], "Ratio."),)
        table = Table(f"bank_kpis/{self._name}", "sources", "", MONTHLY, columns, source=self)
        uris = [file.uri for file in open_lake(settings.load().lake).files(table)]
        if not uris:
            return []
        with open_session(settings.load()) as session:
            found = session.execute(
                f"select list({layout.required[0]}) from ({select_files(table, uris)})"
                " where unit = 'percent' group by month"
            ).fetchall()
        sizes = [size_of(texts, layout.typical) for (texts,) in found]
        return [size for size in sizes if size]

    def inputs(self) -> dict[str, dict[str, str]]:
        """Month -> workbook -> fingerprint of its rows of the month.

        Unlike a look at the file's time, this tells the months that a restated workbook changes
        from those that it repeats; parsing 5,000 rows takes 0.2 s, once for each change.
        """
        inputs: dict[str, dict[str, str]] = {}
        for path, book in self.workbooks()[0].items():
            for month, fingerprint in book.fingerprints.items():
                own = inputs.setdefault(month, {})
                own[path.name] = f"{fingerprint}{book.unit(month) or ''}"
                if book.rejected:
                    # A workbook that is mended may have the same good rows as before.
                    own[f"{_REJECTED}{path.name}"] = digest(book.rejected)
        self._seen = {
            month: {name for name in files if not name.startswith(_REJECTED)}
            for month, files in inputs.items()
        }
        return inputs

    def tallies(self, key: str) -> Iterator[Tally]:
        """What of each workbook that has this month is rejected: of all its rows, since any may be
        of any month."""
        for path, book in self.workbooks()[0].items():
            if key in book.months and book.rejected:
                reasons = Counter(row.reason for row in book.rejected)
                reason = reasons.most_common(1)[0][0]
                first = next(row.row for row in book.rejected if row.reason == reason)
                rows = book.offered - len(book.left_out)
                yield Tally(path.name, rows, len(book.rejected), reason, first)

    def arrived(self, key: str, names: Collection[str]) -> datetime | None:
        """When the first of these workbooks came into the folder, or changed there."""
        return arrived(LANDING.path / name.removeprefix(_REJECTED) for name in names)

    def problems(self) -> list[str]:
        """Workbooks that cannot be read, or are not what their names say."""
        return list(self.workbooks()[1].values())

    @contextmanager
    def land(self, landing: Landing) -> Iterator[list[str]]:
        """SELECT of a month's rows in all workbooks; what is said again is one row."""
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
                landing.session.register(name, book.month(landing.key))
            offered = " union all ".join(f"select * from {name}" for name in names)
            yield [self._once(landing, offered)] if names else []
        finally:
            for name in names:
                landing.session.unregister(name)

    def _once(self, landing: Landing, offered: str) -> str:
        """SELECT of these rows, of equal ones of an institution the first; counts them."""
        same = ("institution_code", "institution_problem", "date_problem", "unit")
        select = (
            f"select * from ({offered}) qualify row_number() over (partition by"
            f" {', '.join((*same, *self._layout.columns))}"
            " order by source_file, source_sheet, cast(source_row as bigint)) = 1"
        )
        ((rows, landed),) = landing.session.execute(
            f"select (select count(*) from ({offered})), (select count(*) from ({select}))"
        ).fetchall()
        landing.report.update({"rows offered": rows, "rows landed": landed})
        landing.report["rows repeated"] = rows - landed
        return select


def _either(path: Path, column: str, months: Sequence[str]) -> SourceError:
    return SourceError(
        f"the numbers of {column} of {', '.join(months[:3])} can be percentages or ratios, and no"
        " other month tells which",
        str(path),
        "Write them with a percent sign, or put a workbook of more institutions beside it",
    )


class InstitutionSource:
    """The institutions that ship with the package, and those of an ``Instituciones*.xlsx``."""

    def _file(self) -> Path | None:
        return max((p for p in listed() if INSTITUTIONS.fullmatch(p.name)), default=None)

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
            found["names in workbooks"] = digest(beside)
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
        "level": level_of(code),
    }


def _named_in(path: Path) -> list[dict[str, str]]:
    """Institutions of the regulator's list: code and name in the first two columns."""
    first = next(iter(sheets(path).values()), None)
    found = {}
    for row in first.rows if first else ():
        code, name = (
            (institution_code(as_text(row[0])), as_text(row[1])) if row[1:] else (None,) * 2
        )
        if code and name:
            found[code] = _institution(code, name)
    return list(found.values())
