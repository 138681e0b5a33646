"""Reaching the operational database, and trying again what can pass.

Belongs here: its address, connections, and which of its errors are worth another try.
Does not belong here: what is read (``sources.py``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TypeVar

import psycopg2

from analytics_assets import settings
from analytics_assets.core.source import SourceError, SourceUnavailable
from analytics_assets.core.telling import foreign
from analytics_assets.production import server

T = TypeVar("T")
VARIABLE, DATABASE = "BEHAVIOR_SOURCE_URL", "behavior_source"
# Seconds before each further try.
PAUSES = (1.0, 2.0, 4.0)
# SQLSTATE: connection exceptions, too many connections, shut down, starting, deadlock, a standby.
_PASSING = ("08", "53300", "57P01", "57P02", "57P03", "40001", "40P01")
# A refused connection has no SQLSTATE, only the server's words.
_PASSING_WORDS = ("starting up", "shutting down", "recovery mode", "too many", "slots are reserved")


def source_url() -> str:
    """URL of the operational database; that of the generated events where none is set."""
    try:
        named = server.given(VARIABLE, os.environ.get(VARIABLE) or None)
    except server.UrlError as error:
        raise SourceError("its address is none", VARIABLE, str(error)) from None
    return named or server.own_database(settings.load(), DATABASE)


@contextmanager
def connected() -> Iterator[psycopg2.extensions.connection]:
    """A connection whose moments are UTC and ISO, also behind a pooler of transactions."""
    url = source_url().replace("postgresql+psycopg2://", "postgresql://", 1)
    connection = psycopg2.connect(
        url,
        connect_timeout=10,
        application_name="analytics_assets export",
        cursor_factory=_Cursor,
    )
    with closing(connection):
        yield connection


class _Cursor(psycopg2.extensions.cursor):
    """Sets the form of moments in each transaction: a pooler takes no options at the start."""

    def execute(self, query: object, values: object = None) -> None:
        if self.connection.status == psycopg2.extensions.STATUS_READY:
            super().execute("set local timezone = 'UTC'; set local datestyle = 'ISO, MDY'")
        super().execute(query, values)


def patiently(attempt: Callable[[], T]) -> T:
    """The result of ``attempt``, tried again up to 3 times while its errors can pass.

    Raises ``SourceUnavailable`` when they did not, ``SourceError`` at once for any other.
    """
    for pause in (*PAUSES, None):
        try:
            return attempt()
        except psycopg2.Error as error:
            reason = foreign(error)
            if not can_pass(error):
                raise SourceError(
                    f"it answered: {reason}",
                    "operational database",
                    f"See {VARIABLE} and its rights",
                ) from error
            if pause is None:
                raise SourceUnavailable(
                    f"asked {len(PAUSES) + 1} times: {reason}",
                    "operational database",
                    "Nothing was published. See that it runs and can be reached, and run again",
                ) from error
            time.sleep(pause)
    raise AssertionError("unreachable")


def can_pass(error: psycopg2.Error) -> bool:
    """Whether the same may work a moment later."""
    if error.pgcode:
        return error.pgcode.startswith(_PASSING)
    lost = isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError)) or (
        type(error) is psycopg2.DatabaseError  # a connection that breaks during COPY
    )
    text = str(error)
    return lost and ("FATAL" not in text or any(words in text for words in _PASSING_WORDS))
