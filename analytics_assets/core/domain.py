"""What a domain brings to the platform, in one object.

Belongs here: what the platform asks a domain for.
Does not belong here: finding domains (``registry.py``), a word of any of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analytics_assets.core.declaration import Table
from analytics_assets.core.refusals import declared_at, refusal

if TYPE_CHECKING:
    import dagster as dg


# What the domains that are imported read of the environment.
VARIABLES: set[str] = set()
# The default of a setting without which a domain makes up its input.
SAMPLE, SAMPLE_DATABASE = "the generated sample", "a generated database on the embedded server"


@dataclass(frozen=True)
class Setting:
    """An environment variable that the domain reads; ``default``: what it is without one."""

    variable: str
    default: str
    description: str

    def __post_init__(self) -> None:
        VARIABLES.add(self.variable)


@dataclass(frozen=True)
class Command:
    """A command of the command line: ``run`` is called with its arguments, each read by ``type``,
    and returns the exit code; its docstring is the help."""

    name: str
    run: Callable[[Sequence[Any]], int]
    argument: str
    type: Callable[[str], Any] = str


@dataclass(frozen=True)
class Domain:
    """``DOMAIN`` in ``domains/<name>/domain.py``: all else of a domain derives from it.

    ``about``: what it takes and gives, in a line. ``samples``: each generates made-up input where a
    setting names no input of its own and there is none yet. ``definitions``: what it has in Dagster
    beside what derives from its tables; ``last_job``: the job among them that is due when
    everything else is done. Its own routes, beside the lists that derive from its promoted tables,
    are ``router(tables, database)`` in its module ``api``, which is imported by the API alone.
    """

    about: str
    tables: tuple[Table, ...]
    settings: tuple[Setting, ...] = ()
    samples: tuple[Callable[[], object], ...] = ()
    definitions: dg.Definitions | None = None
    last_job: str = ""
    commands: tuple[Command, ...] = ()

    @property
    def is_made_up(self) -> bool:
        """Whether any of its input is the generated sample, as nothing names another."""
        return any(
            setting.default in (SAMPLE, SAMPLE_DATABASE) and not os.environ.get(setting.variable)
            for setting in self.settings
        )

    def __post_init__(self) -> None:
        if not self.tables:
            why = "it lists no tables; give those that it declares, such as tables.all"
            raise refusal("a domain", why, declared_at())
