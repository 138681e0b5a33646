"""The sources of the births tables: birth records by year, and names of health facilities.

Belongs here: what a landing folder offers to the warehouse, as ``core.source.Source`` asks.
Does not belong here: names of files (``landing.py``), reading one (``readers.py``), the meaning of
a column (``columns.py``).

Everything is landed as text, trimmed, blank = NULL, under upper-case names. A line that cannot be
split into columns is landed whole in ``unreadable_line``, and so ends up among the rejected.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pyarrow.parquet

from analytics_assets.core.partitions import UNPARTITIONED
from analytics_assets.core.source import Landing, SourceError, place
from analytics_assets.domains.births.landing import FACILITIES, LANDING, refuse_doubles, scan
from analytics_assets.domains.births.readers import FileReader
from analytics_assets.landing.folder import arrived, no_file
from analytics_assets.landing.scratch import scratch_folder
from analytics_assets.landing.unpacking import dbf_as_parquet
from analytics_assets.warehouse.session import literal


class SinascSource:
    """Birth records of the landing folder, by year."""

    def __init__(self) -> None:
        self._seen: dict[Path, dict[str, dict[str, str]]] = {}

    def inputs(self) -> dict[str, dict[str, str]]:
        """Year -> file name -> size and time of change: looked at, not read."""
        folder = LANDING.path
        found: dict[str, dict[str, str]] = {}
        for year, files in scan(folder).files.items():
            for file in files:
                try:
                    found.setdefault(year, {})[file.path.name] = file.fingerprint
                except FileNotFoundError:
                    continue  # taken away after the scan: it is as if it had never been there
        self._seen[folder] = found
        return found

    def arrived(self, key: str, names: Collection[str]) -> datetime | None:
        """When the first of these files came into the folder, or changed there."""
        return arrived(LANDING.path / name for name in names)

    def problems(self) -> list[str]:
        """Files whose names do not say what they hold."""
        return [f"{place(path)}: {why}" for path, why in scan(LANDING.path).refused.items()]

    @contextmanager
    def land(self, landing: Landing) -> Iterator[list[str]]:
        """SELECTs of a year's records; raises ``SourceError`` naming the file that is bad."""
        year, report = landing.key, landing.report
        path = LANDING.path
        folder = scan(path)
        files = folder.files.get(year, [])
        names = {file.path.name for file in files}
        gone = self._seen.get(path, {}).get(year, {}).keys() - names
        if gone:
            # Without it the year would be published short, and pass for complete.
            raise SourceError(
                f"{', '.join(sorted(gone))} was there when the run began and is gone",
                str(path),
                "Put it back, or run again to build from the files that are there",
            )
        refuse_doubles(files)
        report["files"] = ", ".join(sorted(names)) or "none"
        if folder.replaced.get(year):
            report["replaced by a later file"] = ", ".join(
                file.path.name for file in folder.replaced[year]
            )
        if folder.refused:
            report["files refused"] = "\n".join(
                f"{path.name}: {why}" for path, why in folder.refused.items()
            )
        with scratch_folder() as scratch:
            yield [FileReader(landing, file, scratch).select() for file in files]


class HealthFacilitySource:
    """Names of health facilities: the newest ``CNESDO*.DBF`` of the landing folder, if any."""

    def _file(self) -> Path | None:
        named = (path for path in LANDING.files() if FACILITIES.fullmatch(path.name))
        found = [path for path in named if not no_file(path)]
        return max(found, key=lambda path: path.name.upper(), default=None)

    def inputs(self) -> dict[str, dict[str, str]]:
        """The file's name, size and time of change; an empty list of names is a list, too."""
        file = self._file()
        return {UNPARTITIONED.only_key: {file.name: _state(file)} if file else {"CNESDO": "none"}}

    def arrived(self, key: str, names: Collection[str]) -> datetime | None:
        """When the file came into the folder, or changed there."""
        return arrived(LANDING.path / name for name in names)

    @contextmanager
    def land(self, landing: Landing) -> Iterator[list[str]]:
        """Code and name of each facility; raises ``SourceError`` if the file is not such a list."""
        file = self._file()
        landing.report["file"] = file.name if file else "none: facilities are shown by code only"
        if file is None:
            yield []
            return
        with scratch_folder() as scratch:
            yield [
                "select lpad(trim(CODESTAB), 7, '0') as cnes_code,"
                " max(coalesce(nullif(trim(DESCESTAB), ''), 'No name')) as facility_name"
                f" from {_facilities(file, scratch)} where trim(CODESTAB) <> '' group by 1"
            ]


def _facilities(file: Path, scratch: Path) -> str:
    """What the list is read from; ``SourceError`` for what is none."""
    rows = dbf_as_parquet(file, scratch)
    if not {"CODESTAB", "DESCESTAB"} <= set(pyarrow.parquet.read_schema(rows).names):
        what = "it is not a list of health facilities with CODESTAB and DESCESTAB"
        to_do = "Fetch it again, or take it out: facilities are then shown by code only"
        raise SourceError(what, str(file), to_do)
    return f"read_parquet({literal(str(rows))})"


def _state(file: Path) -> str:
    """Changes when the file's content may have: size and time of change."""
    status = file.stat()
    return f"{status.st_size}-{status.st_mtime_ns}"
