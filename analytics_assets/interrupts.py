"""Signals that end a command in an orderly way: runs are ended and servers stopped.

Belongs here: heeding them, also where a library swallows the exception that they raise.
Does not belong here: what is to be ended.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# Python writes the number of each signal into one end, whoever handles it.
_READ, _WRITE = socket.socketpair()
_READ.setblocking(False)
_WRITE.setblocking(False)
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def heed() -> None:
    """SIGINT, SIGTERM and SIGHUP raise ``KeyboardInterrupt``.

    In its background a shell makes a command ignore SIGINT, and Dagster treats SIGTERM as SIGINT.
    """
    signal.set_wakeup_fd(_WRITE.fileno(), warn_on_full_buffer=False)
    for number in _ENDS:
        # What nohup started goes on without its terminal.
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def check() -> None:
    """Raise what a signal that was heeded should have raised.

    DuckDB turns it into an error of its query, and Dagster into a run that failed.
    """
    with suppress(BlockingIOError):
        if set(_READ.recv(4096)).intersection(_ENDS):
            raise KeyboardInterrupt


@contextmanager
def heeded() -> Iterator[None]:
    """Whatever ends the block is ``KeyboardInterrupt`` where a signal was heeded in it."""
    try:
        yield
    except BaseException:  # Dagster's own word for it is no Exception
        check()
        raise
