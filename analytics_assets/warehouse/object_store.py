"""A lake in an object store (``s3://``, ``gs://``, ``abfs://``), by fsspec and Delta's own reader.

Belongs here: both of them on one store, and refusing a store that cannot keep two writers apart.
Does not belong here: what is stored, the copies that DuckDB reads (``copies.py``).

Secrets come from the environment, in the names of the store's own tools (``AWS_ACCESS_KEY_ID``,
``GOOGLE_APPLICATION_CREDENTIALS``, ...), which both read.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import duckdb
import fsspec
import pyarrow.fs
from fsspec.spec import AbstractFileSystem

from analytics_assets import settings
from analytics_assets.core.source import SourceError, SourceUnavailable
from analytics_assets.warehouse.copies import Copies, ReadByCopies
from analytics_assets.warehouse.storage import Storage, T

# Scheme -> the package that reads it, and what tells Delta to write a commit only where none is.
_SCHEMES: dict[str, tuple[str, dict[str, str]]] = {
    "s3": ("s3fs", {"aws_conditional_put": "etag"}),
    "gs": ("gcsfs", {}),
    "abfs": ("adlfs", {}),
}
# Above so many files of a folder its list is asked for, which names a thousand in an answer.
_ASKED_ONE_BY_ONE = 3
# A log is opened by two requests for each commit since the last checkpoint.
_CHECKPOINTS = "10"
_CLOCK_FIELDS = ("mtime", "LastModified", "last_modified", "updated")
_TAG_FIELDS = ("ETag", "etag")
_EPOCH = datetime.fromtimestamp(0, timezone.utc)
_ATTEMPTS = 4
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_PROBE = "_probe"
# Words of fsspec's and Delta's errors that say nothing of what is stored.
_AWAY = ("Generic S3 error", "Generic GCS error", "Generic MicrosoftAzure error", "error sending")
_REFUSED = ("lacked the necessary privileges", "lacked valid authentication")


@dataclass(frozen=True)
class Object:
    """What is stored under a name below the root. ``changed``: microseconds since 1970; ``tag``:
    the store's checksum, which another content does not have."""

    name: str
    size: int
    changed: int
    tag: str


