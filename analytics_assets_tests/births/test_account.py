"""What became of the rows of every file: the table of docs/births.md, counted independently.

``python -m analytics_assets_tests.births.test_account`` writes it.
"""

from __future__ import annotations

import csv
import datetime as dt
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from analytics_assets.domains.births import sample
from analytics_assets.domains.births.dbc import unpack
from analytics_assets_tests.births.reading import read
from analytics_assets_tests.conftest import REAL_DATA

PAGE = Path(__file__).parents[2] / "docs" / "births.md"
HEAD = """| file | offered | landed | rejected | repeated | left out |
|---|---|---|---|---|---|
"""
Counts = tuple[int, int, int, int]  # offered, landed, rejected, repeated


# ---- by hand ------------------------------------------------------------------------------------


def counted(path: Path, scratch: Path) -> Counts:
    """What a file offers, read by nothing of the project but the unpacking of a DBC."""
    year = int(re.findall(r"[0-9]{4}", path.name)[0])
    if path.suffix.lower() in (".dbc", ".dbf"):
        dbf = path
        if path.suffix.lower() == ".dbc":
            dbf = scratch / f"{path.stem}.dbf"
            unpack(path, dbf)
        records = list(_dbf(dbf))
    else:
        with path.open(encoding="utf-8-sig", newline="") as file:
            start = file.readline()
            file.seek(0)
            records = list(csv.DictReader(file, delimiter=";" if ";" in start else ","))
    born = [_date(record["DTNASC"]) for record in records]
    landed = sum(day is not None and day.year == year for day in born)
    same = Counter(
        tuple(v.strip() for name, v in record.items() if name not in ("CONTADOR", ""))
        for record in records
        if record["DTNASC"].strip()
    )
    repeated = sum(times - 1 for times in same.values())
    return len(records), landed, len(records) - landed, repeated


def _dbf(path: Path) -> Iterator[dict[str, str]]:
    content = path.read_bytes()
    count = int.from_bytes(content[4:8], "little")
    start, length = (int.from_bytes(content[at : at + 2], "little") for at in (8, 10))
    fields, at = [], 1
    for place in range(32, start - 1, 32):
        name = content[place : place + 11].split(b"\0")[0].decode().upper()
        if not name.strip() or content[place] == 13:
            break
        fields.append((name, at, at := at + content[place + 16]))
    for row in range(count):
        record = content[start + row * length : start + (row + 1) * length].decode("latin-1")
        yield {name: record[first:end] for name, first, end in fields}


def _date(text: str) -> dt.date | None:
    text = text.strip()
    for form in ("%d%m%Y", "%Y-%m-%d"):
        try:
            return dt.datetime.strptime(text.zfill(8), form).date()
        except ValueError:
            continue
    return None


# ---- as the product says ------------------------------------------------------------------------


def account(folder: Path, scratch: Path) -> dict[str, Counts | str]:
    """File -> its counts as the run reports them, or why it is left out."""
    found: dict[str, Counts | str] = {}
    with read(folder, scratch, facts=False) as told:
        for what, said in told.reports.items():
            if what.endswith(": rows"):
                offered, landed, rejected, repeated = (
                    int(n.replace(",", "")) for n in re.findall(r"[0-9,]*[0-9]", said)
                )
                found[what.removesuffix(": rows")] = offered, landed, rejected, repeated
        for names in told.replaced.values():
            found |= dict.fromkeys(names, "a later file has its months, too")
        found |= {name: why.split(". ")[0] for name, why in told.refused.items()}
        ((rows,),) = told.session.execute("select count(*) from births.rejected_births").fetchall()
    assert rows == sum(counts[2] for counts in found.values() if not isinstance(counts, str))
    return found


def real_files(folder: Path) -> Path:
    """A landing folder with all real files."""
    for path in sorted((REAL_DATA / "sinasc").rglob("*")):
        if path.is_file():
            shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def accounts(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Counts | str]:
    folder = tmp_path_factory.mktemp("account")
    (folder / "real").mkdir()
    return {
        **account(sampled(folder / "sample"), folder / "one"),
        **account(real_files(folder / "real"), folder / "two"),
    }


def sampled(folder: Path) -> Path:
    """The sample that is generated where no folder is named."""
    folder.mkdir()
    sample.generate(folder)
    return folder


def page_of(found: dict[str, Counts | str]) -> str:
    """The table of these accounts."""
    lines = []
    for name, counts in sorted(found.items(), key=lambda item: (isinstance(item[1], str), item)):
        if isinstance(counts, str):
            lines.append(f"| `{name}` | | | | | {counts} |")
        else:
            lines.append(f"| `{name}` | {' | '.join(f'{n:,}' for n in counts)} | |")
    return HEAD + "\n".join(lines) + "\n"


def test_every_file_is_counted_as_by_hand(
    accounts: dict[str, Counts | str], real_data: Path, tmp_path: Path
) -> None:
    sampled(tmp_path / "sample")
    files = [*(real_data / "sinasc").rglob("*"), *(tmp_path / "sample").iterdir()]
    assert {path.name for path in files if path.is_file()} == accounts.keys()
    for path in files:
        counts = accounts.get(path.name, "")
        if not isinstance(counts, str):
            assert counts == counted(path, tmp_path), path.name


def test_the_page_has_the_account(accounts: dict[str, Counts | str]) -> None:
    assert page_of(accounts) in PAGE.read_text(encoding="utf-8")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        (home / "real").mkdir()
        sys.stdout.write(
            page_of(
                {
                    **account(sampled(home / "sample"), home / "one"),
                    **account(real_files(home / "real"), home / "two"),
                }
            )
        )
