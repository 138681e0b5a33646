"""What cannot be computed again and must not lie open: keys, settings, the user's dagster.yaml.

Belongs here: gathering it into one sealed file of a backup, and putting it back.
Does not belong here: the backup beside it (``backup.py``).

Sealed with Fernet (AES-128-CBC and HMAC-SHA256) under a key that scrypt makes of the passphrase.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from analytics_assets.core.domain import VARIABLES
from analytics_assets.settings import Settings

# Of the variables that no domain declares, those of the platform.
_PREFIXES = (
    *("ALERT_", "ANALYTICS_", "API_", "BACKUP", "DAGSTER_PG_URL", "HISTORY_", "LAKE_", "LANDING_"),
    *("PRODUCTION_", "PROMOTION_", "RESTORE_URL", "SCRUB_"),
)
# Who holds the passphrase opens it, and an administrator's URL is for once.
_LEFT_OUT = ("BACKUP_PASSPHRASE", "PRODUCTION_ADMIN_URL")
_HEAD, _SALT, _LEAST = b"analytics-assets sealed 1\n", 16, 12
SETTINGS = "settings.env"


class SealError(ValueError):
    """Nothing was sealed or put back; says why."""


def keys(settings: Settings) -> list[Path]:
    """Keys that were generated here: by convention files of the home that are called so."""
    return sorted(settings.home.glob("*.key"))


def seal(settings: Settings, passphrase: str) -> bytes:
    """Keys, settings and Dagster's settings as one sealed file; ``SealError`` for a weak word."""
    if len(passphrase) < _LEAST:
        raise SealError(f"BACKUP_PASSPHRASE has fewer than {_LEAST} characters")
    files = [*keys(settings), settings.dagster_home / "dagster.yaml"]
    held = {
        "files": {
            str(path.relative_to(settings.home)): path.read_text()
            for path in files
            if path.exists()
        },
        "settings": {
            name: value
            for name, value in sorted(os.environ.items())
            if (name.startswith(_PREFIXES) or name in VARIABLES) and name not in _LEFT_OUT
        },
    }
    salt = os.urandom(_SALT)
    return _HEAD + salt + _lock(passphrase, salt).encrypt(json.dumps(held).encode())


def put_back(settings: Settings, sealed: bytes, passphrase: str) -> list[str]:
    """Write into the home what was sealed; returns the names.

    Settings become a file of variables to look through, as what was right on another machine need
    not be here. Raises ``SealError`` for a wrong passphrase, and where another key is there.
    """
    held = _opened(sealed, passphrase)
    lines = "".join(f"{name}={_quoted(value)}\n" for name, value in held["settings"].items())
    files = {**held["files"], SETTINGS: lines}
    for name, text in files.items():
        there = settings.home / name
        if name.endswith(".key") and there.exists() and there.read_text() != text:
            raise SealError(
                f"{there} is another key than the one of the backup. Move it away, if nothing was"
                " published with it"
            )
    for name, text in files.items():
        target = settings.home / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
    return list(files)


def _opened(sealed: bytes, passphrase: str) -> Mapping[str, Mapping[str, str]]:
    if not sealed.startswith(_HEAD):
        raise SealError("the sealed file is none of this product's")
    rest = sealed.removeprefix(_HEAD)
    try:
        opened = _lock(passphrase, rest[:_SALT]).decrypt(rest[_SALT:])
    except InvalidToken:
        raise SealError(
            "BACKUP_PASSPHRASE is not the one that the backup was sealed with"
        ) from None
    return json.loads(opened)


def _lock(passphrase: str, salt: bytes) -> Fernet:
    derived = Scrypt(salt=salt, length=32, n=2**16, r=8, p=1).derive(passphrase.encode())
    return Fernet(base64.urlsafe_b64encode(derived))


def _quoted(value: str) -> str:
    """As both a shell and systemd read it."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return '"' + escaped.replace("`", "\\`") + '"'
