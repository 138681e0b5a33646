"""What people ask for by name: a job in the UI and a command, both of one declaration.

Belongs here: how a job, its schedule and a command derive from an operation.
Does not belong here: any operation (``maintenance.py``, ``rollback_jobs.py``).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import dagster as dg

from analytics_assets import environment
from analytics_assets.automation.summary import failures
from analytics_assets.automation.turns import in_this_process
from analytics_assets.core.boundary import our_words
from analytics_assets.core.declaration import Table


class Nothing(dg.Config):
    """An operation of which nothing can be chosen."""


@dataclass(frozen=True)
class Operation:
    """``do(tables, context, config)`` does it and returns what to report, as Dagster's metadata.

    It raises ``dg.Failure`` with a sentence where it cannot. ``job`` and ``command`` are its names;
    without a command it is for schedules and the UI. ``cron``: when it runs by itself, and how
    often that is in a word.
    """

    job: str
    command: str
    about: str
    do: Callable[[Sequence[Table], dg.OpExecutionContext, Any], Mapping[str, Any]]
    config: type[dg.Config] = Nothing
    cron: tuple[str, str] | None = None

    def as_job(self, tables: Sequence[Table]) -> dg.JobDefinition:
        """A job of one op, whose configuration the UI describes."""

        def act(context, config):
            with our_words():
                context.add_output_metadata(dict(self.do(tables, context, config)))

        act.__annotations__ = {"context": dg.OpExecutionContext, "config": self.config}
        op = dg.op(name=self.do.__name__)(act)

        @dg.job(name=self.job, description=self.about)
        def made() -> None:
            op()

        return made

    def add_to(self, commands: Any) -> argparse.ArgumentParser:
        """Add the command: what has to be chosen by its place, the rest as options."""
        about = self.about.replace("%", "%%")
        parser = commands.add_parser(self.command, help=about, description=about)
        for name, field in self.config.model_fields.items():
            label, how = _argument(name, field)
            parser.add_argument(label, **how)
        return parser

    def run(self, tables: Sequence[Table], options: Mapping[str, Any]) -> int:
        """Do it in this process, as a run that the UI shows, and print what the UI would."""
        given = {name: options[name] for name in self.config.model_fields if name in options}
        environment.prepare()
        with dg.DagsterInstance.get() as instance:
            result = in_this_process(
                self.as_job(tables),
                instance,
                config={"ops": {self.do.__name__: {"config": given}}},
            )
        for event in result.all_events:
            if event.event_type_value == "STEP_OUTPUT":
                print(_as_text(event.step_output_data.metadata))
        for problem in failures(result.all_events):
            print(problem, file=sys.stderr)
        return 0 if result.success else 1


def definitions_of(operations: Iterable[Operation], tables: Sequence[Table]) -> dg.Definitions:
    """Their jobs, and schedules for those that run by themselves."""
    jobs = {operation: operation.as_job(tables) for operation in operations}
    schedules = [
        dg.ScheduleDefinition(
            name=f"{job.name}_{operation.cron[0]}",
            job=job,
            cron_schedule=operation.cron[1],
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description=job.description,
        )
        for operation, job in jobs.items()
        if operation.cron
    ]
    return dg.Definitions(jobs=list(jobs.values()), schedules=schedules)


def _argument(name: str, field: Any) -> tuple[str, dict[str, Any]]:
    """How argparse is told of a field of a configuration."""
    kind = field.annotation
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (one for one in get_args(kind) if one is not NoneType)
    how: dict[str, Any] = {"help": (field.description or "").replace("%", "%%")}
    if kind is bool:
        how["action"] = "store_true"
    elif get_origin(kind) is list:
        how |= {"type": get_args(kind)[0], "nargs": "+", "metavar": name.upper()}
    else:
        how["type"] = kind
    if field.is_required():
        return name, how
    # What was not said is left to the configuration.
    return f"--{name.replace('_', '-')}", how | {"default": argparse.SUPPRESS}


def _as_text(metadata: Mapping[str, Any]) -> str:
    """A line for each; what has lines of its own, such as a table, below its name."""
    said = []
    for name, value in metadata.items():
        text = str(getattr(value, "value", value)).strip()
        said.append(f"{name}:\n{text}" if "\n" in text else f"{name}: {text}")
    return "\n".join(said)
