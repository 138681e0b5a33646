"""Troubles of the surroundings, each in one sentence: a disk, a server, memory, rights.

Belongs here: what is said of them on the command line and in the failure of a run, alike.
Does not belong here: bad input, of which its source speaks (``source.py``).
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from analytics_assets.core.telling import foreign, kinds, told

_FULL = (errno.ENOSPC, errno.EDQUOT)
_RIGHTS = (errno.EACCES, errno.EPERM, errno.EROFS)
_MANY = (errno.EMFILE, errno.ENFILE)
_NO_SPACE = ("No space left on device", "Disk quota exceeded", "could not extend file")
_SERVER = frozenset(("OperationalError", "InterfaceError", "DagsterPostgresException"))


def said(error: BaseException) -> str:
    """One sentence of what went wrong and what to do; no value of a row, no password."""
    chain = list(_chain(error))
    ours = [one for one in chain if type(one).__module__.startswith("analytics_assets")]
    if ours:
        return str(ours[0])
    return next(filter(None, map(_sentence, reversed(chain))), "") or told(error)


def is_full(error: BaseException) -> bool:
    """Whether a disk has no room, whoever says so."""
    return getattr(error, "errno", None) in _FULL or any(word in str(error) for word in _NO_SPACE)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what it came from, which says more."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _sentence(error: BaseException) -> str:
    names = kinds(error)
    if is_full(error):
        disk = "PostgreSQL's disk" if names & _SERVER else "the disk"
        where = f"{_where(error)}{disk} is full"
        where = where[0].upper() + where[1:]
        return f"{where}. What is published stays whole: make room and run again."
    if names & _SERVER:
        return (
            f"PostgreSQL cannot be used: {foreign(error)}. See that it runs, and that"
            " PRODUCTION_URL and DAGSTER_PG_URL, where they are set, name it, a database that is"
            " there and the right password. What is published stays whole; run again."
        )
    if "NoSuchProcess" in names:
        return (
            "The PostgreSQL server of this home was killed. What is published stays whole: run"
            " again, which starts it."
        )
    if isinstance(error, MemoryError) or "OutOfMemoryException" in names:
        return (
            "There is not enough memory. Set ANALYTICS_MEMORY_LIMIT (DuckDB's, such as 2GB) higher,"
            " or stop what else uses the machine, and run again."
        )
    if isinstance(error, OSError):
        number = error.errno
        if number in _RIGHTS:
            what = "Give the user that runs this the right to read and write it"
        elif number in _MANY:
            what = "Too many files are open: raise the limit (ulimit -n)"
        elif error.filename is not None:
            what = "See that it is there and that ANALYTICS_HOME and ANALYTICS_LAKE name it"
        else:
            return ""
        return f"{_where(error)}{error.strerror}. {what}."
    return ""


def _where(error: BaseException) -> str:
    name = getattr(error, "filename", None)
    name = name.decode(errors="replace") if isinstance(name, bytes) else name
    return f"{name}: " if name else ""
