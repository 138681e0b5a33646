"""Behind proxies: who is answered, whom the limits count, where a redirect leads."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_assets.api.app import create_app
from analytics_assets.api.proxies import beside
from analytics_assets.api.settings import ApiSettings, ApiSettingsError
from analytics_assets.domains.clinic.api import router as clinic
from analytics_assets_tests.api.conftest import Production, served
from analytics_assets_tests.api.filled import TABLES
from analytics_assets_tests.cases import case

KEY = "k" * 20
NGINX = shutil.which("nginx")
CLINIC = [table for table in TABLES if table.domain == "clinic"]
TRUSTING = ApiSettings(keys=(KEY,), trusted_proxies=("127.0.0.0/8",), health_per_minute=3)
_CONFIG = """
daemon off; pid {folder}/pid; error_log {folder}/errors; worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    proxy_request_buffering off;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass {upstream};
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto https;
        }}
        location /under/ {{
            proxy_pass {upstream}/;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
        location /bare/ {{ proxy_pass {upstream}/; }}
    }}
}}
"""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def running(command: list[str], port: int) -> Iterator[str]:
    """A server in a process of its own, once it accepts connections."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            assert process.poll() is None, "it ended at once"
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def proxied(reader: str, api_settings: ApiSettings, folder: Path) -> Iterator[httpx.Client]:
    """The API behind nginx."""
    if NGINX is None:
        pytest.skip("nginx is not installed (Debian: nginx-light)")
    app, port = create_app(CLINIC, (clinic,), reader, api_settings), free_port()
    with served(app, api_settings) as upstream:
        (folder / "nginx.conf").write_text(
            _CONFIG.format(folder=folder, port=port, upstream=upstream)
        )
        command = [NGINX, "-p", str(folder), "-e", f"{folder}/errors", "-c", f"{folder}/nginx.conf"]
        with running(command, port) as url, httpx.Client(base_url=url, timeout=30) as client:
            yield client


NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


@pytest.mark.parametrize("trusting", [False, True])
def test_without_keys_nobody_is_answered_through_nginx(tmp_path: Path, trusting: bool) -> None:
    """Trusted or not, told to name its clients or not; the client's own word says nothing."""
    proxies = ("127.0.0.1",) if trusting else ()
    settings = ApiSettings(trusted_proxies=proxies)
    with proxied(NOWHERE, settings, tmp_path) as client:
        elsewhere = {"X-Forwarded-For": "203.0.113.9", "Host": "127.0.0.1"}
        for headers in (elsewhere, {**elsewhere, "X-Forwarded-For": "127.0.0.1, 203.0.113.9"}):
            assert client.get("/api/v1/tables", headers=headers).status_code == 403
        bare = client.get("/bare/api/v1/tables")
        assert bare.status_code == 403
        assert "A proxy passed this on" in bare.json()["error"]
        # Of this machine, as a trusted proxy says.
        assert client.get("/api/v1/tables").status_code == (200 if trusting else 403)


def test_scheme_prefix_limits_and_timeouts_behind_nginx(
    production: Production, tmp_path: Path
) -> None:
    hasty = ApiSettings(
        keys=(KEY,), trusted_proxies=("127.0.0.1",), health_per_minute=3, body_timeout=0.3,
        client_connections=2,
    )  # fmt: skip
    keyed = {"X-API-Key": KEY}
    with proxied(production.reader, hasty, tmp_path) as client:
        for prefix in ("", "/under"):
            asked = client.get(f"{prefix}/api/v1/appointments?limit=1", headers=keyed)
            assert asked.status_code == 307
            assert asked.headers["location"] == "./appointments/?limit=1"
            assert urljoin("https://api.example.org/x/appointments", asked.headers["location"]) == (
                "https://api.example.org/x/appointments/?limit=1"
            )
            found = client.get(str(asked.url), headers=keyed, follow_redirects=True)
            assert found.json()["limit"] == 1
        # Each client of the proxy has its own three requests.
        for address in ("203.0.113.1", "203.0.113.2"):
            named = {"X-Forwarded-For": address}
            statuses = [client.get("/healthz", headers=named).status_code for _ in range(4)]
            assert statuses == [200, 200, 200, 429]

        def slow() -> Iterator[bytes]:
            yield b"{"
            time.sleep(1)
            yield b"}"

        assert client.post("/docs", content=slow()).status_code in (405, 408)


