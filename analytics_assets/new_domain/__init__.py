"""Beginning a domain: a small one that runs, whose names and columns are then made one's own.

Belongs here: writing its files. Does not belong here: what they hold (``*.py.txt`` beside, which
are the domain ``rivers``), or what makes a domain (``core/domain.py``).
"""

from __future__ import annotations

import re
from pathlib import Path

from analytics_assets import registry
from analytics_assets.core.source import SourceError

_TEMPLATE = "rivers"
# File of the template -> where it goes, below the project.
_FILES = {
    "init.py.txt": "analytics_assets/domains/{name}/__init__.py",
    "domain.py.txt": "analytics_assets/domains/{name}/domain.py",
    "sample.py.txt": "analytics_assets/domains/{name}/sample.py",
    "test.py.txt": "analytics_assets_tests/test_{name}.py",
}


def write(name: str, project: Path) -> list[Path]:
    """The files of a new domain; ``SourceError`` where it cannot be called so or is there."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", name):
        raise SourceError(
            "a domain's name is a schema and a folder",
            name,
            "Use lower-case letters, digits and underscores, at most 31",
        )
    if not (project / "analytics_assets_tests").is_dir():
        raise SourceError(
            "there is no project here to add a domain to",
            str(project),
            "Run it in a checkout of the project, not from an installed package",
        )
    wanted = {source: project / target.format(name=name) for source, target in _FILES.items()}
    there = [path for path in wanted.values() if path.exists()]
    if there or name in registry.found():
        raise SourceError(
            "there is such a domain already", str(there[0] if there else name), "Take another name"
        )
    for source, path in wanted.items():
        text = (Path(__file__).parent / source).read_text(encoding="utf-8")
        path.parent.mkdir(exist_ok=True)
        for old, new in ((_TEMPLATE, name), (_TEMPLATE.upper(), name.upper())):
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")
    return list(wanted.values())
