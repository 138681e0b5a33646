"""Rows as CSV, Parquet or Arrow, as they come: nothing is held but a batch.

Belongs here: columns and batches of rows -> bytes, and the response that streams them.
Does not belong here: reading rows (``database.py``), which rows (``listing.py``, ``asking.py``).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal, Protocol, get_args

import pyarrow
import pyarrow.parquet
from fastapi.responses import StreamingResponse

from analytics_assets.core.columns import Column
from analytics_assets.core.contracts import arrow_type

Format = Literal["json", "csv", "parquet", "arrow"]
MEDIA_TYPES: Mapping[str, str] = {
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}
ABOUT_FORMAT = (
    f"{', '.join(get_args(Format))}. All but json are streamed and have all rows, unless a limit"
    " is given."
)
Rows = Sequence[Sequence[Any]]


class _Writer(Protocol):
    def write(self, rows: Rows) -> bytes: ...

    def end(self) -> bytes: ...


class _Csv:
    """RFC 4180 in UTF-8; empty where there is no value, quoted where a text is empty."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._buffer = io.StringIO()
        self._writer = csv.writer(self._buffer, quoting=csv.QUOTE_MINIMAL)
        self._writer.writerow([column.name for column in columns])

    def write(self, rows: Rows) -> bytes:
        self._writer.writerows([[_as_text(value) for value in row] for row in rows])
        return self.end()

    def end(self) -> bytes:
        text = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return text.encode()


def _as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if hasattr(value, "isoformat") else value


class _Drained(io.RawIOBase):
    """A file whose bytes are taken away as they are written."""

    def __init__(self) -> None:
        super().__init__()
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._written += memoryview(data)
        return len(memoryview(data))

    def take(self) -> bytes:
        """What was written since it was last asked."""
        taken = bytes(self._written)
        self._written.clear()
        return taken


class _Columnar:
    """Arrow's stream, or a Parquet file of a row group for each batch."""

    def __init__(self, columns: Sequence[Column], parquet: bool) -> None:
        self._schema = pyarrow.schema(
            [
                pyarrow.field(
                    column.name,
                    _sent_type(column),
                    metadata={"description": column.description, "unit": column.unit},
                )
                for column in columns
            ]
        )
        self._file = _Drained()
        self._writer: Any = (
            pyarrow.parquet.ParquetWriter(self._file, self._schema, compression="zstd")
            if parquet
            else pyarrow.ipc.new_stream(self._file, self._schema)
        )

    def write(self, rows: Rows) -> bytes:
        values = list(zip(*rows, strict=True)) or [()] * len(self._schema)
        arrays = [
            pyarrow.array(own, field.type) for own, field in zip(values, self._schema, strict=True)
        ]
        self._writer.write_table(pyarrow.Table.from_arrays(arrays, schema=self._schema))
        return self._file.take()

    def end(self) -> bytes:
        self._writer.close()
        return self._file.take()


def _sent_type(column: Column) -> pyarrow.DataType:
    # As in JSON: production's decimals arrive as floating-point numbers.
    stored = arrow_type(column)
    return pyarrow.float64() if pyarrow.types.is_decimal(stored) else stored


def _writer(format_: str, columns: Sequence[Column]) -> _Writer:
    return _Csv(columns) if format_ == "csv" else _Columnar(columns, format_ == "parquet")


def streamed(
    format_: str,
    name: str,
    columns: Sequence[Column],
    batches: AsyncIterator[Rows],
    headers: Mapping[str, str],
) -> StreamingResponse:
    """The response of a file ``name.format``; ``batches`` have values in order of the columns."""

    async def chunks() -> AsyncIterator[bytes]:
        writer = _writer(format_, columns)
        async for rows in batches:
            yield writer.write(rows)
        yield writer.end()

    file = f"{re.sub('[^A-Za-z0-9_.-]', '_', name)}.{format_}"
    given = {**headers, "Content-Disposition": f'attachment; filename="{file}"'}
    return StreamingResponse(chunks(), media_type=MEDIA_TYPES[format_], headers=given)


def documented_formats() -> dict[str, Any]:
    """What a route's documentation says of the answers that are not JSON."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {
        media: {"schema": {"type": "string"}} if name == "csv" else binary
        for name, media in MEDIA_TYPES.items()
    }