def statuses(settings: ApiSettings, *asked: tuple[str, str, dict[str, str]]) -> list[int]:
    """Of requests from these addresses: method and path, headers."""
    import asyncio

    app = create_app((), (), NOWHERE, settings)

    async def all_of() -> list[int]:
        found = []
        for address, path, headers in asked:
            transport = httpx.ASGITransport(app, client=(address, 5))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as one:
                found.append((await one.get(path, headers=headers)).status_code)
        return found

    return asyncio.run(all_of())


@pytest.mark.parametrize(
    "name",
    ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Proto", "X-Forwarded-Host", "Via"],
)
def test_any_sign_of_a_proxy_is_refused_without_keys(name: str) -> None:
    for value in ("203.0.113.9", "127.0.0.1", "for=127.0.0.1", ""):
        asked = ("127.0.0.1", "/api/v1/tables", {name: value})
        assert statuses(ApiSettings(), asked) == [403]
    assert statuses(ApiSettings(), ("127.0.0.1", "/api/v1/tables", {})) == [200]


def test_only_a_trusted_proxy_names_its_client() -> None:
    local, other = {"X-Forwarded-For": "127.0.0.1"}, {"X-Forwarded-For": "203.0.113.9"}
    path = "/api/v1/tables"
    trusting = ApiSettings(trusted_proxies=("127.0.0.1",))
    found = statuses(
        trusting,
        ("127.0.0.1", path, local),
        ("127.0.0.1", path, other),
        ("127.0.0.2", path, local),  # not trusted
        ("127.0.0.1", path, {"X-Real-IP": "127.0.0.1"}),  # names nobody
    )
    assert found == [200, 403, 403, 403]


def test_health_is_counted_by_client_and_not_by_what_a_client_says() -> None:
    one, two = {"X-Forwarded-For": "203.0.113.1"}, {"X-Forwarded-For": "203.0.113.2"}
    asked = [("127.0.0.1", "/healthz", headers) for headers in (one, one, one, one, two)]
    assert statuses(TRUSTING, *asked) == [200, 200, 200, 429, 200]
    untrusted = [("192.0.2.1", "/healthz", {"X-Forwarded-For": f"203.0.113.{n}"}) for n in range(4)]
    assert statuses(TRUSTING, *untrusted) == [200, 200, 200, 429]


@pytest.mark.parametrize("address", ["*", "proxy.example", "10.0.0.0/33", "10.0.0.1/8"])
def test_a_proxy_is_an_address_or_a_network(address: str) -> None:
    with pytest.raises(ApiSettingsError, match="API_TRUSTED_PROXIES"):
        ApiSettings(trusted_proxies=(address,))


_SEGMENT = st.text("abc:.@%20-~", min_size=1, max_size=6).filter(lambda s: s.strip("."))


@given(st.lists(_SEGMENT, min_size=1, max_size=4), st.booleans(), st.sampled_from(["", "?a=/b&c"]))
def test_a_redirect_leads_to_the_same_place_from_any_address(
    segments: list[str], slash: bool, query: str
) -> None:
    path = "/" + "/".join(segments)
    asked, meant = (path, path + "/") if slash else (path + "/", path)
    ((_, location),) = beside([(b"location", f"http://inner:1{meant}{query}".encode())])
    outside = "https://api.example.org/prefix"
    assert urljoin(outside + asked, location.decode()) == outside + meant + query


def test_the_requests_of_the_case(production: Production) -> None:
    """As they were sent when everybody was answered: without keys, with keys, HEAD."""
    script = (case("other/23_api_behind_proxy") / "requests.sh").read_text().splitlines()
    told = []
    for asked, keys in zip(script, ((), (KEY,), ()), strict=True):
        limits = ApiSettings(keys=keys, trusted_proxies=("127.0.0.1",) if keys else ())
        with served(create_app(CLINIC, (clinic,), production.reader, limits), limits) as url:
            command = asked.replace("http://127.0.0.1:8000", url).replace("<key>", KEY)
            told.append(subprocess.check_output(["bash", "-c", command], text=True).strip())
    refused, redirected, head = told
    assert [refused, redirected] == ["403", "location: ./appointments/?limit=1"]
    assert head.startswith("HTTP/1.1 200")
