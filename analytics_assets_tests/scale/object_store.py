"""An S3 server as a process of its own, and what a process has to know of it.

Belongs here: starting and stopping it. Does not belong here: what is kept in it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

import fsspec

BUCKET = "lake"
_STARTS_WITHIN = 60.0


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody does."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextmanager
def server_on(
    port: int, command: list[str], log: int | IO[bytes] = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that listens on a port of loopback; stopped at the end."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
    try:
        end = time.monotonic() + _STARTS_WITHIN
        while not listens(port):
            assert process.poll() is None, f"{command} ended"
            assert time.monotonic() < end, f"{command} does not listen"
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def object_store(log: int | IO[bytes] = subprocess.DEVNULL) -> Iterator[dict[str, str]]:
    """The environment of a process that may use it; it has the bucket ``BUCKET``. ``log`` gets a
    line for each request."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with server_on(port, command, log):
        given = {
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "a-secret-of-tests",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        }
        before = {name: os.environ.get(name) for name in given}
        os.environ.update(given)
        try:
            fsspec.filesystem("s3", skip_instance_cache=True).mkdir(BUCKET)
            yield given
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
