"""What a table that is not computed from others comes from.

Belongs here: what a domain's source has to offer, what it is given, and how it refuses.
Does not belong here: reading anything; each domain has its own ``sources.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class Landing:
    """A partition that is being landed in a DuckDB session.

    What people should know goes into ``report``. ``read_through`` reads all values of a SELECT and
    returns its rows by storage key, so that a source can judge its input before it is kept. Changes
    are merged with ``live``, a SELECT of the partition's live rows. They were built from the inputs
    ``built_from``: nothing, where the declaration has changed since.
    """

    session: Any
    key: str
    report: dict[str, Any]
    read_through: Callable[[str], Mapping[str, int]]
    live: str = ""
    built_from: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Tally:
    """What became of the rows that one file, or whatever a source calls so, has for a partition.

    ``reason``: why most of the rejected rows are, ``first_row``: the number of the first of those;
    no value of a row. ``anew``: how many more are rejected than when the live rows landed.
    """

    file: str
    offered: int
    rejected: int = 0
    reason: str = ""
    first_row: int = 0
    anew: int = 0


class Source(Protocol):
    """Where a table that is not computed from others comes from."""

    def inputs(self) -> Mapping[str, Mapping[str, str]]:
        """Partition key -> {input name: fingerprint that changes when the input may have}."""

    def land(self, landing: Landing) -> AbstractContextManager[Sequence[str]]:
        """SELECTs of a partition's rows, good inside the block; ``SourceError`` for bad input."""


@runtime_checkable
class ParallelSource(Source, Protocol):
    """A source of which several partitions can be landed at once, each in a session of its own."""

    side_by_side: bool


@runtime_checkable
class DatedSource(Source, Protocol):
    """A source that can also say since when its input is there."""

    def arrived(self, key: str, names: Collection[str]) -> datetime | None:
        """When the earliest of these inputs of a partition came or changed; ``None``: unknown."""


@runtime_checkable
class ConfiguredSource(Source, Protocol):
    """A source whose rows also depend on settings that are neither input nor its own state.

    A setting that it was made with (text, numbers, tuples, functions) is known without.
    """

    def settings(self) -> Mapping[str, str]:
        """Name -> value of each setting that changes rows; another value rebuilds everything."""


@runtime_checkable
class CountedSource(Source, Protocol):
    """A source that knows, without reading again, what became of the rows it was offered.

    Checks of its table read that as the table ``_tally``: the fields of ``Tally`` beside
    ``_partition``, of the partitions that are judged.
    """

    def tallies(self, key: str) -> Iterable[Tally]:
        """Of a partition, one or more for each file that has rows of it."""


@runtime_checkable
class DescribedSource(Source, Protocol):
    """A source that knows what it lands."""

    @property
    def declared(self) -> Mapping[str, Any]:
        """Field of ``Table`` -> what it is, if nothing else is said."""


@runtime_checkable
class OutspokenSource(Source, Protocol):
    """A source that can say before a run what is wrong with its input."""

    def problems(self) -> Iterable[str]:
        """A sentence for each file that will not be landed as it is, or is missing."""


# Folder of this machine -> the URL of which it is a copy.
_CALLED: dict[str, str] = {}


def called(folder: Path, url: str) -> None:
    """Have people told the URL of what is in a folder."""
    _CALLED[str(folder)] = url


def place(path: object) -> str:
    """What a file or folder is called to people."""
    text = str(path)
    for folder, url in _CALLED.items():
        if text == folder or text.startswith(f"{folder}/"):
            return url + text[len(folder) :]
    return text


class SourceError(Exception):
    """Input that cannot be landed: says what, where and what to do; retrying cannot pass."""

    # Whether the same input may be landed another time, so that nothing is held against it.
    passes = False

    def __init__(self, what: str, where: str, to_do: str) -> None:
        where = place(where)
        super().__init__(f"{where}: {what}. {to_do}")
        self.parts = (what, where, to_do)

    def of(self, where: str) -> SourceError:
        """The same, said of another place."""
        what, _, to_do = self.parts
        return type(self)(what, where, to_do)


class SourceHindered(SourceError):
    """Input that cannot be landed as things are here: a limit, a right, a package, a bad moment of
    a disk. It is tried again as it is."""

    passes = True


class SourceUnavailable(SourceError):
    """A source that cannot be reached now, which can pass: nothing is held against its input."""

    passes = True
