"""A network between a worker and the store that is slow, loses connections and answers with errors.

Belongs here: passing requests on, and what goes wrong with them. Does not belong here: what a
worker is to do about it.
"""

from __future__ import annotations

import http.client
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_ERRORS = {"403": "ExpiredToken", "500": "InternalError", "503": "SlowDown"}
_HOP = {"transfer-encoding", "connection", "content-length"}


class Network(ThreadingHTTPServer):
    """Passes requests on to ``target`` (host:port); a share of them goes wrong.

    ``faults``: kind -> its share. ``slow`` answers late; ``403``, ``500`` and ``503`` pass nothing
    on; ``lost`` passes it on and cuts the connection before the answer, ``cut`` within its body.
    """

    daemon_threads = True

    def __init__(self, target: str, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.target = target
        self.faults: dict[str, float] = {}
        self.done = Counter[str]()
        self._draw = random.Random(seed)
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def fate(self) -> str:
        """What becomes of the next request."""
        with self._lock:
            place = self._draw.random()
            for kind, share in self.faults.items():
                place -= share
                if place < 0:
                    self.done[kind] += 1
                    return kind
            self.done["passed"] += 1
            return ""

    def handle_error(self, *_: object) -> None:
        """Connections that were cut are what it is for."""


class _Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Network

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        fate = self.server.fate()
        if fate in _ERRORS:
            self._answer(int(fate), [], f"<Error><Code>{_ERRORS[fate]}</Code></Error>".encode())
            return
        if fate == "slow":
            time.sleep(0.5)
        upstream = http.client.HTTPConnection(self.server.target, timeout=60)
        upstream.request(self.command, self.path, body, dict(self.headers))
        answer = upstream.getresponse()
        data = answer.read()
        upstream.close()
        if fate == "lost":
            self._hang_up()
            return
        self._answer(answer.status, answer.getheaders(), data, cut=fate == "cut")

    def _answer(
        self, status: int, headers: list[tuple[str, str]], data: bytes, cut: bool = False
    ) -> None:
        self.send_response(status)
        length = str(len(data))
        for name, value in headers:
            if name.lower() not in _HOP:
                self.send_header(name, value)
            elif name.lower() == "content-length":
                length = value  # of a HEAD it is of what is not sent
        self.send_header("content-length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self._hang_up()

    def _hang_up(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def network(target: str, seed: int) -> Iterator[Network]:
    """One that passes on until the block ends."""
    with Network(target, seed) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
