"""What messages may say of values: metadata, logs, alerts and the events of runs go through here.

Belongs here: which value is told, what is said in the place of another, and what is kept of the
words of errors that are not ours.
Does not belong here: where messages go, and how rows look (``display.py``).

A file whose columns are shifted has names and numbers of persons anywhere. So what is told is a
closed list: short numbers, dates, words that a declaration knows, and words near to these. Of all
other text the shape is told, which says what went wrong (99/99/9999) and nothing of anybody.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Collection, Mapping
from datetime import date, time, timedelta
from difflib import get_close_matches
from numbers import Number
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analytics_assets.core.columns import Column

# A number of so many digits may be somebody's; the total of many rows may be longer.
_EXACT, _EXACT_TOTAL = 10**5, 10**9
_LONGEST_WORD, _LONGEST_SHAPE, _LONGEST_ERROR = 80, 20, 300
# Short numbers, dates and months; where a code or label is expected, letters of no name.
_PLAIN = re.compile(
    r"-?\d{1,5}([.,]\d{1,2})?|(19|20)\d\d(-?\d\d|-\d\d-\d\d)|\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}"
)
_CODE = re.compile(r"[A-Z]{2,3}|[a-z][a-z_]{0,11}(_?\d{1,4})?")
_NEAR, _LONGER = 0.8, 2
_COLUMN = re.compile(r"[^\W\d][\w.$-]{0,39}|_column_\d+")
_NUMBERED = re.compile(r"\d{5}")
_LONG_NUMBER = re.compile(r"\d(?:[ .,/-]?\d){6,}")
# From the first quote of a line to its last: a value may have quotes in it.
_QUOTED = re.compile(r"""(?<!\w)(?:'.*'|".*"|`.*`)(?!\w)""")
_ORDINARY = re.compile(
    r"[\d.,()<>=-]*|'\.\.\.'|Could|Cannot|Unable|Unknown|Invalid|Malformed|Expected|Failed|Type|Time"
    r"|Casting|Conversion|Overflow|Out|Value|String|Python|NULL|UTF-?\d*|(?:U?[A-Z]*INT|FLOAT|DOUBLE"
    r"|DECIMAL|DATE|TIME|TIMESTAMP|VARCHAR|BOOLEAN|INTEGER|JSON|CSV)[\d(),]*"
)
_KIND = re.compile(r"(?:[A-Z]\w+ )*(?:Error|Exception): ")
_COLOURS = re.compile("\x1b" + r"\[[0-9;]*m|↳")
# How lines begin in which PostgreSQL, DuckDB and SQLAlchemy quote what they speak of.
_QUOTING = ("DETAIL", "CONTEXT", "LINE ", "QUERY", "STATEMENT", "[SQL", "[parameters")
# What errors of the machine, of a server and of code say is of no row, so it is told whole.
_OF_NO_ROW = frozenset(
    [
        "OSError",
        "IOException",
        "OutOfMemoryException",
        "OperationalError",
        "InterfaceError",
        "ProgrammingError",
        "MemoryError",
        "DeltaError",
        "ImportError",
        "NameError",
        "AttributeError",
        "CatalogException",
        "BinderException",
        "ParserException",
        "ConnectionException",
    ]
)
# What they add are names of tables and views, which say what is in the way.
_OF_NAMES = frozenset(["DependentObjectsStillExist"])
_HINT = "HINT"
_OURS = "analytics_assets"


# ---- values -------------------------------------------------------------------------------------


def row(
    values: Mapping[Any, Any], columns: Mapping[str, Column], shows: Collection[str] = ()
) -> dict[str, Any]:
    """A row as it may be told: without personal columns, and each value as ``cell`` tells it.

    ``shows``: names that are no columns and whose text is ours, such as a reason.
    """
    named = {str(name): value for name, value in values.items()}
    return {
        name: value if name in shows else cell(value, columns.get(name))
        for name, value in named.items()
        if name not in columns or not columns[name].personal
    }


def cell(value: Any, column: Column | None = None) -> Any:
    """A value as it may be told, of a declared column or of none."""
    if column and column.personal:
        return "(personal)"
    if value is None or value != value or isinstance(value, (bool, date, time, timedelta)):
        return value
    if isinstance(value, Number):
        return number(value)
    if not isinstance(value, str):
        return f"({type(value).__name__})"
    if column and column.told and (not column.pattern or re.fullmatch(column.pattern, value)):
        return value[:_LONGEST_WORD]
    return word(value, column.values or None if column else None)


def number(value: Any, is_total: bool = False) -> Any:
    """A number, or about how much it is: one of many digits may be somebody's.

    ``is_total``: it adds up the rows of a table.
    """
    most = _EXACT_TOTAL if is_total else _EXACT
    return value if abs(value) < most else f"about {float(f'{value:.2e}'):,.0f}"


def rounded(total: Any) -> Any:
    """A total as a number; of one that is longer than totals are, its first three digits."""
    return total if abs(total) < _EXACT_TOTAL else type(total)(float(f"{total:.2e}"))


def word(text: str, known: Collection[str] | None = None) -> str:
    """A short number or date; where words are expected, these, what is nearly one of them, and
    short codes and labels; of any other text its shape."""
    if _PLAIN.fullmatch(text):
        return text
    if known is None:
        return shape(text)
    if text in known or _CODE.fullmatch(text):
        return text
    near = get_close_matches(text.lower(), [one.lower() for one in known], 1, _NEAR)
    is_near = bool(near) and abs(len(near[0]) - len(text)) <= _LONGER
    return text if is_near and not _NUMBERED.search(text) else shape(text)


def header(name: str) -> str:
    """The name of a column, field or event as a file has it; of what does not look like one, its
    shape: where a header is missing, somebody's data stands in its place."""
    return name if _COLUMN.fullmatch(name) and not _NUMBERED.search(name) else shape(name)


