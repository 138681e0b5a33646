"""The folder of ``ANALYTICS_HOME``: who wrote it, and which processes are at work in it.

Belongs here: the version that it is of, who can read it, the locks of the one process that serves
it and of the one that builds in it, and how runs of that one are known.
Does not belong here: what those processes do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import fasteners
from packaging.version import InvalidVersion, Version

from analytics_assets import __version__
from analytics_assets.core.source import SourceError
from analytics_assets.settings import Settings

# Of runs that a command makes by itself in this home; runs of the daemon do not have it.
HOME_TAG = "analytics_assets/run_by_command_in"
_SERVES, _BUILDS = "serving.lock", "building.lock"
# Whoever only looks whether a lock is held holds it for an instant.
_A_LOOK = 1.0


def take(settings: Settings) -> None:
    """Note that this version works here; ``SourceError`` where a newer one has."""
    note, own = settings.home / "version", Version(__version__)
    settings.home.mkdir(parents=True, exist_ok=True)
    try:
        last = Version(note.read_text().strip())
    except (OSError, InvalidVersion):  # new, older than these notes, or half-written
        last = None
    if last and last > own:
        raise SourceError(
            f"version {last} of analytics-assets has worked here, and this is {own}",
            str(settings.home),
            "Install that version, or set ANALYTICS_HOME to another folder.",
        )
    if last is None and not note.exists():
        # A folder that somebody made for it is closed; one that is at work is not changed.
        with suppress(PermissionError):
            settings.home.chmod(0o700)
    if last != own:
        note.write_text(f"{own}\n")


def open_to_others(settings: Settings) -> list[Path]:
    """What of the home, and of lake and backups elsewhere, other users of the machine can read.

    Passing through the home is no reading: the embedded server of root's runs as another user.
    """
    outside = [Path(settings.lake), settings.backup_folder]
    looked_at = {settings.home: 0o066}
    if settings.home.exists() and _mode(settings.home) & 0o011:
        looked_at |= dict.fromkeys(sorted(settings.home.iterdir()), 0o077)
    looked_at |= {
        path: 0o077 for path in outside if path.is_absolute() and settings.home not in path.parents
    }
    found = [path for path, bits in looked_at.items() if path.exists() and _mode(path) & bits]
    return [settings.home] if settings.home in found else found


def _mode(path: Path) -> int:
    return path.stat().st_mode


@contextmanager
def serving(settings: Settings) -> Iterator[None]:
    """Be the one that serves this home; ``SourceError`` where another process does."""
    lock = _lock(settings, _SERVES)
    if not lock.acquire(timeout=_A_LOOK):
        raise SourceError(
            "another `analytics-assets run` serves this folder",
            str(settings.home),
            "Stop that one, or set ANALYTICS_HOME to another folder.",
        )
    try:
        yield
    finally:
        lock.release()


@contextmanager
def building(settings: Settings, waits: Callable[[], None]) -> Iterator[None]:
    """Be the one that builds here from the command line; ``waits`` is called if another does."""
    lock = _lock(settings, _BUILDS)
    if not lock.acquire(timeout=_A_LOOK):
        waits()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def is_served(settings: Settings) -> bool:
    """Whether another process serves this home, and so has a daemon that starts runs."""
    return _is_held(settings, _SERVES)


def is_built(settings: Settings) -> bool:
    """Whether another process builds here: schedules and sensor then leave that to it."""
    return _is_held(settings, _BUILDS)


def _lock(settings: Settings, name: str) -> fasteners.InterProcessLock:
    return fasteners.InterProcessLock(Path(settings.home, name))


def _is_held(settings: Settings, name: str) -> bool:
    lock = _lock(settings, name)
    if lock.acquire(blocking=False):
        lock.release()
        return False
    return True
