"""What a domain says of its pages, in ``domains/<name>/pages.py``.

Belongs here: the words in which a domain declares composed pages, labels, maps and how numbers are
shown. All of it is optional: a promoted table has its page without a word here.
Does not belong here: reading or drawing anything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analytics_assets.api.database import Database
from analytics_assets.core.declaration import Table
from analytics_assets.dashboard.words import Language, Text

# Control -> what was chosen.
Chosen = Mapping[str, str]


@dataclass(frozen=True)
class Display:
    """How a number is shown: multiplied, in which unit, with so many digits."""

    scale: float = 1
    unit: str = ""
    digits: int | None = None


@dataclass(frozen=True)
class Tiles:
    """Places as tiles that lie as the places do: value of the axis -> (column, row, short name)."""

    places: Mapping[str, tuple[int, int, str]]


@dataclass(frozen=True)
class Seats:
    """Places as circles: the promoted table that has their key, latitude and longitude."""

    table: str
    key: str
    latitude: str = "latitude"
    longitude: str = "longitude"


@dataclass(frozen=True)
class Shapes:
    """Shapes of the places, where somebody fetched some or has a file of their own.

    ``setting`` names a GeoJSON or TopoJSON; ``address`` is where they are fetched from, unless
    ``address_setting`` says otherwise; ``code_length``: of the codes of these places.
    """

    setting: str
    address_setting: str
    address: str
    code_length: int


@dataclass(frozen=True)
class MapOf:
    """How the values of an axis lie on a map: as shapes where there are some, else as drawn."""

    drawn: Tiles | Seats
    shapes: Shapes | None = None


@dataclass(frozen=True)
class Choice:
    """A control of a composed page: value -> text; the first is chosen by default.

    ``of_table`` and ``axis``: the values that this axis of this promoted table has, after those
    given; of an axis of time, the last one is chosen. ``default``: chosen where it is there.
    """

    name: str
    label: Text
    options: Mapping[str, Text] = field(default_factory=dict)
    of_table: str = ""
    axis: str = ""
    default: str = ""


Ask = Callable[[Chosen], Mapping[str, Any] | None]


@dataclass(frozen=True)
class Chart:
    """A view of a promoted table: ``ask`` gives, for what is chosen, the table's key as ``table``
    and the parameters of its page; ``None``: this part is not shown."""

    title: Text
    ask: Ask
    about: Text | None = None
    wide: bool = False


@dataclass(frozen=True)
class Cards:
    """Numbers of a year with the change to the year before.

    ``ask`` gives ``year``, the keys of the aggregates of the years (``yearly``) and of the days
    (``daily``), by which a year to date is compared with the same days, and ``is``, the values of
    axes.
    """

    title: Text
    measures: tuple[str, ...]
    ask: Ask


@dataclass(frozen=True)
class Cell:
    """A cell of a table: text, and beside it a line through numbers with a colour and a word.

    ``words``: the text is sentences, which take as many lines as they need.
    """

    text: str
    number: float | None = None
    link: str = ""
    line: tuple[float | None, ...] = ()
    tone: str = ""
    title: str = ""
    words: bool = False


@dataclass(frozen=True)
class Found:
    """What a part of a domain's own found: sentences, a table, a figure of Plotly."""

    about: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()
    figure: Mapping[str, Any] | None = None
    empty: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Asked:
    """What a part of a domain's own is given."""

    chosen: Chosen
    language: Language
    database: Database
    tables: Mapping[str, Table]
    link: Callable[..., str]


@dataclass(frozen=True)
class Own:
    """A part that a domain reads and words itself, from promoted tables."""

    title: Text
    read: Callable[[Asked], Awaitable[Found | None]]
    wide: bool = False


Part = Chart | Cards | Own


@dataclass(frozen=True)
class Page:
    """A composed page: controls, and parts that they decide.

    ``dates``: the key of the table whose days it has a range of. ``free``: parameters without a
    control, which links of its parts give.
    """

    name: str
    title: Text
    about: Text
    parts: Sequence[Part]
    controls: Sequence[Choice] = ()
    dates: str = ""
    free: tuple[str, ...] = ()


# The column, its value, and the values of the axes that are fixed -> what people read.
ValueText = Callable[[str, Mapping[str, str], Language], str]
ValueOrder = Callable[[str, Mapping[str, str]], int]


@dataclass(frozen=True)
class DomainPages:
    """``PAGES`` in a domain's ``pages.py``.

    ``labels``: column or measure -> Portuguese (English derives from the name, unless given as
    ``Text``); ``descriptions``: measure or ratio -> what its description is in Portuguese;
    ``display``: table's key -> number -> how it is shown; ``values``: axis' column ->
    what is read in the place of a code; ``order``: axis' column -> place of a value among bars, by
    default the greatest first; ``maps``: axis -> how its places lie.
    """

    pages: tuple[Page, ...] = ()
    labels: Mapping[str, Text | str] = field(default_factory=dict)
    descriptions: Mapping[str, str] = field(default_factory=dict)
    display: Mapping[str, Mapping[str, Display]] = field(default_factory=dict)
    values: Mapping[str, ValueText] = field(default_factory=dict)
    order: Mapping[str, ValueOrder] = field(default_factory=dict)
    maps: Mapping[str, MapOf] = field(default_factory=dict)
