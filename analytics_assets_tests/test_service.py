"""The files with which systemd and nginx serve an installation, as systemd and nginx read them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from analytics_assets import cli, registry, service
from analytics_assets_tests.api.test_proxies import free_port, running

NGINX, ANALYZE, OPENSSL = map(shutil.which, ("nginx", "systemd-analyze", "openssl"))
_MAIN = """
daemon off; pid {folder}/pid; worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    include {folder}/nginx.conf;
}}
"""


@contextmanager
def echoing() -> Iterator[int]:
    """A server that answers with the headers that it was sent."""

    class Echo(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = "".join(f"{name.lower()}: {text}\n" for name, text in self.headers.items())
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"{self.server.server_port} {self.path}\n{body}".encode())

        def log_message(self, *_: object) -> None:
            """Prints nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture
def site() -> Iterator[Path]:
    """A folder that a worker of root's nginx, which runs as nobody, comes to."""
    with tempfile.TemporaryDirectory(prefix="site", dir="/tmp") as folder:
        yield Path(folder)


def test_nobody_comes_to_ui_dashboard_or_api_without_a_login(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shipped site in a real nginx."""
    if not (NGINX and OPENSSL):
        pytest.skip("nginx or openssl is not installed")
    port = free_port()
    with echoing() as ui, echoing() as api, echoing() as dashboard:
        monkeypatch.setenv("ANALYTICS_PORT", str(ui))
        monkeypatch.setenv("API_PORT", str(api))
        monkeypatch.setenv("DASHBOARD_PORT", str(dashboard))
        list(service.write(site, "analytics.test", "analytics", port))
        for command in (
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=analytics.test -keyout tls.key"
            " -out tls.crt",
            "passwd -6 -stdin",
        ):
            done = subprocess.run(
                [OPENSSL, *command.split()],
                cwd=site, capture_output=True, text=True, check=True, input="secret\n",
            )  # fmt: skip
        (site / "logins").write_text(f"ana:{done.stdout}")
        for name in ("logins", "tls.key"):
            (site / name).chmod(0o644)  # a worker of root's nginx runs as nobody
        (site / "main.conf").write_text(_MAIN.format(folder=site))
        command = [NGINX, "-p", str(site), "-e", f"{site}/errors"]
        with (
            running([*command, "-c", f"{site}/main.conf"], port),
            httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=False) as client,
        ):
            for path in ("/", "/graphql", "/api/v1/tables", "/metrics", "/docs", "/dashboard/"):
                assert client.get(path).status_code == 401, path
                assert client.get(path, auth=("ana", "wrong")).status_code == 401
            login = httpx.BasicAuth("ana", "secret")
            forged = {"X-Forwarded-For": "1.2.3.4", "X-API-Key": "mine", "Host": "analytics.test"}
            to_api = client.get("/api/v1/tables", auth=login, headers=forged).text
            to_pages = client.get("/dashboard/births?lang=pt", auth=login, headers=forged).text
            to_ui = client.get("/runs", auth=login, headers={**forged, "Upgrade": "websocket"}).text
    key = (site / "api-key.conf").read_text().split('"')[1]
    assert f"API_KEYS={key}\n" in (site / "settings.env").read_text()
    assert to_api.startswith(f"{api} /api/v1/tables\n")
    assert to_ui.startswith(f"{ui} /runs\n")
    assert to_pages.startswith(f"{dashboard} /births?lang=pt\n")
    assert f"\nx-api-key: {key}\n" in to_api
    assert f"\nx-api-key: {key}\n" in to_pages
    assert "connection: upgrade" in to_ui
    for told in (to_api, to_pages, to_ui):
        assert "\nx-forwarded-for: 127.0.0.1\n" in told
        assert "\nx-forwarded-proto: https\n" in told
        assert "host: analytics.test\n" in told
        assert "authorization" not in told
    assert key not in to_ui


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    if ANALYZE is None:
        pytest.skip("systemd-analyze is not installed")
    list(service.write(tmp_path, "analytics.test", "root"))
    units = sorted(map(str, tmp_path.glob("*.service")))
    assert len(units) == 2
    done = subprocess.run([ANALYZE, "verify", *units], capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (0, "")
    for unit in units:
        text = Path(unit).read_text()
        assert "{" not in text
        assert "UMask=0077\n" in text


def test_settings_that_are_there_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["service", str(tmp_path), "--host", "analytics.test"]
    assert cli.main(command) == 0
    names = {path.rpartition("/")[2] for path in capsys.readouterr().out.splitlines()}
    assert names == {path.name for path in tmp_path.iterdir()}
    settings = (tmp_path / "settings.env").read_text()
    assert (tmp_path / "settings.env").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "admin").stat().st_mode & 0o777 == 0o750
    assert cli.main(command) == 1
    assert "there are settings already" in capsys.readouterr().err
    assert (tmp_path / "settings.env").read_text() == settings


def test_the_page_names_the_files_that_hold_numbers_of_persons() -> None:
    """It is written here, from the declarations; a change is a failure once."""
    page = Path(service.__file__).parents[2] / "docs" / "service.md"
    begin, end = (
        f"<!-- written by analytics_assets_tests/{Path(__file__).name} -->\n",
        "<!-- end -->",
    )
    lines = ["| folder of the lake | columns |", "|---|---|"]
    for name in registry.found():
        for table in registry.domain(name).tables:
            personal = [column.name for column in table.all_columns if column.personal]
            if personal:
                lines.append(f"| `{table.key}` | {', '.join(personal)} |")
    before, _, rest = page.read_text().partition(begin)
    _, _, after = rest.partition(end)
    wanted = before + begin + "\n".join(lines) + f"\n{end}" + after
    changed = wanted != page.read_text()
    page.write_text(wanted)
    assert not changed, "docs/service.md was written anew: look at it and commit it"
