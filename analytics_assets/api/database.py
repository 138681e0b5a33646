"""Production, as the API reads it.

Belongs here: the connection pool, its timeouts, and what a failing read means to a client.
Does not belong here: what is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from psycopg.rows import namedtuple_row, tuple_row
from psycopg.types.numeric import FloatLoader
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from analytics_assets.api.errors import Problem
from analytics_assets.api.kept import Kept
from analytics_assets.api.seen import VERSIONS
from analytics_assets.api.settings import ApiSettings

T = TypeVar("T")
_CONNECT_TIMEOUT = 3
_BATCH = 5000  # rows of a stream that are held at once
_SOON, _LATER = {"Retry-After": "5"}, {"Retry-After": "60"}
_UNAVAILABLE, _BUSY, _TIMEOUT = "database_unavailable", "database_busy", "timeout"
# Set for a transaction, and given back as they then are.
_LIMIT = """
select extract(epoch from set_config('statement_timeout', %(timeout)s, true)::interval) * 1000,
    set_config('transaction_read_only', 'on', true), set_config('TimeZone', 'UTC', true),
    set_config('DateStyle', 'ISO, MDY', true)"""
_ABSENT = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.InsufficientPrivilege,
)


class Database:
    """A pool of connections that can only read; each read is one statement and one snapshot.

    Each transaction sets its own limits, so that a pooler such as PgBouncer may stand between.

    Decimals arrive as floating-point numbers, as JSON has no others.
    """

    def __init__(self, url: str, settings: ApiSettings) -> None:
        self._timeout = max(1, int(settings.statement_timeout * 1000))
        self._limits = {"timeout": str(self._timeout)}
        self.kept = Kept(self._versions, int(settings.kept_mb * 1_000_000))
        self._pool_timeout = settings.pool_timeout
        self._streams = asyncio.Semaphore(max(1, settings.pool_size // 2))
        self.engine: AsyncEngine = create_async_engine(
            sa.make_url(url).set(drivername="postgresql+psycopg"),
            pool_size=settings.pool_size,
            max_overflow=0,
            pool_timeout=settings.pool_timeout,
            # Values of a statement may be personal; they get into no message.
            hide_parameters=True,
            connect_args={
                "connect_timeout": _CONNECT_TIMEOUT,
                # A promotion may replace a view, and a prepared statement would outlive it.
                "prepare_threshold": None,
            },
        )

        @sa.event.listens_for(self.engine.sync_engine, "connect")
        def plain_numbers(connection: Any, record: Any) -> None:
            connection.driver_connection.adapters.register_loader("numeric", FloatLoader)

        @sa.event.listens_for(self.engine.sync_engine, "begin")
        def limited(connection: sa.Connection) -> None:
            # A pooler refuses or ignores what a connection asks for as it starts, and gives another
            # session to the next transaction: only the transaction itself can be limited.
            self._require(connection.exec_driver_sql(_LIMIT, self._limits).one())

    async def read(
        self, sql: str, values: Mapping[str, Any] | None = None, by_name: bool = True
    ) -> Sequence[Any]:
        """The rows of a statement with ``%(name)s`` for values; raises ``Problem``.

        ``by_name``: values are attributes, too, so no two columns may be called the same.
        """
        made = namedtuple_row if by_name else tuple_row

        async def rows() -> Sequence[Any]:
            async with self.engine.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                try:
                    return await self._in_one_go(driver, made, sql, values or {})
                finally:
                    if driver.closed:
                        await connection.invalidate()

        return await self.attempt(rows)

    async def _versions(self, keys: Sequence[str]) -> dict[str, str]:
        """Key -> version of the tables that are as their last release left them."""
        rows = await self.read(VERSIONS, {"keys": list(keys)})
        return {row.table_name: row.version for row in rows if row.untouched and row.readable}

    async def stream(
        self, sql: str, values: Mapping[str, Any]
    ) -> AsyncIterator[Sequence[Sequence[Any]]]:
        """The rows of a statement in batches, from one snapshot; raises ``Problem``, where it
        cannot begin before the first batch. Half of the connections may be busy with streams, so
        that pages are read meanwhile.
        """
        try:
            await asyncio.wait_for(self._streams.acquire(), self._pool_timeout)
        except asyncio.TimeoutError:
            raise Problem(503, _BUSY, "Too many files are being sent. Try again.", _SOON) from None
        try:
            async with _as_problem(), self.engine.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                try:
                    limits = await driver.execute(_LIMIT, self._limits)
                    self._require(await limits.fetchone())
                    async with driver.cursor("rows", row_factory=tuple_row) as cursor:
                        await cursor.execute(sql, values)
                        while rows := await cursor.fetchmany(_BATCH):
                            yield rows
                finally:
                    if driver.closed:
                        await connection.invalidate()
        finally:
            self._streams.release()

    async def _in_one_go(
        self, driver: psycopg.AsyncConnection, made: Any, sql: str, values: Mapping[str, Any]
    ) -> Sequence[Any]:
        """Begin, limits, statement and commit in one exchange: each would wait for its own."""
        async with driver.pipeline():
            limits = await driver.execute(_LIMIT, self._limits)
            found = await driver.cursor(row_factory=made).execute(sql, values)
            await driver.commit()
        self._require(await limits.fetchone())
        return await found.fetchall()

    def _require(self, limits: Sequence[Any] | None) -> None:
        if tuple(limits or ()) != (self._timeout, "on", "UTC", "ISO, MDY"):
            raise Problem(503, "no_limits", "Production refuses the limits of a read.", _LATER)

    async def attempt(self, read: Callable[[], Awaitable[T]]) -> T:
        """A read on the engine; once more where the connection was lost; raises ``Problem``."""
        try:
            return await _understood(read)
        except Problem as problem:
            if problem.code != _UNAVAILABLE:
                raise
        # The server may have been restarted since the pool's connections were made.
        await self.engine.dispose()
        return await _understood(read)

    async def close(self) -> None:
        """Give all connections back."""
        await self.engine.dispose()


@asynccontextmanager
async def _as_problem() -> AsyncIterator[None]:
    try:
        yield
    except (sa.exc.DBAPIError, sa.exc.TimeoutError, psycopg.Error, OSError) as error:
        raise meaning(error) from error


async def _understood(read: Callable[[], Awaitable[T]]) -> T:
    async with _as_problem():
        return await read()
    raise AssertionError  # not reached: the context raises on


def meaning(error: Exception) -> Exception:
    """What a failed read says to a client: a ``Problem``, or the error itself where it is ours."""
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    if isinstance(cause, sa.exc.TimeoutError):
        return Problem(503, _BUSY, "All connections to production are busy. Try again.", _SOON)
    if isinstance(cause, psycopg.errors.QueryCanceled):
        return Problem(503, _TIMEOUT, "Production took too long. Ask for less, or again.", _SOON)
    if isinstance(cause, _ABSENT):
        text = "This is not promoted yet, or not yet in the shape that is declared."
        return Problem(503, "not_promoted", text, _LATER)
    if isinstance(cause, (psycopg.OperationalError, psycopg.InterfaceError, OSError)):
        return Problem(503, _UNAVAILABLE, "Production does not answer. Try again.", _SOON)
    return error
