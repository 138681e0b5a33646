"""Files with which systemd and nginx serve an installation.

Belongs here: these files, and writing them with the paths and secrets of one installation.
Does not belong here: where they go and in which order (``docs/service.md``).
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

from analytics_assets.core.source import SourceError

BACKUPS = "/var/backups/analytics-assets"
_OURS = Path(__file__).parent
_FILES = (
    "analytics-assets.service",
    "analytics-assets-api.service",
    "nginx.conf",
    "settings.env",
    "admin",
)
# The name of the command beside the Python that runs this.
_COMMAND = "analytics-assets"


def write(folder: Path, host: str, user: str, port: int = 443) -> Iterator[Path]:
    """Write the files for ``https://host`` into ``folder``; yields each path.

    Keys and passphrase are made up. A file that is there is kept: its secrets are at work.
    """
    key = secrets.token_urlsafe(32)
    words = {
        "user": user,
        "host": host,
        "port": str(port),
        "url": f"https://{host}" + ("" if port == 443 else f":{port}"),
        "folder": str(folder.absolute()),
        "command": str(Path(sys.executable).with_name(_COMMAND)),
        "backups": BACKUPS,
        "ui_port": os.environ.get("ANALYTICS_PORT") or "3000",
        "api_port": os.environ.get("API_PORT") or "8000",
        "dashboard_port": os.environ.get("DASHBOARD_PORT") or "8050",
        "key": key,
        "passphrase": secrets.token_urlsafe(24),
    }
    if (folder / "settings.env").exists():
        raise SourceError(
            "there are settings already",
            str(folder / "settings.env"),
            "Move them away, or name another folder and compare.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    # nginx reads its logins there as another user; what is secret is closed file by file.
    folder.chmod(0o755)
    for path in (_OURS / name for name in _FILES):
        yield _written(folder / path.name, _filled(path.read_text(), words))
    (folder / "admin").chmod(0o750)
    yield _written(folder / "api-key.conf", f'proxy_set_header X-API-Key "{key}";\n')


def _filled(text: str, words: dict[str, str]) -> str:
    for name, value in words.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _written(path: Path, text: str) -> Path:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
    with os.fdopen(descriptor, "w") as file:
        # Whatever the umask: it is given to the group that has to read it.
        os.fchmod(descriptor, 0o640)
        file.write(text)
    return path
