"""How a kind of file is declared, once.

Belongs here: what a file is called, what its rows are landed as, which row counts.
Does not belong here: reading one (``reading.py``), what is offered to the warehouse
(``sources.py``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from analytics_assets.core.columns import Column
from analytics_assets.core.partitions import UNPARTITIONED, Period
from analytics_assets.core.refusals import DeclarationError
from analytics_assets.landing.folder import LandingFolder
from analytics_assets.landing.formats import FORMATS, PACKED
from analytics_assets.landing.shares import MOST, TOLD

_DAY = r"\d{4}-\d{2}-\d{2}"
# What stands in a name -> how it is matched. The rest of a name stands for itself, but for *.
_WORDS = {
    "*": r".*?",
    "{year}": r"(?<!\d)(?P<year>\d{4})(?!\d)",
    "{month}": r"(?<!\d)(?P<month>\d{4}-\d{2})(?!\d)",
    "{days}": rf"(?<!\d)(?P<first>{_DAY})(?:_(?P<last>{_DAY}))?(?!\d)",
}


# What programs write where there is no value: R, pandas, JSON and databases, Excel.
MISSING = ("NA", "NaN", "nan", "<NA>", "null", "NULL", "#N/A")
DAY = Column("day", "date", "Day that the row belongs to.", nullable=False)


@dataclass(frozen=True)
class Layout:
    """Another header that a file may have. ``header``: the columns, in lower case, by which a file
    of it is known.

    ``columns``: our column -> SQL over theirs; what is not named has the same name, if it is there.
    ``expand``: SQL after FROM, where a line of theirs is more than one of ours.
    """

    name: str
    header: tuple[str, ...]
    columns: Mapping[str, str] = field(default_factory=dict, hash=False)
    expand: str = ""


@dataclass(frozen=True)
class Feed:
    """One kind of file in a landing folder, and what its rows are landed as.

    ``files``: what such a file is called, below the folder and without its format, in any case:
    ``*`` is any text; ``{year}``, ``{month}`` (2024-12) or ``{days}`` (2024-12-31, or first and
    last day joined by ``_``) say which period it holds.
    ``columns``: blank is NULL, as are NA, NaN, null and their like, but where ``words`` (column ->
    words) says that one is a value; text is trimmed; a value that is not of the column's type, or
    none where it may not be NULL, makes the row a rejected one. ``spellings``: column -> what it
    may be called in a file; the first that holds something counts. ``nests``: objects in a JSON
    document whose fields count as the document's own. ``rest``: a column of text for the fields
    that have no column, as JSON; without it they are named and left out.
    ``layouts``: other headers; where there are any, a file has to have one of them.
    ``key``: SQL over the columns; rows that are equal in it are one row, of which the last counts:
    the greatest ``newest`` (SQL), then the file that came last, then the line. ``unique``: the
    columns of its table's key, if that is not ``key``; a row with a longer one than a key may be is
    rejected. ``day``: SQL of the date that a row belongs to, which is landed as ``dated``;
    ``period``: its partitions. ``moves``: SQL that is true for a row whose key says nothing of its
    day, so that it may move to another.
    ``casts``: column -> SQL of its value, with its text as ``{text}``, where a cast is not it.
    ``reads``: column of text -> SQL of what it is read as later, NULL where that cannot be: a value
    that could be read before may not land unreadable (``readable.py``).
    ``rejects``: reason -> SQL that is true for a row that cannot be landed. Of more than
    ``told_rejected`` of a file's rows a check warns, more than ``most_rejected`` (shares) hold
    back what the file has rows of (``shares.py``). ``refuses``: the same as ``rejects``, where a
    single row says that the file is not what it seems: it is refused whole.
    ``lookback``: how many of the newest days the sender may restate without a new time of change.
    ``expected``: partitions that have to have a file.
    In SQL, ``file_day`` is the first day that the name of the file says, ``file_end`` the first one
    after.
    """

    name: str
    folder: LandingFolder
    files: str
    columns: tuple[Column, ...]
    spellings: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)
    words: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)
    nests: tuple[str, ...] = ()
    rest: str = ""
    layouts: tuple[Layout, ...] = ()
    key: tuple[str, ...] = ()
    unique: tuple[str, ...] = ()
    newest: str = ""
    moves: str = ""
    day: str = ""
    dated: Column = DAY
    period: Period = UNPARTITIONED
    casts: Mapping[str, str] = field(default_factory=dict, hash=False)
    reads: Mapping[str, str] = field(default_factory=dict, hash=False)
    rejects: Mapping[str, str] = field(default_factory=dict, hash=False)
    refuses: Mapping[str, str] = field(default_factory=dict, hash=False)
    told_rejected: float = TOLD
    most_rejected: float = MOST
    formats: tuple[str, ...] = FORMATS
    lookback: int = 0
    expected: Callable[[], Collection[str]] | None = None

    def __post_init__(self) -> None:
        if bool(self.day) != (self.period is not UNPARTITIONED):
            raise DeclarationError(
                f"feed {self.name}: day and period belong together; give both, or neither"
            )
        known = {column.name for column in self.columns}
        named = {
            *self.spellings,
            *self.words,
            *self.casts,
            *self.reads,
            *filter(None, [self.rest]),
            *self.unique,
        }
        if unknown := sorted(named - known):
            raise DeclarationError(f"feed {self.name}: no column is called {', '.join(unknown)}")

    @property
    def declaration(self) -> str:
        """All that decides what is read from a file; another one reads another content."""
        of_rows = replace(self, expected=None, reads={}, told_rejected=TOLD, most_rejected=MOST)
        return repr(of_rows)

    @property
    def landed_columns(self) -> tuple[Column, ...]:
        """Its columns as a table has them."""
        return (*self.columns, self.dated) if self.day else self.columns

    @property
    def unique_columns(self) -> tuple[str, ...]:
        """The columns of its table's key; none where ``key`` is computed."""
        plain = set(self.key) <= {column.name for column in self.columns}
        return self.unique or (self.key if plain else ())

    @property
    def below(self) -> str:
        """The folder below the landing folder that its files lie in; empty: the folder itself."""
        return self.files.rpartition("/")[0]

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What the name of a file of this kind matches, packed or not."""
        words = re.split(r"(\*|\{\w+\})", self.files.rpartition("/")[2])
        name = "".join(_WORDS.get(word) or re.escape(word) for word in words)
        formats, packed = ("|".join(map(re.escape, names)) for names in (self.formats, PACKED))
        return re.compile(rf"{name}(?:(?:{formats})(?:{packed})?|[.]zip)", re.IGNORECASE)

    @property
    def row_name(self) -> str:
        """SQL of the key of a row as one text."""
        parts = ", ".join(f"coalesce(cast({part} as varchar), '')" for part in self.key)
        return f"concat_ws(chr(31), {parts})"

    def names_of(self, column: str) -> Sequence[str]:
        """What a column may be called in a file."""
        return self.spellings.get(column) or (column,)
