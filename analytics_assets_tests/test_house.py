"""The order of the house that no linter sees to."""

from __future__ import annotations

from pathlib import Path

import analytics_assets

MOST_LINES = 400


def test_no_module_is_longer_than_one_sitting() -> None:
    package = Path(analytics_assets.__file__).parent
    lines = {path: len(path.read_text("utf-8").splitlines()) for path in package.rglob("*.py")}
    assert lines
    long = {str(path.relative_to(package)): n for path, n in lines.items() if n > MOST_LINES}
    assert not long, f"more than {MOST_LINES} lines: {long}; give a part of it a module of its own"
