"""SQL that lies in files.

Belongs here: the text of a file, and which of its lines a line of that text comes from.
Does not belong here: what the SQL reads (``lineage.py``), or running it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from analytics_assets.core.refusals import Place


class FileSql(str):
    """SQL from a file, which knows its lines there."""

    path: Path
    lines: tuple[int, ...]

    def place(self, line: int) -> Place:
        """Where a line of this text, counted from 1, stands in the file."""
        return Place(str(self.path), self.lines[min(max(line, 1), len(self.lines)) - 1])


def fill_in(sql: str, words: Mapping[str, str]) -> str:
    """The SQL with each ``{word}`` replaced, lines of a word indented as the one it stands in."""
    return "".join(_filled(line, words) for line in sql.splitlines(keepends=True))


def _filled(line: str, words: Mapping[str, str]) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    for word, value in words.items():
        line = line.replace("{" + word + "}", value.replace("\n", f"\n{indent}"))
    return line


def read_sql(path: Path, words: Mapping[str, str] | None = None) -> FileSql:
    """The text of a ``.sql`` file with each ``{word}`` replaced."""
    written: list[str] = []
    lines: list[int] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(keepends=True), 1):
        line = _filled(line, words or {})
        written.append(line)
        # A word may stand for many lines.
        lines += [number] * len(line.splitlines())
    sql = FileSql("".join(written))
    sql.path, sql.lines = path, tuple(lines or [1])
    return sql
