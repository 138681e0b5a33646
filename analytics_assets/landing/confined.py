"""Native readers of files that others made, in a child process within limits.

Belongs here: starting the child, its limits, and what is said of one that breaks them or dies.
Does not belong here: the readers (``unpacking.py`` and those of the domains).

A reader that asks for 549 GB aborts its process, and one that meets nonsense may crash it: in the
child that refuses one file. The child knows no password, as its environment is empty, and what it
hands back is JSON, CSV or Parquet, none of which can carry code.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from analytics_assets import settings
from analytics_assets.core.source import SourceError, SourceHindered

MB = 1_000_000
# Trouble of this machine, not of a file.
NOT_THE_FILE = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
# Libraries take address space for each thread and for pools that they may never fill.
_LEAN = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


def confined(work: Callable[..., Any], path: Path, *targets: Path) -> Any:
    """What ``work(path, *targets)`` returns, which has to be JSON, from a child process.

    ``work``: a function of a module that is quick to import. Raises ``SourceError``
    naming ``path`` for whatever it raises, and where it needs more than the limits; ``OSError`` for
    trouble of this machine.
    """
    limits = settings.load()
    order = {
        "work": [work.__module__, work.__qualname__],
        "paths": [str(one.absolute()) for one in (path, *targets)],
        "limits": [
            [resource.RLIMIT_AS, int(limits.landing_reader_mb * MB)],
            [resource.RLIMIT_CPU, int(limits.landing_reader_seconds) + 1],
            [resource.RLIMIT_FSIZE, int(limits.landing_unpacked_mb * MB)],
            [resource.RLIMIT_CORE, 0],
        ],
    }
    places = os.pathsep.join(os.path.abspath(place) for place in sys.path)
    with tempfile.TemporaryFile() as answer:
        try:
            status = subprocess.run(
                [sys.executable, "-m", __name__, json.dumps(order)],
                stdin=subprocess.DEVNULL,
                stdout=answer,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={**_LEAN, "PYTHONPATH": places, "PYTHONUTF8": "1"},
                timeout=limits.landing_reader_seconds,
            ).returncode
        except subprocess.TimeoutExpired:
            status = -signal.SIGXCPU
        answer.seek(0)
        said = answer.read()
    if status == 0:
        return json.loads(said)
    if status in (_REFUSED, _HINDERED):
        raise (SourceError if status == _REFUSED else SourceHindered)(*json.loads(said))
    if status == _FAILED:
        raise OSError(*json.loads(said))
    raise _broken(path, status)


def beyond(path: Path, what: str, variable: str) -> SourceHindered:
    """What is said of a file that is beyond a limit, which the setting ``variable`` is."""
    return SourceHindered(what, str(path), f"If it is what it should be, set {variable} higher")


def too_large(path: Path) -> SourceError:
    most = f"{settings.load().landing_unpacked_mb:,.0f} MB"
    return beyond(path, f"it unpacks to more than {most}", "LANDING_UNPACKED_MB")


def _broken(path: Path, status: int) -> SourceError:
    limits = settings.load()
    if status == -signal.SIGXFSZ:
        return too_large(path)
    if status == -signal.SIGXCPU:
        most = f"{limits.landing_reader_seconds:,.0f} seconds"
        return beyond(path, f"reading it takes more than {most}", "LANDING_READER_SECONDS")
    # A reader that is refused memory may end in any way.
    most = f"{limits.landing_reader_mb:,.0f} MB of memory"
    return beyond(
        path, f"reading it takes more than {most}, or breaks its reader", "LANDING_READER_MB"
    )


# ---- in the child -------------------------------------------------------------------------------

_REFUSED, _FAILED, _NO_MEMORY, _HINDERED = 65, 66, 67, 68


def _work(order: dict[str, Any]) -> int:
    """Do it within its limits; the status to end with."""
    for what, most in order["limits"]:
        # A lower limit of the machine holds; macOS has none of address space.
        with suppress(ValueError):
            resource.setrlimit(what, (most, most))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    module, name = order["work"]
    paths = [Path(one) for one in order["paths"]]
    status: int = 0
    answer: Any
    try:
        answer = getattr(importlib.import_module(module), name)(*paths)
    except SourceError as error:
        status, answer = _HINDERED if error.passes else _REFUSED, error.parts
    except MemoryError:
        status, answer = _NO_MEMORY, None
    except OSError as error:
        status, answer = _failed(error, paths[0])
    except ModuleNotFoundError as error:
        answer = f"it cannot be read here ({error})", str(paths[0]), "Install that package"
        status = _HINDERED
    json.dump(answer, sys.stdout)
    return status


def _failed(error: OSError, path: Path) -> tuple[int, Any]:
    said = error.strerror or type(error).__name__
    if error.errno == errno.ENOMEM:
        return _NO_MEMORY, None
    if error.errno in NOT_THE_FILE:
        return _FAILED, (error.errno, said)
    to_do = "Give the user that runs this the right to read it, or fetch it again"
    return _HINDERED, (f"it cannot be read ({said})", str(path), to_do)


if __name__ == "__main__":
    sys.exit(_work(json.loads(sys.argv[1])))
