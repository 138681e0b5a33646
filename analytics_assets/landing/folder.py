"""A folder that source files come to.

Belongs here: what all sources of files share: the folder that a setting names, the generated sample
where none is named, listing it, what in it is no file, and the one reading of a file's times.
Does not belong here: which files a source has, and what is in them (its domain knows).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

from analytics_assets import settings
from analytics_assets.core.source import SourceError, place
from analytics_assets.warehouse.durable import drafted

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
OUT = "Move it out of the folder"


@dataclass(frozen=True)
class LandingFolder:
    """The folder, of this machine or by its URL in an object store, that the setting ``variable``
    names, or that of the generated ``sample``."""

    variable: str
    sample: str

    @property
    def path(self) -> Path:
        """Looked up at each use: a code location outlives a change of settings."""
        if url := _url(self.variable):
            return _mirror().mirror_of(url)
        named = os.environ.get(self.variable)
        return Path(named) if named else settings.load().home / "samples" / self.sample

    def files(self, below: str = "") -> list[Path]:
        """What is in it, or ``below`` it, by name; ``SourceError`` if that cannot be read."""
        return listed(self.path / below, self.variable)

    def prepare(self, generate: Callable[[Path], Any]) -> None:
        """Generate the sample, whole or not at all, where no folder is named and there is none."""
        if not os.environ.get(self.variable) and not self.path.exists():
            print(f"Generating the sample {self.sample} ...", flush=True)
            with drafted(self.path) as draft:
                generate(draft)


def _url(variable: str) -> str:
    """The URL that a setting names; empty where it names none."""
    named = os.environ.get(variable) or ""
    return named.rstrip("/") if "://" in named else ""


def _mirror() -> ModuleType:
    # Only who has an object store waits for what reads one.
    from analytics_assets.landing import mirror

    return mirror


def listed(folder: Path, variable: str) -> list[Path]:
    """What is in a folder, by name; ``SourceError`` with the setting if it cannot be read.

    Names that start with a dot are left alone: downloads and copies under way are called so.
    """
    if url := _url(variable):
        _mirror().refresh(url, variable)
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise SourceError(
            f"the landing folder cannot be read ({error.strerror})",
            str(folder),
            f"Create it, or set {variable} to the folder of your files",
        ) from error


def no_file(path: Path) -> str:
    """What is called so and is no file that ends, links followed; empty: it is one, or gone.

    Reading a pipe waits for whoever writes to it, and a device has no end.
    """
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError:
        return "a link that leads nowhere" if path.is_symlink() else ""
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "a link that leads to itself"
        return f"nothing that can be looked at ({error.strerror})"
    return "" if kind == stat.S_IFREG else _KINDS.get(kind, "something else")


def refuse_no_file(path: Path) -> None:
    """``SourceError`` for what is no file."""
    if kind := no_file(path):
        raise SourceError(f"it is {kind}, not a file", str(path), OUT)


def arrived(paths: Iterable[Path]) -> datetime | None:
    """When the first of these files came to where it is, or changed there; ``None``: gone."""
    moments = []
    for path in paths:
        with suppress(FileNotFoundError):
            # Not st_mtime: a copy may keep the time of its original. A mirrored file has that of
            # its object, which came then.
            status = path.stat()
            moments.append(status.st_mtime if "://" in place(path) else status.st_ctime)
    return datetime.fromtimestamp(min(moments), timezone.utc) if moments else None