class ObjectStore(Storage):
    """An object store; see ``Storage``."""

    is_local = False

    def __init__(self, root: str) -> None:
        scheme = root.split("://")[0]
        if scheme not in _SCHEMES:
            raise SourceError(
                f"{scheme}:// is no store that can be read",
                root,
                f"Give a folder, or a URL that begins with {'://, '.join(_SCHEMES)}://",
            )
        package, options = _SCHEMES[scheme]
        home = settings.load()
        self.root = root
        self.drafts = str(home.scratch / f"drafts-{uuid4().hex}")
        self.delta_options = {**options, **_plain_http()}
        self.delta_properties = {"delta.checkpointInterval": _CHECKPOINTS}
        try:
            # Lists are never remembered: other workers write.
            self._remote = fsspec.filesystem(
                scheme, use_listings_cache=False, skip_instance_cache=True
            )
        except ImportError as error:
            raise SourceError(
                f"it needs {package}, which is not installed",
                root,
                f"Install analytics-assets[scale], or {package}",
            ) from error
        self.base = str(self._remote._strip_protocol(root))
        self.fs = pyarrow.fs.PyFileSystem(_Handler(self._remote, self._reaching))
        self._copies = Copies(home.home / "copies" / _word(root), home.copies_mb * 1e6, self.fetch)

    def infos(self, uris: Iterable[str]) -> list[pyarrow.fs.FileInfo]:
        """What the store says of these files; of many by one list of the folder they are in."""
        paths = [self.path(uri) for uri in uris]
        if len(paths) <= _ASKED_ONE_BY_ONE:
            return list(self.fs.get_file_info(paths))
        with self._reaching():
            found = self._remote.find(os.path.commonpath(paths), detail=True)
        return [
            _info(path, found[path])
            if path in found
            else pyarrow.fs.FileInfo(path, pyarrow.fs.FileType.NotFound)
            for path in paths
        ]

    def put_in_place(self, draft: str, final: str) -> str:
        """Upload a draft in one step; what it is read from next is the draft itself."""
        uri = self.root + final.removeprefix(self.drafts)
        with self._reaching():
            self._remote.put_file(draft, self.path(uri))
        self._copies.adopt(self._name(uri), draft)
        return uri

    @contextmanager
    def drafted(self, name: str, last: str) -> Iterator[Path]:
        scratch = settings.load().scratch
        scratch.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=scratch) as folder:
            yield Path(folder)
            for path in sorted(Path(folder).iterdir(), key=lambda path: path.name == last):
                with self._reaching():
                    self._remote.put_file(str(path), f"{self.base}/{name}/{path.name}")

    def clear_drafts(self, name: str) -> None:
        """They are in the scratch folder, which is cleared."""

    def copied(self, uri: str) -> str:
        return self._copies.get(self._name(uri))

    def forget_copy(self, uri: str) -> None:
        self._copies.drop(self._name(uri))

    def register(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.register_filesystem(ReadByCopies(self.root, self.copied))

    def reach(self) -> None:
        """Write the same new name twice: only the first may succeed, or commits would be lost."""
        name = f"{self.base}/{_PROBE}-{uuid4().hex}"
        try:
            with self._reaching():
                self._remote.pipe_file(name, b"1", mode="create")
                try:
                    self._remote.pipe_file(name, b"2", mode="create")
                except FileExistsError:
                    return
                finally:
                    with suppress(OSError):
                        self._remote.rm_file(name)
        except SourceError:
            raise
        except OSError as error:
            raise SourceError(
                f"it cannot be written: {_short(error)}",
                self.root,
                "See that the bucket is there and that the user may read, write, list and delete",
            ) from error
        raise SourceError(
            "it has no conditional put (If-None-Match), so two workers that commit at once would"
            " lose one of the commits",
            self.root,
            "Use a store that has it (Amazon S3, MinIO from 2024-11, Google, Azure), or a local"
            " folder and one machine",
        )

    def patiently(self, read: Callable[[], T]) -> T:
        """Delta's client asks again where a request fails, but not where its answer is cut off."""
        for attempt in range(_ATTEMPTS):
            try:
                return read()
            except Exception as error:
                if attempt + 1 == _ATTEMPTS or self.explain(error) is None:
                    raise
                time.sleep(random.uniform(0, 2**attempt / 4))
        raise AssertionError

    def explain(self, error: BaseException) -> Exception | None:
        """``SourceUnavailable`` for what fsspec's or Delta's client says of a store that is away,
        for which both have tried again for a while, or whose keys are not good any more."""
        if isinstance(error, SourceError):
            return None
        # Of a file of this machine it would say which.
        of_keys = isinstance(error, PermissionError) and error.filename is None
        if of_keys or any(word in str(error) for word in _REFUSED):
            return SourceUnavailable(
                f"the object store refuses its user ({_short(error)})",
                self.root,
                "What is published stays whole: see that the keys are good, and run again",
            )
        of_client = type(error).__module__.split(".")[0] in ("botocore", "aiohttp", "aiobotocore")
        of_delta = any(word in str(error) for word in _AWAY)
        passing = isinstance(error, TimeoutError | ConnectionError) or _is_server_error(error)
        if of_client or of_delta or passing:
            return SourceUnavailable(
                f"the object store does not answer ({_short(error)})",
                self.root,
                "What is published stays whole: see that it runs, and run again",
            )
        return None

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if told := self.explain(error):
                raise told from error
            raise

    def objects(self) -> dict[str, Object]:
        """All that is stored below the root, by name."""
        with self._reaching():
            found = self._remote.find(self.base, detail=True)
        own = f"{self.base}/"
        return {
            path.removeprefix(own): _object(path.removeprefix(own), info)
            for path, info in found.items()
            if path.startswith(own) and info["type"] == "file"
        }

    def object(self, name: str) -> Object:
        """What is stored under a name; ``FileNotFoundError`` where nothing is."""
        with self._reaching():
            return _object(name, self._remote.info(f"{self.base}/{name}"))

    def fetch(self, name: str, target: Path) -> None:
        """Write the bytes of a name to a local file."""
        with self._reaching():
            self._remote.get_file(f"{self.base}/{name}", str(target))

    def _name(self, uri: str) -> str:
        return uri.removeprefix(self.root).lstrip("/")


def _word(root: str) -> str:
    return sha256(root.encode()).hexdigest()[:8]


def _plain_http() -> dict[str, str]:
    """Delta refuses a store without TLS unless it is told that this is meant."""
    address = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    return {"allow_http": "true"} if address.startswith("http://") else {}


def _is_server_error(error: BaseException) -> bool:
    """Whether a store answered that it cannot now (500, 503), told by the answer it came from."""
    answer = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    if not isinstance(answer, dict):
        return False
    return int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0) >= 500


