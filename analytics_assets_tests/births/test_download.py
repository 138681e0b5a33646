"""Downloads: whole or not at all, again where it can help, from real servers on this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

from analytics_assets.core.source import SourceError
from analytics_assets.domains.births.columns import STATES
from analytics_assets.domains.births.download import download, download_year
from analytics_assets.domains.births.landing import scan

CONTENT = b"DTNASC;PESO\n03022024;3215\n" * 2000
NOW = (0.0, 0.0, 0.0)
Answer = Callable[[BaseHTTPRequestHandler], None]


def whole(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(CONTENT)))
    handler.end_headers()
    handler.wfile.write(CONTENT)


def cut_off(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(CONTENT)))
    handler.end_headers()
    handler.wfile.write(CONTENT[:20_000])
    handler.close_connection = True


def hung_up(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.close()


def error(code: int) -> Answer:
    return lambda handler: handler.send_error(code)


class WebServer:
    """Gives the answers of ``script`` one after another, the last for ever."""

    def __init__(self) -> None:
        self.script: list[Answer] = [whole]
        self.asked: list[str] = []
        self.during: Callable[[], None] = lambda: None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                outer.during()
                answer = outer.script[min(len(outer.asked), len(outer.script)) - 1]
                answer(self)

            def log_message(self, *args: object) -> None:
                """Silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def web() -> Iterator[WebServer]:
    web = WebServer()
    thread = threading.Thread(target=web.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield web
    web.server.shutdown()
    thread.join()
    web.server.server_close()


class Failing(FTPHandler):
    """Fails the next ``failures`` transfers: breaks them off, or sends less than it announced."""

    failures = 0
    announced = 0

    def ftp_SIZE(self, path: str) -> None:
        if self.announced and Failing.failures:
            Failing.failures -= 1
            self.respond(f"213 {self.announced}")
            return
        super().ftp_SIZE(path)

    def ftp_RETR(self, file: str) -> str | None:
        if Failing.failures and not self.announced:
            Failing.failures -= 1
            self._shutdown_connecting_dtp()
            self.respond("426 connection closed; transfer aborted")
            return None
        return super().ftp_RETR(file)


@pytest.fixture
def ftp(tmp_path: Path) -> Iterator[str]:
    """A server of the folder ``pub``."""
    (tmp_path / "pub").mkdir()
    authorizer = DummyAuthorizer()
    authorizer.add_anonymous(str(tmp_path / "pub"))

    Failing.authorizer = authorizer
    Failing.failures = Failing.announced = 0
    server = FTPServer(("127.0.0.1", 0), Failing)
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            server.serve_forever(timeout=0.02, blocking=False)

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"ftp://127.0.0.1:{server.address[1]}"
    stop.set()
    thread.join()
    server.close_all()


def names(folder: Path) -> list[str]:
    """All names in a folder, hidden ones, too."""
    return sorted(path.name for path in folder.iterdir())


def test_one_file_a_state(web: WebServer, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    found = download(2024, ["AC", "RO"], f"{web.url}/sinasc/DN{{state}}{{year}}.dbc", landing)
    assert web.asked == ["/sinasc/DNAC2024.dbc", "/sinasc/DNRO2024.dbc"]
    assert found == [landing / "DNAC2024.dbc", landing / "DNRO2024.dbc"]
    assert [path.read_bytes() for path in found] == [CONTENT, CONTENT]
    assert names(landing) == ["DNAC2024.dbc", "DNRO2024.dbc"]
    assert len(scan(landing).files["2024"]) == 2


def test_one_national_file(web: WebServer, tmp_path: Path) -> None:
    (path,) = download(2024, ["AC", "RO"], f"{web.url}/SINASC_{{year}}.csv", tmp_path)
    assert path.name == "SINASC_2024.csv"
    assert len(web.asked) == 1


def test_nothing_shows_before_it_is_complete(web: WebServer, tmp_path: Path) -> None:
    seen = []

    def slowly(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(CONTENT)))
        handler.end_headers()
        handler.wfile.write(CONTENT[:30_000])
        handler.wfile.flush()
        until = time.monotonic() + 10
        while not names(tmp_path) and time.monotonic() < until:
            time.sleep(0.005)
        seen.append((scan(tmp_path), names(tmp_path)))
        handler.wfile.write(CONTENT[30_000:])

    web.script = [slowly]
    download(2024, ["AC"], f"{web.url}/DN{{state}}{{year}}.dbc", tmp_path)
    ((folder, present),) = seen
    assert len(present) == 1
    assert not folder.files
    assert not folder.refused


def test_503_that_recovers(web: WebServer, tmp_path: Path) -> None:
    web.script = [error(503), error(500), whole]
    (path,) = download(2024, [], f"{web.url}/SINASC_{{year}}.csv", tmp_path, NOW)
    assert path.read_bytes() == CONTENT
    assert len(web.asked) == 3


def test_cut_off_transfer_that_recovers(web: WebServer, tmp_path: Path) -> None:
    web.script = [cut_off, hung_up, whole]
    (path,) = download(2024, [], f"{web.url}/SINASC_{{year}}.csv", tmp_path, NOW)
    assert path.read_bytes() == CONTENT
    assert len(web.asked) == 3


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (cut_off, r"cut off: 20,000 of 52,000 bytes came"),
        (error(503), r"HTTP Error 503"),
        (hung_up, r"closed|reset"),
    ],
)
def test_what_does_not_recover_leaves_the_file_as_it_was(
    web: WebServer, tmp_path: Path, answer: Answer, said: str
) -> None:
    (tmp_path / "SINASC_2024.csv").write_bytes(b"older")
    web.script = [answer]
    with pytest.raises(SourceError, match=rf"{web.url}/SINASC_2024.csv: it cannot be .*({said})"):
        download(2024, [], f"{web.url}/SINASC_{{year}}.csv", tmp_path, NOW)
    assert len(web.asked) == 1 + len(NOW)
    assert names(tmp_path) == ["SINASC_2024.csv"]
    assert (tmp_path / "SINASC_2024.csv").read_bytes() == b"older"


