"""Columns and documents of a file -> our columns, as text.

Belongs here: which of theirs is which of ours, and what is left over.
Does not belong here: types, and which row counts (``reading.py``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from analytics_assets.core.contracts import quoted
from analytics_assets.core.source import SourceError
from analytics_assets.core.telling import header
from analytics_assets.landing.feed import MISSING, Feed, Layout
from analytics_assets.landing.formats import Relation
from analytics_assets.warehouse.session import literal

_NULL = "cast(null as varchar)"


@dataclass(frozen=True)
class Fields:
    """``select``: list of our columns over the relation with ``beside`` added to it, each text or
    NULL; ``expand``: SQL after FROM; ``unknown``: columns of the file that have no name of ours."""

    select: str
    beside: str = ""
    expand: str = ""
    unknown: tuple[str, ...] = ()


def fields_of(feed: Feed, relation: Relation, path: Path) -> Fields:
    """How the columns of a file become ours; ``SourceError`` where its header is another."""
    if relation.documents:
        return _of_documents(feed)
    names = relation.names
    if not feed.layouts:
        return _of_columns(feed, names, path)
    for layout in feed.layouts:
        if set(names) >= set(layout.header):
            return _of_layout(feed, layout, names)
    raise _lacks([name for name in feed.layouts[0].header if name not in names], feed, path)


def _lacks(missing: Sequence[str], feed: Feed, path: Path) -> SourceError:
    # What stands there instead is not told: without a header it would be somebody's data.
    wanted = feed.layouts[0].header if feed.layouts else [c.name for c in feed.columns]
    return SourceError(
        f"its header lacks {', '.join(missing)}",
        str(path),
        f"Its first line has to be {','.join(wanted)}",
    )


def _of_columns(feed: Feed, names: Sequence[str], path: Path) -> Fields:
    found = {
        column.name: [one for one in map(str.lower, feed.names_of(column.name)) if one in names]
        for column in feed.columns
    }
    lacking = [c.name for c in feed.columns if not c.nullable and not found[c.name]]
    if lacking:
        raise _lacks(lacking, feed, path)
    known = {one for own in found.values() for one in own}
    left_out = tuple(name for name in names if name not in known)
    texts = {
        name: f"coalesce({', '.join(_text(quoted(one), feed.words.get(name, ())) for one in own)})"
        if own
        else _NULL
        for name, own in found.items()
    }
    if feed.rest and left_out:
        pairs = ", ".join(f"{literal(name)}: {_text(quoted(name))}" for name in left_out)
        texts[feed.rest] = f"cast(to_json({{{pairs}}}) as varchar)"
    return Fields(_listed(texts), unknown=() if feed.rest else _shown(left_out))


def _of_layout(feed: Feed, layout: Layout, names: Sequence[str]) -> Fields:
    own = {c.name: quoted(c.name) for c in feed.columns if c.name in names} | dict(layout.columns)
    texts = {
        c.name: _text(own[c.name], feed.words.get(c.name, ())) if c.name in own else _NULL
        for c in feed.columns
    }
    left_out = [name for name in names if name not in {*own, *layout.header}]
    return Fields(_listed(texts), expand=layout.expand, unknown=_shown(left_out))


def _shown(names: Sequence[str]) -> tuple[str, ...]:
    told = (re.sub(r"^_column_(\d+)$", r"column \1, which has no name", header(n)) for n in names)
    return tuple(dict.fromkeys(told))


def _text(sql: str, values: Collection[str] = ()) -> str:
    """The text of a field: trimmed, without NUL, and NULL where it is a word for nothing that is
    none of ``values``. PostgreSQL takes no NUL, and nobody means one."""
    text = f"trim(replace({sql}, chr(0), ''))"
    words = ", ".join(literal(word) for word in ("", *MISSING) if word not in values)
    return f"case when {text} not in ({words}) then {text} end"


def _listed(texts: Mapping[str, str]) -> str:
    return ", ".join(f"{sql} as {quoted(name)}" for name, sql in texts.items())


def _of_documents(feed: Feed) -> Fields:
    """The text is parsed once: all places of all fields are extracted as one list."""
    places = [
        (column.name, _path(*nest, theirs))
        for column in feed.columns
        if column.name != feed.rest
        # What somebody calls a property of his own does not replace a field of the document.
        for nest in ((), *((nest,) for nest in feed.nests))
        for theirs in feed.names_of(column.name)
    ]
    paths = ", ".join(path for _, path in places)
    texts = {
        column.name: "coalesce("
        + ", ".join(
            _text(f"found[{number}]", feed.words.get(name, ()))
            for number, (name, _) in enumerate(places, start=1)
            if name == column.name
        )
        + ")"
        for column in feed.columns
        if column.name != feed.rest
    }
    if feed.rest:
        texts[feed.rest] = _rest(feed)
        if len({path for _, path in places}) == len(places):
            texts[feed.rest] = f"case when not ({_all_found(feed)}) then {texts[feed.rest]} end"
    return Fields(_listed(texts), f", json_extract_string(document, [{paths}]) as found")


def _path(*names: str) -> str:
    """Where a field stands in a document, for DuckDB's functions."""
    return literal("$" + "".join(f'."{name}"' for name in names))


def _is_object(nest: str) -> str:
    return f"coalesce(json_type(document, {_path(nest)}) = 'OBJECT', false)"


def _all_found(feed: Feed) -> str:
    """Whether each field of a document is among those that were found, which is seen by counting
    in a third of the time that it takes to take them away; a field that is null is not found."""
    keys = [f"coalesce(len(json_keys(document, {_path(nest)})), 0)" for nest in feed.nests]
    own = [f"cast({_is_object(nest)} as integer)" for nest in feed.nests]
    offered = " + ".join(["len(json_keys(document))", *keys])
    return f"{offered} = {' + '.join(['list_count(found)', *own])}"


def _rest(feed: Feed) -> str:
    """The fields that have no column of ours: a merge patch takes the others away. What is called
    like a nest and is none is such a field."""
    patches = []
    for nest in feed.nests:
        is_nest = f"{_is_object(nest)} or json_type(document, {_path(nest)}) = 'NULL'"
        patches += [
            f"case when {is_nest} then {_without(nest)} else '{{}}' end",
            f"case when {_is_object(nest)} then json_extract(document, {_path(nest)})"
            " else '{}' end",
        ]
    named = _without(*(theirs for column in feed.columns for theirs in feed.names_of(column.name)))
    merged = f"json_merge_patch({', '.join(['document', *patches, named])})"
    return f"nullif(cast({merged} as varchar), '{{}}')"


def _without(*names: str) -> str:
    """The merge patch that takes these fields away."""
    return literal(json.dumps(dict.fromkeys(names), ensure_ascii=False))
