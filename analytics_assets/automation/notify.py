"""Where alerts go: the log, a file, and a webhook.

Belongs here: how an alert is written, and sending it without holding up or failing the caller.
Does not belong here: what is an alert, and whether it was sent before (``alerts.py``).

The address of a webhook is a secret, so no error of the sending is logged with its own text.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

log = logging.getLogger("analytics_assets.alerts")

# A sensor's tick waits for this, and no other sensor is evaluated meanwhile: at most 11 s.
_TIMEOUT_SECONDS = 3.0
_PAUSES = (0.5, 1.0)
_MOST_IN_ONE_POST = 20
_MOST_TEXT = 600
# Beyond it a file is put aside, in the place of the one before it.
_MOST_BYTES = 10 * 2**20


@dataclass(frozen=True)
class Alert:
    """What people are told. ``status``: failed, still failing, passed again or resolved."""

    status: str
    kind: str
    title: str
    what: str
    to_do: str
    link: str
    first_seen: str
    times: int


def write(alerts: Sequence[Alert], file: Path) -> None:
    """One line of JSON for each, in the log and at the end of a file.

    A file that has grown long becomes ``<name>.1.jsonl``, and a new one is begun.
    """
    lines = [json.dumps(asdict(alert), ensure_ascii=False) for alert in alerts]
    for line in lines:
        log.warning(line)
    if not lines:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists() and file.stat().st_size > _MOST_BYTES:
            file.replace(file.with_stem(f"{file.stem}.1"))
        with file.open("a", encoding="utf-8") as opened:
            opened.write("".join(f"{line}\n" for line in lines))
    except OSError as error:
        log.error("%s cannot be written (%s); alerts are in this log only", file, error.strerror)


def post(url: str, alerts: Sequence[Alert]) -> bool:
    """Send alerts as one message that Slack and others understand; whether it arrived.

    Tries again what can pass: no connection, too many requests, an error of the server.
    """
    body = json.dumps({"text": _message(alerts)}).encode()
    why = ""
    for pause in (*_PAUSES, None):
        why, can_pass = _send(url, body)
        if not why:
            return True
        if not can_pass or pause is None:
            break
        time.sleep(pause)
    log.error(
        "The webhook did not take %d alerts: %s. They are kept and sent later", len(alerts), why
    )
    return False


def _send(url: str, body: bytes) -> tuple[str, bool]:
    """Why it was not taken, empty if it was, and whether that can pass."""
    if not url.lower().startswith(("https://", "http://")):
        return "ALERT_WEBHOOK_URL is no http address", False
    try:
        request = Request(url, data=body, headers={"Content-Type": "application/json"})
        with build_opener(_NoRedirect).open(request, timeout=_TIMEOUT_SECONDS):
            return "", False
    except HTTPError as error:
        error.close()
        why = f"it answers {error.code}; check ALERT_WEBHOOK_URL"
        return why, error.code == 429 or error.code >= 500
    except (URLError, HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        cause = reason if isinstance(reason, Exception) else error
        return f"it cannot be reached ({type(cause).__name__})", not isinstance(error, ValueError)


class _NoRedirect(HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without its body, and look as if it were taken."""

    def redirect_request(self, *_args, **_more) -> None:
        return None


def _message(alerts: Sequence[Alert]) -> str:
    shown = [_as_text(alert) for alert in alerts[:_MOST_IN_ONE_POST]]
    if len(alerts) > len(shown):
        shown.append(f"... and {len(alerts) - len(shown)} more; alerts.jsonl has them all.")
    return "\n\n".join(shown)


def _as_text(alert: Alert) -> str:
    times = f" ({alert.times} times)" if alert.times > 1 else ""
    lines = [f"*{alert.status}: {_plain(alert.title)}*{times}"]
    if alert.status != "resolved":
        lines += [_plain(alert.what[:_MOST_TEXT]), f"To do: {_plain(alert.to_do)}"]
    return "\n".join([*lines, f"<{alert.link}|Open>, first seen {alert.first_seen}"])


def _plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
