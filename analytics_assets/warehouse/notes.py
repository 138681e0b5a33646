"""Notes of what is known of files that have not changed, so that they need not be read again.

Belongs here: keeping them in ``fingerprints``, with a checksum. They hold only what can
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
from analytics_assets.warehouse.storage import Storage, open_storage


def noted(name: str, shared: bool = False) -> dict[str, Any]:
    """What the note of this name holds; nothing where it is not as it was written."""
    storage = _storage(shared)
    try:
        with storage.fs.open_input_stream(f"{storage.base}/{name}.json") as file:
            checksum, text = file.read().decode().split("\n", 1)
    except (OSError, ValueError):
        return {}
    return dict(json.loads(text)) if checksum == _checksum(text) else {}


def note(name: str, content: dict[str, Any], shared: bool = False) -> None:
    """Keep this under the name; a reader sees it whole or not at all."""
    storage, text = _storage(shared), json.dumps(content)
    folder = Path(storage.drafts)
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{name}-{uuid4().hex}"
    draft.write_text(f"{_checksum(text)}\n{text}")
    storage.put_in_place(str(draft), f"{folder}/{name}.json")


def _storage(shared: bool) -> Storage:
    """Notes of this machine alone are in its home, those of what all see where the lake is."""
    config = settings.load()
    if shared and not open_storage(config.lake).is_local:
        return open_storage(f"{config.lake}/_fingerprints")
    return open_storage(str(config.home / "fingerprints"))


def _checksum(text: str) -> str:
    return sha256(text.encode()).hexdigest()
