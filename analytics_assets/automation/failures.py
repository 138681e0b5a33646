"""Errors of ours as people read them in the UI.

Belongs here: what jobs share when something cannot be done.
Does not belong here: alerts (``alerts.py``).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg


@contextmanager
def explained(*errors: type[Exception]) -> Iterator[None]:
    """What cannot be done fails the run with its reason alone, and is not tried again."""
    try:
        yield
    except errors as reason:
        raise dg.Failure(str(reason), allow_retries=False) from reason
