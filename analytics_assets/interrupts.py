"""Signals that end a command in an orderly way: runs are ended and servers stopped.

Belongs here: heeding them, also where a library swallows the exception that they raise.
Does not belong here: what is to be ended.
"""

from __future__ import annotations

import select
import signal
import socket

_READ, _WRITE = socket.socketpair()


def heed() -> None:
    """SIGINT, SIGTERM and SIGHUP raise ``KeyboardInterrupt``.

    In its background a shell makes a command ignore SIGINT, and Dagster treats SIGTERM as SIGINT.
    """
    _WRITE.setblocking(False)
    signal.set_wakeup_fd(_WRITE.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    # What nohup started goes on without its terminal.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.default_int_handler)


def check() -> None:
    """Raise what a signal that was heeded should have raised.

    DuckDB turns it into an error of its query, and Dagster into a run that failed.
    """
    if select.select([_READ], [], [], 0)[0]:
        raise KeyboardInterrupt
