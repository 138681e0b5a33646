"""Starting, following and killing the runs of ``worker.py``."""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from multiprocessing.process import BaseProcess
from pathlib import Path

from analytics_assets_tests.faults import worker

# A server that has everything imported forks each run: starting Python anew takes 3 s.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([worker.__name__])
_VARIABLES = (
    "ANALYTICS_HOME", "ANALYTICS_LAKE", "TOY_SOURCE", "PRODUCTION_URL", "DAGSTER_PG_URL",
    "RESTORE_URL", "PROMOTION_GATE_PERCENT", "BACKUPS_KEPT",
)  # fmt: skip
_LONGEST = 120.0


@dataclass(frozen=True)
class Step:
    """A stretch of a run: its phase, when it began after the run's start, how long; in seconds."""

    phase: str
    began: float
    lasted: float


class Runs:
    """Runs one after another, each with a trace and a moment of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._process: BaseProcess | None = None

    def start(self, how: str) -> None:
        self._number += 1
        environment = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
        as_of = datetime(2024, 1, 1, tzinfo=timezone.utc) + timedelta(hours=self._number)
        arguments = (environment, how, as_of, self._trace)
        self._process = _CONTEXT.Process(target=worker.work, args=arguments)
        self._process.start()

    @property
    def _trace(self) -> Path:
        return self._folder / f"trace-{self._number}"

    def marks(self) -> list[tuple[str, float]]:
        """(phase, moment in seconds) of every step so far."""
        try:
            lines = self._trace.read_text().splitlines()
        except FileNotFoundError:
            return []
        return [(phase, int(moment) / 1e9) for phase, moment in map(str.split, lines)]

    def finish(self, how: str) -> list[Step]:
        """A run that nobody disturbs; it has to succeed."""
        self.start(how)
        assert self._process
        self._process.join(_LONGEST)
        assert self._process.exitcode == 0, f"the run after it failed in {self.marks()[-1:]}"
        marks = self.marks()
        return [
            Step(phase, moment - marks[0][1], following - moment)
            for (phase, moment), (_, following) in pairwise(marks)
        ]

    def kill_at(self, how: str, seconds: float) -> str:
        """Kill a run so long after its start; the phase it was in, ``end`` if it was faster."""
        return self._kill(how, lambda marks: marks[0][1] + seconds if marks else None)

    def kill_in(self, how: str, phase: str, occurrence: int, seconds: float) -> str:
        """Kill a run so long after it came into a phase for the n-th time."""

        def moment(marks: list[tuple[str, float]]) -> float | None:
            began = [at for name, at in marks if name == phase]
            return began[occurrence] + seconds if len(began) > occurrence else None

        return self._kill(how, moment)

    def _kill(self, how, moment) -> str:
        self.start(how)
        process = self._process
        assert process
        while process.is_alive():
            at = moment(self.marks())
            if at is not None and time.monotonic() >= at:
                process.kill()
            time.sleep(0.0003)
        process.join()
        phase = self.marks()[-1][0]
        assert phase == "end" or process.exitcode == -9, f"it failed in {phase}"
        return phase

    def end(self) -> None:
        if self._process and self._process.is_alive():
            self._process.kill()
            self._process.join()


def aim(draw: random.Random, steps: list[Step]) -> tuple[str, int, float]:
    """A phase, one of its occurrences and a moment within it, each as likely as any other."""
    phase = draw.choice(sorted({step.phase for step in steps}))
    own = [step for step in steps if step.phase == phase]
    which = draw.randrange(len(own))
    return phase, which, draw.uniform(0, own[which].lasted)
