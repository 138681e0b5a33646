"""A question, and its words: the same on the command line, in the API and for assistants.

Belongs here: the parts of a question, reading them from words, and writing them as words again.
Does not belong here: what its names mean (``catalogue.py``), who answers it (``resolver.py``).

    total_births, cesarean_rate by state_abbreviation, quarter
    where region_name = Norte and year >= 2020 over 2019..2023-06
    compare year_before with interval order -cesarean_rate limit 10 of births
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from analytics_assets.core.refusals import no_such

Sign = Literal["=", "!=", "<", "<=", ">", ">=", "in"]
Compared = Literal["previous", "year_before", "share", "index"]
Rate = Literal["interval", "smoothed", "standardised"]
PARTS = ("measures", "by", "where", "over", "compare", "with", "order", "limit", "of")
MOST_LENGTH = 2000
_MOST_WORDS, _MOST_VALUES = 20, 200
_TOKEN = re.compile(
    r"\s*(?:'((?:[^']|'')*)'|\"([^\"]*)\"|(!=|<=|>=|[=<>])|([,()])|([^\s,()=<>!'\"]+)|(\S))"
)


class QuestionError(ValueError):
    """A question that cannot be read: one sentence, what and what to do."""


@dataclass(frozen=True)
class Condition:
    """``word sign value``; several values where ``sign`` is ``in``. Values are text as written."""

    word: str
    sign: Sign
    values: tuple[str, ...]

    def __str__(self) -> str:
        values = [_written(value) for value in self.values]
        listed = f"({', '.join(values)})" if self.sign == "in" else values[0]
        return f"{self.word} {self.sign} {listed}"


@dataclass(frozen=True)
class Question:
    """``measures``: of measures, ratios and percentiles; ``by``: axes, attributes, times; ``over``:
    a range of time; ``compare``: with what, ``base``: the period of an index; ``rates``: columns
    beside shares, ``strata``: what standardised ones are standardised by; ``order``: columns of the
    answer, with - in descending order; ``of``: the domain or table of facts that is asked.
    """

    measures: tuple[str, ...]
    by: tuple[str, ...] = ()
    where: tuple[Condition, ...] = ()
    over: str = ""
    compare: tuple[Compared, ...] = ()
    base: str = ""
    rates: tuple[Rate, ...] = ()
    strata: str = ""
    order: tuple[str, ...] = ()
    limit: int | None = None
    of: str = field(default="")

    def __post_init__(self) -> None:
        if not self.measures:
            raise QuestionError("say what is asked for: names of measures, as /metrics lists them")
        for what, words in (("measure", self.measures), ("by", self.by)):
            if len(words) > _MOST_WORDS:
                raise QuestionError(f"{what}: at most {_MOST_WORDS} words")
            if len(set(words)) < len(words):
                raise QuestionError(f"{what}: a word stands twice")
        if len(self.where) > _MOST_WORDS:
            raise QuestionError(f"where: at most {_MOST_WORDS} conditions")

    def __str__(self) -> str:
        compare = ", ".join(self.compare) + (f" to {self.base}" if self.base else "")
        rates = ", ".join(self.rates) + (f" by {self.strata}" if self.strata else "")
        parts = {
            "": ", ".join(self.measures),
            "by": ", ".join(self.by),
            "where": " and ".join(map(str, self.where)),
            "over": self.over,
            "compare": compare,
            "with": rates,
            "order": ", ".join(self.order),
            "limit": str(self.limit or ""),
            "of": self.of,
        }
        return " ".join(f"{name} {text}".strip() for name, text in parts.items() if text)


def read(text: str) -> Question:
    """The question of a text; ``QuestionError`` with a sentence."""
    if len(text) > MOST_LENGTH:
        raise QuestionError(f"a question has at most {MOST_LENGTH:,} characters")
    parts: dict[str, list[_Word]] = {"measures": []}
    current = "measures"
    for token in _tokens(text):
        keyword = token.text if token.kind == "word" and token.text in PARTS[1:] else ""
        if keyword == "by" and current == "order" and not parts[current]:
            continue  # order by, as people say
        # `with standardised by age` names what it is by itself.
        if keyword and not (keyword == "by" and current == "with"):
            current = keyword
            if current in parts:
                raise QuestionError(f"{current} stands twice; join what it is of by commas")
            parts[current] = []
        else:
            parts[current].append(token)
    return _question(parts)


def read_parts(parts: Mapping[str, str]) -> Question:
    """The question of the text of each part, by the names of ``PARTS``."""
    if unknown := [name for name in parts if name not in PARTS]:
        raise QuestionError(no_such("part of a question", unknown[0], PARTS))
    if sum(map(len, parts.values())) > MOST_LENGTH:
        raise QuestionError(f"a question has at most {MOST_LENGTH:,} characters")
    return _question({name: list(_tokens(text)) for name, text in parts.items() if text.strip()})


@dataclass(frozen=True)
class _Word:
    kind: Literal["quoted", "sign", "mark", "word"]
    text: str


def _tokens(text: str) -> Iterator[_Word]:
    position = 0
    text = text.rstrip()
    while position < len(text):
        found = _TOKEN.match(text, position)
        assert found
        position = found.end()
        single, double, sign, mark, word, other = found.groups()
        if other:
            raise QuestionError(f"{other[0]!r} cannot be read; put values with signs in quotes")
        if single is not None:
            yield _Word("quoted", single.replace("''", "'"))
        elif double is not None:
            yield _Word("quoted", double)
        else:
            yield _Word("sign", sign) if sign else _Word("mark" if mark else "word", mark or word)


def _question(parts: Mapping[str, Sequence[_Word]]) -> Question:
    empty = [name for name, words in parts.items() if not words and name != "measures"]
    if empty:
        raise QuestionError(f"{empty[0]}: nothing follows it")
    compare, base = _split(parts.get("compare", ()), "to")
    rates, strata = _split(parts.get("with", ()), "by")
    return Question(
        measures=_names("measures", parts.get("measures", ())),
        by=_names("by", parts.get("by", ())),
        where=tuple(_conditions(parts.get("where", ()))),
        over="".join(word.text for word in parts.get("over", ())),
        compare=_chosen("comparison", _names("compare", compare), Compared),
        base="".join(word.text for word in base),
        rates=_chosen("rate", _names("with", rates), Rate),
        strata="".join(word.text for word in strata),
        order=_names("order", parts.get("order", ())),
        limit=_limit(parts.get("limit", ())),
        of="".join(word.text for word in parts.get("of", ())),
    )


def _split(words: Sequence[_Word], by: str) -> tuple[list[_Word], list[_Word]]:
    places = [n for n, word in enumerate(words) if word == _Word("word", by)]
    if not places:
        return list(words), []
    return list(words[: places[0]]), list(words[places[0] + 1 :])


def _names(part: str, words: Sequence[_Word]) -> tuple[str, ...]:
    names = []
    for position, word in enumerate(words):
        comma = position % 2 == 1
        if comma != (word == _Word("mark", ",")) or word.kind not in ("word", "mark"):
            raise QuestionError(f"{part}: give names, with commas between them")
        if not comma:
            names.append(word.text)
    if words and len(words) % 2 == 0:
        raise QuestionError(f"{part}: nothing follows the last comma")
    return tuple(names)


def _chosen(what: str, names: tuple[str, ...], known: object) -> tuple:
    for name in names:
        if name not in get_args(known):
            raise QuestionError(no_such(what, name, get_args(known)))
    return names


def _limit(words: Sequence[_Word]) -> int | None:
    text = "".join(word.text for word in words)
    if not text:
        return None
    if not re.fullmatch(r"\d{1,7}", text) or int(text) < 1:
        raise QuestionError("limit: give a whole number from 1 to 9999999")
    return int(text)


def _conditions(words: Sequence[_Word]) -> Iterator[Condition]:
    rest = list(words)
    while rest:
        end = next((n for n, word in enumerate(rest) if word == _Word("word", "and")), len(rest))
        yield _condition(rest[:end])
        if end == len(rest) - 1:
            raise QuestionError("where: nothing follows the last and")
        rest = rest[end + 1 :]


def _condition(words: Sequence[_Word]) -> Condition:
    example = "where: write conditions as year >= 2020 and state_abbreviation in (SP, RJ)"
    if len(words) < 3 or words[0].kind != "word":
        raise QuestionError(example)
    name, sign, *values = words
    if sign == _Word("word", "in"):
        if values[0].text != "(" or values[-1].text != ")" or len(values) < 3:
            raise QuestionError(example)
        listed: list[list[_Word]] = [[]]
        for word in values[1:-1]:
            if word == _Word("mark", ","):
                listed.append([])
            else:
                listed[-1].append(word)
        if not all(listed) or len(listed) > _MOST_VALUES:
            raise QuestionError(f"where: give 1 to {_MOST_VALUES} values, with commas between them")
        return Condition(name.text, "in", tuple(map(_value, listed)))
    if sign.kind != "sign":
        raise QuestionError(example)
    return Condition(name.text, sign.text, (_value(values),))  # type: ignore[arg-type]


def _value(words: Sequence[_Word]) -> str:
    """Words beside each other are one value, such as Rio Branco."""
    if any(word.kind in ("sign", "mark") for word in words):
        raise QuestionError("where: a value has a sign or a comma in it; put it in quotes")
    if len(words) > 1 and any(word.kind == "quoted" for word in words):
        raise QuestionError("where: something stands beside a value in quotes")
    return " ".join(word.text for word in words)


def _written(value: str) -> str:
    plain = re.fullmatch(r"[^\s,()=<>!'\"]+", value) and value not in (*PARTS, "and")
    return value if plain else "'" + value.replace("'", "''") + "'"