@pytest.mark.parametrize("code", [403, 404])
def test_what_cannot_pass_is_tried_once(web: WebServer, tmp_path: Path, code: int) -> None:
    web.script = [error(code)]
    with pytest.raises(SourceError) as raised:
        download(2024, ["AC"], f"{web.url}/DN{{state}}{{year}}.dbc", tmp_path, NOW)
    assert str(raised.value).startswith(f"{web.url}/DNAC2024.dbc: ")
    assert ("no such file on the server" in str(raised.value)) == (code == 404)
    assert len(web.asked) == 1
    assert names(tmp_path) == []


def test_it_waits_longer_before_each_try(
    web: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    web.script = [error(503), error(503), error(503), whole]
    download(2024, [], f"{web.url}/SINASC_{{year}}.csv", tmp_path)
    assert len(waited) == 3
    assert waited == sorted(set(waited))
    assert waited[0] > 0


def test_file_that_has_not_changed_is_left_alone(web: WebServer, tmp_path: Path) -> None:
    """Its time of change is part of what the warehouse knows it by."""
    (path,) = download(2024, [], f"{web.url}/SINASC_{{year}}.csv", tmp_path)
    before = path.stat()
    download(2024, [], f"{web.url}/SINASC_{{year}}.csv", tmp_path)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    path.write_bytes(b"older")
    download(2024, [], f"{web.url}/SINASC_{{year}}.csv", tmp_path)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "template", ["file:///etc/SINASC_{year}.csv", "http://127.0.0.1/births.csv", "/SINASC_{year}"]
)
def test_template_that_names_no_file_to_land(tmp_path: Path, template: str) -> None:
    with pytest.raises(SourceError, match="Set SINASC_DOWNLOAD_URL to such as"):
        download(2024, ["AC"], template, tmp_path, NOW)


def test_off_unless_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SINASC_DOWNLOAD_URL", raising=False)
    with pytest.raises(SourceError, match=r"SINASC_DOWNLOAD_URL: downloading is off\. Set it"):
        download_year(2024)


def test_a_year_of_all_states(
    web: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SINASC_DOWNLOAD_URL", f"{web.url}/DN{{state}}{{year}}.dbc")
    monkeypatch.setenv("SINASC_SOURCE", str(tmp_path / "landing"))
    found = download_year(2024)
    assert {path.name[2:4] for path in found} == STATES.keys()
    assert names(tmp_path / "landing") == sorted(path.name for path in found)


def test_ftp(ftp: str, tmp_path: Path) -> None:
    (tmp_path / "pub" / "DNAC2024.dbc").write_bytes(CONTENT)
    (path,) = download(2024, ["AC"], f"{ftp}/DN{{state}}{{year}}.dbc", tmp_path / "landing")
    assert path.read_bytes() == CONTENT
    assert names(tmp_path / "landing") == ["DNAC2024.dbc"]


@pytest.mark.parametrize(
    ("announced", "said"),
    [(0, r"426 connection closed"), (60_000, r"cut off: 52,000 of 60,000 bytes")],
)
def test_ftp_transfer_that_fails(ftp: str, tmp_path: Path, announced: int, said: str) -> None:
    (tmp_path / "pub" / "DNAC2024.dbc").write_bytes(CONTENT)
    landing = tmp_path / "landing"
    Failing.failures, Failing.announced = 99, announced
    with pytest.raises(SourceError, match=rf"DNAC2024\.dbc: it cannot be fetched \({said}"):
        download(2024, ["AC"], f"{ftp}/DN{{state}}{{year}}.dbc", landing, NOW)
    assert names(landing) == []
    Failing.failures = 2
    (path,) = download(2024, ["AC"], f"{ftp}/DN{{state}}{{year}}.dbc", landing, NOW)
    assert path.read_bytes() == CONTENT


def test_ftp_file_that_is_not_there(ftp: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=rf"{ftp}/DNAC2024\.dbc: there is no such file on the"):
        download(2024, ["AC"], f"{ftp}/DN{{state}}{{year}}.dbc", tmp_path / "landing", NOW)


def test_server_that_is_down(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"SINASC_2024\.csv: it cannot be fetched .*refused"):
        download(2024, [], "http://127.0.0.1:9/SINASC_{year}.csv", tmp_path, NOW)
