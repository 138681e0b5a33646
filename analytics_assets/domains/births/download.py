"""Fetching a year's files from the official server into the landing folder; off by default.

Belongs here: one file at a time over HTTP or FTP, whole or not at all, and which errors can pass.
Does not belong here: when to fetch, or reading what was fetched (``readers.py``).

``SINASC_DOWNLOAD_URL`` turns it on: a URL with ``{year}``, and ``{state}`` where the server has a
file for each state, such as ``ftp://<server>/<folder>/DN{state}{year}.dbc``. The name at its end is
the name in the landing folder.
"""

from __future__ import annotations

import filecmp
import ftplib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import SplitResult, unquote, urlsplit
from uuid import uuid4

from analytics_assets.core.source import SourceError
from analytics_assets.domains.births.columns import STATES
from analytics_assets.domains.births.landing import LANDING, says_state_and_year

SECONDS_TO_WAIT = (1.0, 5.0, 25.0)
_TIMEOUT = 60
_CAN_PASS = (ConnectionError, TimeoutError, EOFError, http.client.HTTPException, ftplib.error_temp)


def download_year(year: int) -> list[Path]:
    """Fetch all files of a year; raises ``SourceError``, also where downloading is off."""
    template = os.environ.get("SINASC_DOWNLOAD_URL")
    if not template:
        raise SourceError(
            "downloading is off", "SINASC_DOWNLOAD_URL", "Set it to a URL with {year} and {state}"
        )
    return download(year, sorted(STATES), template, LANDING.path)


def download(
    year: int,
    states: Sequence[str],
    url_template: str,
    folder: Path,
    waits: Sequence[float] = SECONDS_TO_WAIT,
) -> list[Path]:
    """Fetch one file a state, or one in all if the template has no ``{state}``, into ``folder``.

    ``waits`` are the seconds before each further try. A file appears under its name when it is
    complete, and is left alone if it has not changed. Raises ``SourceError`` naming the URL.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = states if "{state}" in url_template else [""]
    urls = [url_template.replace("{year}", str(year)).replace("{state}", state) for state in wanted]
    return [_fetched(url, folder, waits) for url in urls]


def _fetched(url: str, folder: Path, waits: Sequence[float]) -> Path:
    parts = urlsplit(url)
    target = folder / PurePosixPath(unquote(parts.path)).name
    if parts.scheme not in ("http", "https", "ftp") or not says_state_and_year(target.name):
        raise SourceError(
            "it is no http, https or ftp URL of a file whose name says its state and year", url,
            "Set SINASC_DOWNLOAD_URL to such as ftp://<server>/<folder>/DN{state}{year}.dbc",
        )  # fmt: skip
    part = folder / f".{target.name}.{uuid4().hex}"  # the dot hides it from the landing folder
    try:
        _with_retries(url, parts, part, waits)
        if not (target.exists() and filecmp.cmp(part, target, shallow=False)):
            os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return target


def _with_retries(url: str, parts: SplitResult, part: Path, waits: Sequence[float]) -> None:
    for wait in (*waits, None):
        try:
            expected = _over_ftp(parts, part) if parts.scheme == "ftp" else _over_http(url, part)
            have = part.stat().st_size
            if expected is not None and have != expected:
                raise ConnectionError(f"cut off: {have:,} of {expected:,} bytes came")
            return
        except (urllib.error.URLError, ftplib.error_perm, *_CAN_PASS) as error:
            if wait is None or not _can_pass(error):
                raise SourceError(*_explained(error, url)) from error
            time.sleep(wait)


def _over_http(url: str, part: Path) -> int | None:
    """Bytes that the server announced, if it did."""
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer, part.open("wb") as file:
        shutil.copyfileobj(answer, file)
        length = answer.headers.get("Content-Length")
    return None if length is None else int(length)


def _over_ftp(parts: SplitResult, part: Path) -> int | None:
    # Not urllib: it takes a transfer that the server broke off for a complete one.
    path = unquote(parts.path)
    with ftplib.FTP(timeout=_TIMEOUT) as ftp, part.open("wb") as file:
        ftp.connect(parts.hostname or "", parts.port or ftplib.FTP_PORT)
        ftp.login(parts.username or "", parts.password or "")
        ftp.voidcmd("TYPE I")
        expected = ftp.size(path)
        ftp.retrbinary(f"RETR {path}", file.write)
    return expected


def _can_pass(error: BaseException) -> bool:
    if isinstance(error, urllib.error.HTTPError):
        return error.code >= 500
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return isinstance(reason, (*_CAN_PASS, OSError)) and not isinstance(reason, ValueError)


def _explained(error: Exception, url: str) -> tuple[str, str, str]:
    if getattr(error, "code", None) in (404, 410) or str(error).startswith("550"):
        return (
            f"there is no such file on the server ({error})", url,
            "The year may not be published yet; if it is, correct SINASC_DOWNLOAD_URL",
        )  # fmt: skip
    return f"it cannot be fetched ({error})", url, "Try again later, or fetch it by hand"
