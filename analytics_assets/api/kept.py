"""Answers that stand as long as what they were read from does.

Belongs here: keeping them within a bound, and asking production whether they still stand.
Does not belong here: making them (``listing.py``).

Each request asks production anew, so nothing is served from here that was replaced before the
request came. One statement answers for all who came before it was sent: that costs production less
than to plan the reading of one wide view.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

# What a kept answer takes beside its text.
_OWN_BYTES = 500
Look = Callable[[Sequence[str]], Awaitable[Mapping[str, str]]]


@dataclass(frozen=True)
class Answer:
    """The text of an answer and the version of the table that it was read from."""

    version: str
    body: bytes


class Kept:
    """The answers asked for last, by what was asked.

    ``look``: keys of tables -> key -> version, of those whose rows are what a release left there.
    ``most_bytes``: of all answers together; 0 keeps none.
    """

    def __init__(self, look: Look, most_bytes: int) -> None:
        self._look, self._most_bytes = look, most_bytes
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        self._bytes = 0
        self._asked: set[str] = set()
        self._next: asyncio.Task[Mapping[str, str]] | None = None
        self._turn = asyncio.Lock()

    async def standing(self, key: str, asked: str) -> Answer | None:
        """What was answered to the same, if the table is as it was then; raises ``Problem``."""
        kept = self._answers.get(asked)
        if kept is None:
            return None
        self._answers.move_to_end(asked)
        if await self._version(key) == kept.version:
            return kept
        self._drop(asked)
        return None

    def keep(self, asked: str, version: str, body: bytes) -> None:
        """For whoever asks the same; the answers that nobody asked for longest make room."""
        if not version or len(body) + _OWN_BYTES > self._most_bytes:
            return
        self._drop(asked)
        self._answers[asked] = Answer(version, body)
        self._bytes += len(body) + _OWN_BYTES
        while self._bytes > self._most_bytes:
            self._drop(next(iter(self._answers)))

    def _drop(self, asked: str) -> None:
        if gone := self._answers.pop(asked, None):
            self._bytes -= len(gone.body) + _OWN_BYTES

    async def _version(self, key: str) -> str:
        """As production has it after this was asked; empty where it is not to be relied on."""
        self._asked.add(key)
        if self._next is None:
            self._next = asyncio.create_task(self._take_turn())
        # Shielded: a client that goes away takes nothing from the others.
        return (await asyncio.shield(self._next)).get(key, "")

    async def _take_turn(self) -> Mapping[str, str]:
        async with self._turn:
            asked, self._asked, self._next = sorted(self._asked), set(), None
            return await self._look(asked)
