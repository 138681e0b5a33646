"""Files that stop a careless reader, made when a test needs them, and readers that misbehave.

Belongs here: what tests of every domain share. Does not belong here: a word of any domain.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ZEROS = bytes(10_000_000)
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_SHEETS = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_PARTS = {
    "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/'
    'content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.'
    f'relationships+xml"/><Override PartName="/xl/workbook.xml" ContentType="{_TYPES}.sheet.main'
    f'+xml"/><Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPES}.worksheet+xml"/>'
    "</Types>",
    "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/'
    f'relationships"><Relationship Id="rId1" Type="{_OFFICE}/officeDocument"'
    ' Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_SHEETS}" xmlns:r="{_OFFICE}"><sheets>'
    '<sheet name="A" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/'
    f'2006/relationships"><Relationship Id="rId1" Type="{_OFFICE}/worksheet"'
    ' Target="worksheets/sheet1.xml"/></Relationships>',
    "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{_SHEETS}"><sheetData><row><c r="A1"><v>1</v>'
    "</c></row><row>{}</row></sheetData></worksheet>",
}


def pipe(path: Path) -> None:
    """Who opens it waits for ever."""
    os.mkfifo(path)


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def wide_csv(path: Path) -> None:
    path.write_text(",".join(f"c{n}" for n in range(100_000)) + "\n")


def gzip_bomb(path: Path, tens_of_mb: int) -> None:
    # A gzip file may be several, one after the other.
    path.write_bytes(gzip.compress(ZEROS) * tens_of_mb)


def zip_bomb(path: Path, inner: str, tens_of_mb: int) -> None:
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(inner, "w") as file,
    ):
        for _ in range(tens_of_mb):
            file.write(ZEROS)


def far_excel(path: Path) -> None:
    """Two cells, the second in the last row and column that a sheet can have."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, xml in _PARTS.items():
            archive.writestr(name, xml.format('<c r="XFD1048576"><v>1</v></c>'))


# ---- readers ------------------------------------------------------------------------------------


def sleeps(path: Path) -> None:
    time.sleep(60)


def dies(path: Path) -> None:
    os.abort()


def takes_memory(path: Path) -> None:
    bytearray(10**9)


def writes_much(path: Path, target: Path) -> None:
    target.write_bytes(ZEROS * 3)


def tells_surroundings(path: Path) -> list[str]:
    return sorted(os.environ)


# ---- in a process of its own --------------------------------------------------------------------


def measured(name: str, **variables: str) -> Mapping[str, Any]:
    """What a process finds in the feeds of a domain (``probe``: the toy's), its seconds, and the
    MB that it and the largest of its children took."""
    found = subprocess.run(
        [sys.executable, "-m", __name__, name],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        timeout=300,
        check=True,
    )
    return json.loads(found.stdout.splitlines()[-1])


def _look(name: str) -> Mapping[str, Any]:
    import resource

    from analytics_assets.landing.files import files_of, strange_files
    from analytics_assets.landing.known import contents

    own = _feeds(name)
    started = time.monotonic()
    looked = [pair for feed in own for pair in contents(feed, files_of(feed)).items()]
    strange = {str(path): why for path, why in strange_files(own).items()}
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    # What is called the peak of a process is that of who started it, if that had more.
    own_peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert own_peak
    return {
        "refused": {str(file.path): one.said for file, one in looked if one.problem} | strange,
        "rows": {str(file.path): one.rows for file, one in looked if not one.problem},
        "seconds": time.monotonic() - started,
        "mb": [kb / 1024 for kb in (int(own_peak[1]), children)],
    }


def _feeds(name: str) -> list[Any]:
    if name == "probe":
        from analytics_assets_tests.landing.probe import READINGS

        return [READINGS]
    from analytics_assets import registry

    tables = registry.domain(name).tables
    return list({t.source.feed: None for t in tables if hasattr(t.source, "feed")})


if __name__ == "__main__":
    print(json.dumps(_look(sys.argv[1])))
