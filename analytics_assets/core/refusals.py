"""How a declaration is refused: in one sentence that says what is wrong, and where it stands.

Belongs here: the error, the place of a declaration in its file, and the nearest right word.
Does not belong here: what is refused (``columns.py``, ``validation.py``, ``lineage.py``, ...).
"""

from __future__ import annotations

import difflib
import re
import sys
import traceback
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

# What Python says of a call with a part too many or too few.
_CALL = re.compile(
    r"(?P<class>\w+)\.__init__\(\) (got an unexpected keyword argument '(?P<unknown>\w+)'"
    r"|missing \d+ required .*argument.*?: (?P<lacking>.*))"
)
_CORE = str(Path(__file__).parent)
# More words than these are no help to somebody who looks for one.
_LISTED = 12


@dataclass(frozen=True)
class Place:
    """A line of a file."""

    path: str
    line: int

    def __str__(self) -> str:
        path = Path(self.path)
        shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        return f"{shown}, line {self.line}"


class DeclarationError(ValueError):
    """A declaration that contradicts itself; raised when the code location is loaded."""


def refusal(what: str, why: str, place: Place | None) -> DeclarationError:
    """The error of ``what``, such as a table's key, that stands at a place."""
    where = f" ({place})" if place else ""
    return DeclarationError(f"{what}{where}: {why}")


def declared_at(key: str = "") -> Place | None:
    """Where the code outside ``core`` stands that is declaring something.

    Domains declare tables through functions of their own. The place to look at is the one that
    says the table's name, and where none does, because the name is computed, the nearest.
    """
    names = {key, key.rpartition("/")[2]} - {""}
    frame = sys._getframe(1)
    nearest = None
    while frame is not None:
        code = frame.f_code
        outside = not code.co_filename.startswith((_CORE, "<")) and code.co_name != "replace"
        if outside and names.intersection(c for c in code.co_consts if isinstance(c, str)):
            return Place(code.co_filename, frame.f_lineno)
        if outside and nearest is None and "dataclasses" not in code.co_filename:
            nearest = Place(code.co_filename, frame.f_lineno)
        frame = frame.f_back  # type: ignore[assignment]
    return nearest


def explained(what: str, error: Exception, folder: Path) -> DeclarationError:
    """What is raised while the code of a folder is imported, with the line there that it is of."""
    place, frame = None, None
    for frame, line in traceback.walk_tb(error.__traceback__):
        if Path(frame.f_code.co_filename).is_relative_to(folder):
            place = Place(frame.f_code.co_filename, line)
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        place, said = Place(str(error.filename), error.lineno or 1), f"its Python: {error.msg}"
    elif isinstance(error, ImportError):
        said = str(error)
    elif (found := _CALL.match(str(error))) and isinstance(error, TypeError):
        made = frame.f_globals.get(found["class"]) if frame else None
        fields = getattr(made, "__dataclass_fields__", ())
        if word := found["unknown"]:
            said = no_such(f"keyword of {found['class']}", word, fields)
        else:
            said = f"{found['class']} lacks its {found['lacking']}"
    return refusal(what, said, place)


def nearest_word(wrong: str, known: Iterable[str]) -> str:
    """The known word that was most likely meant, or nothing."""
    by_lower = {word.lower(): word for word in known}
    if begun := [word for word in by_lower if wrong and word.startswith(wrong.lower())]:
        return by_lower[min(begun, key=len)]
    parts = set(wrong.lower().split("_"))
    for word in by_lower:
        if len(parts) > 1 and parts == set(word.split("_")):
            return by_lower[word]
    near = difflib.get_close_matches(wrong.lower(), by_lower, 1, 0.6)
    return by_lower[near[0]] if near else ""


def no_such(what: str, wrong: object, known: Collection[str]) -> str:
    """That there is no such word, and which was meant."""
    near = nearest_word(str(wrong), known)
    if near:
        return f"there is no {what} {wrong!r}; did you mean {near!r}?"
    listed = f"; there are {', '.join(known)}" if 0 < len(known) <= _LISTED else ""
    return f"there is no {what} {wrong!r}{listed}"
