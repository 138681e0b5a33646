"""Where small files with their right values lie, beside the project or above it."""

from __future__ import annotations

from pathlib import Path

import pytest

_FOLDER = next(
    (found for up in Path(__file__).parents if (found := up / "shared" / "cases").is_dir()), None
)


def case(name: str) -> Path:
    """The folder of a case; the test is skipped where it is absent."""
    if _FOLDER is None or not (_FOLDER / name).is_dir():
        pytest.skip(f"the case {name} is not here")
    return _FOLDER / name
