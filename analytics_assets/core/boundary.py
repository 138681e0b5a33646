"""Where our code hands an error to Dagster, which keeps and shows it with all that it came from.

Belongs here: what every asset, op, check, schedule and sensor does with an error that leaves it.
Does not belong here: what is told of one (``troubles.py``, ``telling.py``).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import dagster as dg

from analytics_assets.core.troubles import said

F = TypeVar("F", bound=Callable[..., Any])


@contextmanager
def our_words() -> Iterator[None]:
    """Errors leave the block with nothing that others say of rows, in themselves or their causes.

    Dagster keeps an error with all that it came from.
    """
    try:
        yield
    except (dg.Failure, dg.RetryRequested) as error:
        raise error from None
    except Exception as error:
        raise dg.Failure(said(error)).with_traceback(error.__traceback__) from None


def in_our_words(function: F) -> F:
    """The body of an asset, op, check, schedule or sensor, whose errors are told in our words."""
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def body(*args: Any, **named: Any) -> Any:
            with our_words():
                yield from function(*args, **named)
    else:

        @functools.wraps(function)
        def body(*args: Any, **named: Any) -> Any:
            with our_words():
                return function(*args, **named)

    return cast(F, body)