def shape(text: str) -> str:
    """A text without what it says: a for letters, 9 for digits."""
    begun = text[:_LONGEST_SHAPE]
    shown = "".join("a" if c.isalpha() else "9" if c.isnumeric() else c for c in begun)
    return shown + "..." * (len(text) > _LONGEST_SHAPE)


# ---- errors -------------------------------------------------------------------------------------


def foreign(error: BaseException) -> str:
    """The words of an error that is not ours, without what they may quote of a row."""
    error = getattr(error, "orig", None) or error
    lines = [" ".join(line.split()) for line in _COLOURS.sub("", str(error)).splitlines()]
    said: list[str] = []
    ending = (_HINT,) if _OF_NAMES & kinds(error) else _QUOTING
    for line in filter(None, lines):
        if line.startswith(ending) or line.endswith("?"):
            break
        said.append(line)
    if (_OF_NO_ROW | _OF_NAMES) & kinds(error):
        return " ".join(said)[:_LONGEST_ERROR].rstrip(".")
    return masked(said[0] if said else "")


def masked(line: str) -> str:
    """A line of others: nothing that is quoted or stands after a colon, no long number, and of
    words with capitals those alone that begin such lines, or are types."""
    text = _LONG_NUMBER.sub("...", _QUOTED.sub("'...'", _KIND.sub("", line))).partition(": ")[0]
    words = [
        word if word.islower() or _ORDINARY.fullmatch(word) else "..." for word in text.split()
    ]
    return re.sub(r"\.\.\.( \.\.\.)+", "...", " ".join(words))[:_LONGEST_ERROR].rstrip(".")


def kinds(error: BaseException) -> frozenset[str]:
    """The names of what an error is; of DuckDB's its own, which others come under that do not fit:
    what it says of a value is a ``ProgrammingError``, and no memory an ``OperationalError``."""
    classes = [cls for cls in type(error).__mro__ if "duckdb" not in cls.__module__]
    return frozenset(cls.__name__ for cls in (type(error), *classes))


def told(error: BaseException) -> str:
    """What an error says: our own words as they are, of others their kind, place and gist."""
    if type(error).__module__.startswith(_OURS):
        return str(error)
    place = next(
        (
            f" ({Path(frame.filename).name}:{frame.lineno})"
            for frame in reversed(traceback.extract_tb(error.__traceback__))
            if f"/{_OURS}" in frame.filename
        ),
        "",
    )
    gist = foreign(error)
    return f"{type(error).__name__}{': ' * bool(gist)}{gist}{place}"
