"""A folder for what is unpacked or written while a source is read.

Belongs here: making one, and leaving nothing behind.
Does not belong here: what waits there from one read to the next (``reading.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from analytics_assets import settings


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder of its own below the home's scratch, gone with the block."""
    scratch = settings.load().scratch
    scratch.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=scratch, prefix="landing-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
