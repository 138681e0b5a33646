"""Workers of several machines: who takes the runs that the queue starts.

Belongs here: what Dagster is told of them, and `analytics-assets worker`, which has a lease of each
run that it takes.
Does not belong here: which runs there are (``automation``), or who may build what
(``warehouse/leases.py``).
"""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, cast

from analytics_assets import settings
from analytics_assets.core.source import SourceError
from analytics_assets.settings import Settings
from analytics_assets.warehouse import leases

if TYPE_CHECKING:
    from dagster._grpc.types import ExecuteRunArgs, ResumeRunArgs

_BROKER = "ANALYTICS_BROKER_URL"
# Redis hands a run to another worker if nobody says within this that it ended; that one finds it
# taken or ended, and does nothing. So it is longer than any run should take.
_LONGEST_RUN_SECONDS = 12 * 3600
# A process that has loaded the code takes run after run; whatever leaks goes with it.
_RUNS_OF_A_PROCESS = 200
# A process takes no run before it has loaded the code: seconds, minutes on a busy machine.
_LOADS_WITHIN = 180
# The tag of a run that was handed over, and the queue that it waits in.
TASK = "dagster-celery/task_id"
_QUEUE = "dagster"
_ANSWERS_WITHIN = 5


def launcher() -> dict[str, Any]:
    """The ``run_launcher`` of dagster.yaml; the address, a secret, stays in the environment."""
    return {
        "module": "dagster_celery.launcher",
        "class": "CeleryRunLauncher",
        "config": {
            "broker": {"env": _BROKER},
            "backend": {"env": _BROKER},
            "config_source": {
                # A worker has one run and reserves none, so that no run waits behind another one.
                "task_acks_late": True,
                "worker_prefetch_multiplier": 1,
                "broker_transport_options": {"visibility_timeout": _LONGEST_RUN_SECONDS},
                "broker_connection_retry_on_startup": True,
                "worker_proc_alive_timeout": _LOADS_WITHIN,
            },
        },
    }


def waiting(launcher: Any) -> int | None:
    """How many runs the broker keeps until a worker is free; ``None``: it does not answer."""
    if not (app := getattr(launcher, "celery", None)):
        return 0
    from kombu.exceptions import OperationalError

    try:
        with app.connection(connect_timeout=_ANSWERS_WITHIN) as connection:
            found = connection.default_channel.queue_declare(_QUEUE)
    except (OperationalError, *connection.recoverable_connection_errors):
        return None
    return int(found.message_count)


def work(config: Settings) -> int:
    """Take runs, one after the other, until told to stop; 0 then."""
    if not config.broker_url:
        raise SourceError(
            "it is not set", _BROKER, "Give the address of Redis, such as redis://host:6379/0."
        )
    try:
        from dagster_celery.launcher import CeleryRunLauncher
        from dagster_celery.tasks import create_execute_job_task, create_resume_job_task
    except ImportError as error:
        raise SourceError(
            "it needs dagster-celery, which is not installed",
            _BROKER,
            "Install analytics-assets[scale].",
        ) from error
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        if not isinstance(instance.run_launcher, CeleryRunLauncher):
            raise SourceError(
                "it names another run_launcher, so no run would come here",
                str(config.dagster_home / "dagster.yaml"),
                "Take that out, or start no worker.",
            )
        app = instance.run_launcher.celery
    create_execute_job_task(app)
    create_resume_job_task(app)
    _follow(app)
    app.worker_main(
        [
            "worker",
            "--concurrency=1",
            "--pool=prefork",
            f"--max-tasks-per-child={_RUNS_OF_A_PROCESS}",
            f"--hostname=worker-{os.getpid()}@{socket.gethostname()}",
            f"--queues={_QUEUE}",
            "--loglevel=warning",
            "--without-gossip",
            "--without-mingle",
        ]
    )
    return 0


def _follow(app: Any) -> None:
    """What a worker does beside taking runs: it loads the code before it connects to the broker,
    and has a lease of each run while it has the run."""
    from celery.bootsteps import StartStopStep
    from celery.signals import task_postrun, task_prerun, worker_process_init

    loaded = multiprocessing.Event()

    class Loaded(StartStopStep):
        """After the process that takes runs, and before the connection: a run that came before the
        code is loaded would wait for that, and nobody else could have it."""

        requires = ("celery.worker.components:Pool",)

        def start(self, parent: Any) -> None:
            loaded.wait(_LOADS_WITHIN)

    def load(**_: Any) -> None:
        _load_code()
        loaded.set()

    app.steps["worker"].add(Loaded)
    worker_process_init.connect(load, weak=False)
    task_prerun.connect(_take)
    task_postrun.connect(_let_go)


def _load_code() -> None:
    """What a run needs, in each process that takes runs: threads of DuckDB and of the lake, which
    this starts, do not outlive a fork."""
    from dagster._core.definitions.reconstruct import ReconstructableRepository

    ReconstructableRepository.for_module("analytics_assets.definitions", "defs").get_definition()


# Of the run that this process has.
_lease = ExitStack()


def _take(kwargs: Mapping[str, Any], **_: Any) -> None:
    """Have a lease of a run before it begins: whoever looks knows at once when its worker is gone,
    and need not wait how long it is silent."""
    from dagster._serdes import unpack_value

    (packed,) = kwargs.values()
    run_id = cast("ExecuteRunArgs | ResumeRunArgs", unpack_value(packed)).run_id
    _lease.enter_context(leases.held(settings.load(), [f"run/{run_id}"], "", "", run_id))


def _let_go(**_: Any) -> None:
    """Give it back when the run has ended."""
    _lease.close()