def _short(error: BaseException) -> str:
    """What an error says, without the stack of a client that some bring along."""
    said = " ".join(_COLOURS.sub("", str(error)).split("Debug source")[0].split())
    return (said or type(error).__name__)[:200]


class _Handler(pyarrow.fs.FSSpecHandler):
    """fsspec for pyarrow, with the time of change, and without questions that cost a request."""

    def __init__(self, fs: AbstractFileSystem, reaching: Callable[[], Any]) -> None:
        super().__init__(fs)
        self._reaching = reaching

    def get_file_info(self, paths: list[str]) -> list[pyarrow.fs.FileInfo]:
        found = []
        for path in paths:
            try:
                with self._reaching():
                    found.append(_info(path, self.fs.info(path)))
            except FileNotFoundError:
                found.append(pyarrow.fs.FileInfo(path, pyarrow.fs.FileType.NotFound))
        return found

    def get_file_info_selector(
        self, selector: pyarrow.fs.FileSelector
    ) -> list[pyarrow.fs.FileInfo]:
        # Object stores have no folders: what is below is asked for at once, a thousand an answer.
        with self._reaching():
            found = self.fs.find(selector.base_dir, detail=True)
        own = selector.base_dir.strip("/")
        return [
            _info(path, info)
            for path, info in found.items()
            if path != own and (selector.recursive or "/" not in path[len(own) + 1 :])
        ]

    def create_dir(self, path: str, recursive: bool) -> None:
        """Object stores have no folders."""

    def delete_file(self, path: str) -> None:
        with self._reaching():
            self.fs.rm_file(path)

    def move(self, src: str, dest: str) -> None:
        with self._reaching():
            self.fs.cp_file(src, dest)
            self.fs.rm_file(src)

    def open_input_stream(self, path: str) -> pyarrow.BufferReader:
        return self.open_input_file(path)

    def open_input_file(self, path: str) -> pyarrow.BufferReader:
        # What is read so is small. Read later, a failure of the store would be one of the file.
        with self._reaching():
            return pyarrow.BufferReader(self.fs.cat_file(path))


def _info(path: str, found: dict[str, Any]) -> pyarrow.fs.FileInfo:
    if found["type"] != "file":
        return pyarrow.fs.FileInfo(path, pyarrow.fs.FileType.Directory)
    kind = pyarrow.fs.FileType.File
    return pyarrow.fs.FileInfo(path, kind, mtime=_moment(found), size=found["size"])


def _object(name: str, found: dict[str, Any]) -> Object:
    changed = (_moment(found) or _EPOCH) - _EPOCH
    tag = next((str(found[field]) for field in _TAG_FIELDS if found.get(field)), "")
    return Object(name, found["size"], changed // timedelta(microseconds=1), tag)


def _moment(found: dict[str, Any]) -> datetime | None:
    moment = next((found[name] for name in _CLOCK_FIELDS if found.get(name)), None)
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return moment
