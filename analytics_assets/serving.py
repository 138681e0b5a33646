"""`run`: UI, daemon and dashboard at once, and behind them a process that builds what is behind.

Belongs here: starting these processes in order, and ending all that they started.
Does not belong here: what is built (``building.py``).
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from analytics_assets import environment, home, interrupts, running_code, settings
from analytics_assets.core.source import SourceError

HOST = "127.0.0.1"
_Process = subprocess.Popen[bytes]
_DEFINITIONS, _CODE = "analytics_assets.definitions", "code"
# Where webserver and daemon find the code; they know its jobs and schedules by the location's name.
_WORKSPACE = "load_from: [grpc_server: {{socket: '{}', location_name: analytics_assets}}]\n"
_LOADED = b'{"query": "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"}'
_PR_SET_PDEATHSIG = 1
_STOPS_WITHIN, _LEAVES_WITHIN = 20.0, 5.0


def run() -> int:
    """Serve until interrupted, which gives 0; 1 if it could not go on."""
    config = settings.load()
    home.take(config)
    with home.serving(config):
        port = _free_port()
        running_code.note_served(config, running_code.on_disk())
        interrupts.heed()
        with suppress(KeyboardInterrupt), ExitStack() as started:
            _serve(started, config, port)
            return 1
    return 0


def answers(url: str) -> bool:
    """Whether the UI is there, and has what is declared."""
    asked = urllib.request.Request(f"{url}/graphql", _LOADED, {"Content-Type": "application/json"})
    with suppress(OSError, ValueError), urllib.request.urlopen(asked, timeout=2) as answer:
        return bool(json.load(answer)["data"]["repositoriesOrError"].get("nodes"))
    return False


def _free_port() -> int:
    """The port of ``ANALYTICS_PORT``; ``SourceError`` where nothing can listen on it."""
    named = os.environ.get("ANALYTICS_PORT") or "3000"
    if not named.isdecimal() or not 0 < int(named) < 65536:
        raise SourceError(f"{named!r} is no port", "ANALYTICS_PORT", "Give a number below 65536.")
    with socket.socket() as probe:
        # As the webserver does: connections that are being closed keep nobody out.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, int(named)))
        except OSError as error:
            raise SourceError(
                f"the UI cannot listen there ({error.strerror})",
                f"{HOST}:{named}",
                "Stop what uses the port, or set ANALYTICS_PORT to another.",
            ) from error
    return int(named)


def _serve(started: ExitStack, config: settings.Settings, port: int) -> None:
    url = f"http://{HOST}:{port}"
    print(f"Starting the UI on {url} (Ctrl-C to stop) ...", flush=True)

    def start(*command: str, folder: Path | None = None, output: int | None = None) -> _Process:
        return started.enter_context(_process(command, folder or Path.cwd(), output))

    builder = start("analytics_assets", "materialize", "--behind", url)
    environment.prepare()
    # The daemon would ask for the same as soon as it is there.
    while builder.poll() is None and not home.is_built(config):
        time.sleep(0.02)
    # What `dagster dev` starts one after the other: that takes twice as long.
    place = Path(started.enter_context(tempfile.TemporaryDirectory()))
    (place / "workspace.yaml").write_text(_WORKSPACE.format(place / _CODE))
    where, quiet = ["-w", str(place / "workspace.yaml")], ["--log-level", "warning"]
    code = ["dagster", "code-server", "start", "--socket", str(place / _CODE), "-m", _DEFINITIONS]
    ui = ["dagster_webserver", "-h", HOST, "-p", str(port), *where, "--dagster-log-level=warning"]
    daemon = ["dagster._daemon", "run", *where, *quiet]
    serving = [start(*command, folder=config.dagster_home) for command in ([*code, *quiet], ui)]
    # All end at the same time.
    started.callback(builder.terminate)
    while not answers(url):
        if builder.poll():  # declarations are wrong, as it has said
            return
        if any(one.poll() is not None for one in serving):
            break
        time.sleep(0.1)
    else:
        print(f"Serving {url}; what is behind is built meanwhile.", flush=True)
        serving.append(start(*daemon, folder=config.dagster_home))
        if find_spec("plotly"):
            # It says itself where it is, or why it is not; a line a request would bury what runs
            # say.
            start("analytics_assets", "dashboard", output=subprocess.DEVNULL)
        while all(one.poll() is None for one in serving):
            time.sleep(0.2)
    print("The UI ended by itself; start it again.", file=sys.stderr)


@contextmanager
def _process(command: Sequence[str], folder: Path, output: int | None) -> Iterator[_Process]:
    """A module of Python that runs, and at the end none of all that it started.

    It ends with this process, even if that is killed, and leads a group of its own: Dagster's code
    servers outlive a Dagster that is stopped.
    """
    # The webserver would say that it is there before the code is.
    told = {**os.environ, "PYTHONWARNINGS": "ignore:Error loading"}
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=told,
        stdout=output,
        start_new_session=True,
        preexec_fn=_end_with_parent,
    )
    try:
        yield process
    finally:
        # Whoever is told twice to stop does not wait.
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.terminate()
            process.wait(_STOPS_WITHIN)
            _signal(process.pid, signal.SIGTERM)
            _wait_for_group(process.pid)
        _signal(process.pid, signal.SIGKILL)
        process.wait()


def _end_with_parent() -> None:
    """Of what a killed `run` left behind, the next one would find its port in use."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait_for_group(group: int) -> None:
    end = time.monotonic() + _LEAVES_WITHIN
    while _signal(group, 0) and time.monotonic() < end:
        time.sleep(0.05)


def _signal(group: int, number: int) -> bool:
    """Whether anybody of the group was there to get it."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True
