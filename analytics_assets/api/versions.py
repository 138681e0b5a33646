"""Which version of a table an answer is of, as an ETag, and what a client has already.

Belongs here: tags, ``If-None-Match``, and SQL of a table's version in production.
Does not belong here: what is answered.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response

from analytics_assets.production.records import SCHEMA as LEDGER_SCHEMA

_TAG = re.compile(r'(?:W/)?"([^"]*)"')


def json_response(body: bytes, label: str, version: str) -> Response:
    """An answer with the ETag of what was asked for and of what it was computed from."""
    return Response(body, media_type="application/json", headers=tagged(label, version))


def unchanged(label: str, version: str) -> Response:
    """To who has it already."""
    return Response(status_code=304, headers=tagged(label, version))


def tagged(label: str, version: str) -> dict[str, str]:
    """The headers of an answer that a client may keep."""
    return {"ETag": f'"{label}.{version}"', "Cache-Control": "private, no-cache"}


@dataclass(frozen=True)
class Seen:
    """What a client has: any version, or these of the very answer that it asks for."""

    any: bool
    versions: list[str]


def seen_by(request: Request, label: str) -> Seen:
    """``If-None-Match``: a list of tags, weak or strong, or ``*``."""
    given = ",".join(request.headers.getlist("if-none-match"))
    tags = (tag.partition(".") for tag in _TAG.findall(given))
    return Seen(given.strip() == "*", [version for whose, _, version in tags if whose == label])


def version_sql(key: str) -> str:
    """SQL of a word that changes with every promotion of a table; empty before the first."""
    return (
        "coalesce((select concat(id, '-', cast(extract(epoch from promoted_at) * 1000000 as"
        f" bigint)) from {LEDGER_SCHEMA}.ledger where table_name = {key}"
        " order by id desc limit 1), '')"
    )


def hashed(*parts: Any) -> str:
    """One word for what is asked."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
