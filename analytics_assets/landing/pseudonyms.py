"""The keyed hash by which a person is known where the person's number must not be.

Belongs here: the key of a domain, where it is kept, and the hash as SQL and of a text.
Does not belong here: which columns are published (a domain's ``tables.py``).

HMAC-SHA256 (RFC 2104), its first 128 bits. Without the key a number cannot be tried out, and with
another key every hash is another one. The key is in no SQL text, log, metadata or run
configuration; the ledger holds a check value, which changes with the key.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from analytics_assets import settings
from analytics_assets.core.source import SourceError

_LEAST = 16
_BLOCK = 64
_DIGITS = 32
_PADS = "pseudonym_pads"


@dataclass(frozen=True)
class Key:
    """The key of a domain's pseudonyms: the setting that gives it, and the file of the home that
    keeps the generated one (``*.key``, so that backups hold it sealed)."""

    variable: str
    file_name: str

    def file(self) -> Path:
        """Where the generated key is kept, readable by its owner alone."""
        return settings.load().home / self.file_name

    def _key(self) -> bytes:
        """The key that the setting gives, or the generated one; ``SourceError`` for a weak one."""
        given = os.environ.get(self.variable, "").strip()
        where = self.variable
        if not given:
            path = self.file()
            where = str(path)
            if not path.exists():
                _generate(path)
            given = path.read_text(encoding="ascii").strip()
        if len(given) < _LEAST:
            raise SourceError(
                f"the key of the pseudonyms has {len(given)} characters",
                where,
                f"Give at least {_LEAST} random ones; openssl rand -hex 32 makes some",
            )
        return given.encode()

    def check_value(self) -> str:
        """Changes when the key does, and tells nothing else of it."""
        return hmac.new(self._key(), b"check value", hashlib.sha256).hexdigest()[:12]

    def hashes(self, texts: Iterable[str]) -> list[str]:
        """The hash of each of these texts, as ``hash_sql`` gives it."""
        key = self._key()
        found = (hmac.new(key, text.encode(), hashlib.sha256).hexdigest() for text in texts)
        return [text[:_DIGITS] for text in found]

    @contextmanager
    def keyed(self, session: Any) -> Iterator[None]:
        """Inside the block the session knows the key, and ``hash_sql`` can be run."""
        key = self._key()
        key = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
        session.execute(f"create or replace temp table {_PADS} (inner_pad blob, outer_pad blob)")
        try:
            session.execute(
                f"insert into {_PADS} values (?, ?)",
                [bytes(byte ^ 0x36 for byte in key), bytes(byte ^ 0x5C for byte in key)],
            )
            yield
        finally:
            session.execute(f"drop table {_PADS}")


def _generate(path: Path) -> None:
    """Write a new key whole, unless another process was first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}-{uuid4().hex}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(32))
    with suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()


def hash_sql(text: str) -> str:
    """The hash of a text, over rows joined with ``PADS_SQL``; NULL of NULL."""
    inner = f"unhex(sha256(inner_pad || encode({text})))"
    return f"left(sha256(outer_pad || {inner}), {_DIGITS})"


PADS_SQL = f"cross join {_PADS}"
