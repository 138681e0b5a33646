"""What a source or function was made with: its values, and the code that it was handed.

Belongs here: which state of an object is configuration. Does not belong here: reading code
(``used_code.py``), or what follows from a difference (``meaning.py``).

Mutable containers of an object are its memory: what it has seen so far must not make it another.
Within a frozen dataclass they are values like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import PurePath
from types import FunctionType, MethodType
from typing import Any

_PLAIN = (str, bytes, int, float, type(None), Decimal, date, time, timedelta, PurePath)


@dataclass
class Configured:
    """``values`` as text, by where they stand; ``code``: functions and classes, the first of them
    what it all began with."""

    values: list[str] = field(default_factory=list)
    code: list[object] = field(default_factory=list)
    _seen: list[object] = field(default_factory=list)

    def add_source(self, source: object) -> None:
        """The class of a source, and what the instance holds."""
        self.code.append(type(source))
        self._add_all(getattr(source, "__dict__", {}).items())

    def add(self, value: Any, name: str = "", frozen: bool = False) -> None:
        """A value and what it is made of; ``frozen``: containers count."""
        if any(value is one for one in self._seen):
            return
        if isinstance(value, Enum):
            self._say(name, f"{type(value).__qualname__}.{value.name}")
        elif isinstance(value, _PLAIN):
            self._say(name, repr(value))
        elif isinstance(value, re.Pattern):
            self._say(name, repr((value.pattern, value.flags)))
        elif isinstance(value, (tuple, frozenset)) or (frozen and isinstance(value, (list, set))):
            self._add_items(name, value, frozen)
        elif frozen and isinstance(value, Mapping):
            self._add_all(((f"{name}.{key!r}", item) for key, item in value.items()), frozen)
        elif isinstance(value, type):
            self._say(name, value.__qualname__)
            self.code.append(value)
        elif _is_frozen(value):
            self._seen.append(value)
            own = (
                (f"{name}.{one.name}", getattr(value, one.name))
                for one in fields(value)
                if one.compare
            )
            self._add_all(own, frozen=True)
        else:
            self._add_callable(name, value)

    def _add_all(self, items: Iterable[tuple[str, Any]], frozen: bool = False) -> None:
        for name, value in sorted(items, key=lambda item: item[0]):
            self.add(value, name, frozen)

    def _add_items(self, name: str, items: Iterable[Any], frozen: bool) -> None:
        ordered = sorted(items, key=repr) if isinstance(items, (frozenset, set)) else items
        self._say(name, type(items).__name__)
        for number, item in enumerate(ordered):
            self.add(item, f"{name}.{number}", frozen)

    def _add_callable(self, name: str, value: Any) -> None:
        if isinstance(value, partial):
            self.add(value.func, name)
            self.add(value.args, f"{name}.args")
            self._add_all((f"{name}.{key}", item) for key, item in value.keywords.items())
        elif isinstance(value, MethodType):
            self.add(value.__func__, name)
            self._add_all((f"{name}.{key}", item) for key, item in vars(value.__self__).items())
        elif isinstance(value, FunctionType):
            self._seen.append(value)
            self._say(name, value.__qualname__)
            self.code.append(value)
            held = [cell.cell_contents for cell in value.__closure__ or ()]
            self.add((*held, *(value.__defaults__ or ())), f"{name}.holds")
            self._add_all((value.__kwdefaults__ or {}).items())

    def _say(self, name: str, text: str) -> None:
        self.values.append(f"{name}={text}")


def _is_frozen(value: Any) -> bool:
    parameters: Any = getattr(value, "__dataclass_params__", None)
    return is_dataclass(value) and parameters.frozen
