"""Notes of what is known of files that have not changed, so that they need not be read again.

Belongs here: keeping them in ``fingerprints`` of the home, with a checksum. They hold only what can
be computed again: one that is deleted or damaged is as one that never was.
Does not belong here: what is noted (each source knows).
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from analytics_assets import settings


def noted(name: str) -> dict[str, Any]:
    """What the note of this name holds; nothing where it is not as it was written."""
    try:
        checksum, text = _path(name).read_text().split("\n", 1)
    except (OSError, ValueError):
        return {}
    return dict(json.loads(text)) if checksum == _checksum(text) else {}


def note(name: str, content: dict[str, Any]) -> None:
    """Keep this under the name; a reader sees it whole or not at all."""
    target = _path(name)
    text = json.dumps(content)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}-{uuid4().hex}")
    draft.write_text(f"{_checksum(text)}\n{text}")
    draft.replace(target)


def _path(name: str) -> Path:
    return settings.load().home / "fingerprints" / f"{name}.json"


def _checksum(text: str) -> str:
    return sha256(text.encode()).hexdigest()
