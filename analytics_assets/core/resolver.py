"""Which promoted table answers a question; or what is missing, and the nearest that one can.

Belongs here: choosing the table with the fewest rows that has what is asked and is fresh, and the
words of a refusal.
Does not belong here: the SQL of an answer (``plan.py``), reading it from anywhere.

An answer is computed from what readers see of one table, so it gives away nothing that they could
not read there. Where small cells are withheld, rows are missing, and a sum of the others would be
another number: there, places are not added up, and times only within a year, of which a place is
withheld as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from analytics_assets.core.catalogue import Catalogue, Metric, Offer, Subject
from analytics_assets.core.columns import Column
from analytics_assets.core.contracts import quoted
from analytics_assets.core.lacking import asked_range, keys_told_apart, lacks, standardised_by
from analytics_assets.core.plan import Plan
from analytics_assets.core.question import Condition, Question, QuestionError
from analytics_assets.core.refusals import nearest_word, no_such
from analytics_assets.core.times import TIMES, one_time, period

# The states of a table, the best first; what is missing cannot be read.
STATES = ("fresh", "behind", "unknown", "stale", "unaudited", "altered")
_BIGGEST = 2**63 - 1


@dataclass(frozen=True)
class Standing:
    """How a promoted table stands: its rows, and one of ``STATES``."""

    rows: int
    state: str = "fresh"


class CannotAnswer(ValueError):
    """No promoted table can answer; ``missing`` says why the nearest one cannot, and ``nearest`` is
    a question that it can, in words, or empty."""

    def __init__(self, missing: Sequence[str], nearest: str = "") -> None:
        self.missing, self.nearest = tuple(missing), nearest
        text = f"No promoted table answers this: {'; '.join(missing)}."
        super().__init__(f"{text} One that can be answered: {nearest}" if nearest else text)


def resolve(catalogue: Catalogue, question: Question, standing: Mapping[str, Standing]) -> Plan:
    """The plan of the table that answers; ``standing``: table key -> how it stands, of those that
    are there. Raises ``QuestionError`` for words that nobody knows, and ``CannotAnswer``."""
    subject = _subject(catalogue, question)
    _check_words(subject, question)
    candidates = [offer for offer in subject.offers if offer.table.key in standing]
    if not candidates:
        raise CannotAnswer(["nothing that counts this is promoted yet"])
    able = [offer for offer in candidates if not any(lacks(subject, offer, question))]
    if able:
        return _plan(subject, min(able, key=lambda offer: _rank(offer, standing)), question)
    raise _refusal(subject, candidates, question, standing)


def _rank(offer: Offer, standing: Mapping[str, Standing]) -> tuple[int, int, str]:
    """Before all whether it is fresh, then its rows."""
    own = standing[offer.table.key]
    return STATES.index(own.state), own.rows, offer.name


# ---- what is asked -------------------------------------------------------------------------------


def _subject(catalogue: Catalogue, question: Question) -> Subject:
    subjects = catalogue.of(question.of)
    if not subjects:
        raise QuestionError(no_such("domain or table of facts", question.of, [*catalogue.names()]))
    able = [s for s in subjects if all(s.metric(name) for name in question.measures)]
    if len(able) > 1:
        told = " or ".join(f"of {subject.domain}.{subject.name}" for subject in able)
        raise QuestionError(f"{question.measures[0]} is counted in several places: add {told}")
    if able:
        return able[0]
    raise _unknown(subjects, question)


def _unknown(subjects: Sequence[Subject], question: Question) -> ValueError:
    for name in question.measures:
        knows = [subject for subject in subjects if subject.metric(name)]
        if knows:
            continue
        for subject in subjects:
            if offer := subject.stored_only(name):
                keys = ", ".join(offer.table.unique_columns)
                return CannotAnswer(
                    [
                        f"{name} stands in the rows of {offer.name}, one for each {keys}, and"
                        " cannot be added up or averaged; read it there"
                    ]
                )
        known = [metric for subject in subjects for metric in subject.metrics]
        what = no_such("measure", name, known)
        what += "" if what.endswith("?") else "."
        return QuestionError(f"{what} `analytics-assets ask` alone and /api/v1/metrics list all")
    return QuestionError(f"no facts have all of {', '.join(question.measures)}: ask one by one")


def _check_words(subject: Subject, question: Question) -> None:
    asked = [*question.by, *(condition.word for condition in question.where)]
    for name in asked:
        if name not in subject.words and name not in TIMES:
            raise QuestionError(no_such("word to ask by", name, [*subject.words]))
    metrics = [m for name in question.measures if (m := subject.metric(name))]
    _check_compared(question, metrics)
    if question.rates and not any(metric.is_share for metric in metrics):
        shares = [m.name for m in subject.metrics.values() if m.is_share]
        near = nearest_word(question.measures[0], shares)
        meant = f", such as {near or shares[0]}" if shares else ""
        raise QuestionError(f"with {question.rates[0]}: ask for a share{meant}")


def _check_compared(question: Question, metrics: Sequence[Metric]) -> None:
    times = [name for name in question.by if name in TIMES]
    for asked in question.compare:
        if asked != "share" and len(times) != 1:
            some = "month" if not times else times[0]
            raise QuestionError(f"compare {asked}: give one word of time in by, such as {some}")
        if asked == "share" and (
            len(times) == len(question.by) or not any(m.measure for m in metrics)
        ):
            raise QuestionError(
                "compare share: ask for a measure that adds up, by something beside time"
            )
    timed = [c.word for c in question.where if c.word in TIMES]
    if timed and set(question.compare) & {"previous", "year_before"}:
        # A condition would take away what is compared with.
        raise QuestionError(f"compare: say the time as a range, such as over 2020..2023, and not"
                            f" where {timed[0]}")  # fmt: skip
    if question.base and "index" not in question.compare:
        raise QuestionError("to names the base period of compare index")


# ---- the refusal ---------------------------------------------------------------------------------


def _refusal(
    subject: Subject,
    candidates: Sequence[Offer],
    question: Question,
    standing: Mapping[str, Standing],
) -> CannotAnswer:
    """The reasons of the table that lacks least, and what it could be asked."""

    def distance(offer: Offer) -> tuple[int, int, int, tuple]:
        nearest = _nearest(subject, offer, question)
        words = len({*question.by, *(c.word for c in question.where)} - set(offer.words))
        found = words + len(list(lacks(subject, offer, question)))
        return nearest is None, found, _days(nearest or question), _rank(offer, standing)

    best = min(candidates, key=distance)
    reasons = [lack.text for lack in lacks(subject, best, question)]
    return CannotAnswer(reasons, str(_nearest(subject, best, question) or ""))


def _days(question: Question) -> int:
    """How long the range of a question is: one that has to be widened is best widened little."""
    if not question.over:
        return 0
    first, last = asked_range(question)
    return (last - first).days


def _nearest(subject: Subject, offer: Offer, question: Question) -> Question | None:
    """What is left of the question where what this table lacks is taken away, one by one."""
    for _ in range(10):
        lack = next(lacks(subject, offer, question), None)
        if lack is None:
            return question
        if lack.without is None or lack.without == question:
            return None
        question = lack.without
    return None


# ---- the plan ------------------------------------------------------------------------------------


def _plan(subject: Subject, offer: Offer, question: Question) -> Plan:
    metrics = [metric for name in question.measures if (metric := offer.metric(name))]
    conditions: list[str] = []
    values: dict[str, Any] = {}
    for number, condition in enumerate(question.where):
        sql, bound = _condition(offer, condition, f"w{number}")
        conditions.append(sql)
        values |= bound
    if strata := standardised_by(offer, question):
        values["unknown"] = strata.unknown
        if strata.pinned:
            values["pinned"] = strata.pinned[1]
            conditions.append(f"{quoted(strata.pinned[0])} = %(pinned)s")
    attributes = [n for n in question.by if subject.decided_by.get(n, set()) & set(question.by)]
    plan = Plan(
        offer,
        question,
        tuple(metrics),
        tuple(conditions),
        values,
        over=asked_range(question) if question.over else None,
        base=_base(question),
        hidden=tuple(keys_told_apart(subject, offer, question) or ())
        if offer.table.withholds
        else (),
        attributes=tuple(attributes),
        strata=strata,
        notes=tuple(_notes(offer, question, metrics)),
    )
    names = [column.name for column in plan.columns]
    for name in question.order:
        if name.removeprefix("-") not in names:
            raise QuestionError(f"order: {no_such('column', name.removeprefix('-'), names)}")
    return plan


def _notes(offer: Offer, question: Question, metrics: Sequence[Metric]) -> Iterator[str]:
    if offer.table.withholds:
        yield "Small cells are withheld: their values are null, and rows without any are left out."
    for metric in metrics:
        if metric.kind == "percentile" and offer.bins:
            width, bound = offer.bins.width, offer.bins.bound
            yield (
                f"{metric.name} is the middle of a bin of {width} {offer.bins.unit}, and off by at"
                f" most {bound:g} {offer.bins.unit}."
            )
    if "year_before" in question.compare and "year" in question.by:
        yield "A year that is under way is compared with a whole one; ask by year_to_date."


def _base(question: Question) -> date | None:
    time = one_time(question.by)
    if not question.base or time is None:
        return None
    try:
        return time.floor(period(question.base)[0])
    except ValueError as error:
        raise QuestionError(f"to: {error}") from None


def _condition(offer: Offer, condition: Condition, name: str) -> tuple[str, dict[str, Any]]:
    word = offer.words[condition.word]
    values = [_value(condition.word, word.column, text) for text in condition.values]
    sign = "<>" if condition.sign == "!=" else condition.sign
    bound = {f"{name}_{position}": value for position, value in enumerate(values)}
    type_ = "::date" if isinstance(values[0], date) else ""
    listed = [f"%({key})s{type_}" for key in bound]
    compared = f"in ({', '.join(listed)})" if sign == "in" else f"{sign} {listed[0]}"
    # An index begins with the year's own column, where there is one.
    axis = offer.axis
    sql = word.sql
    if condition.word == "year" and axis and axis.columns[0].name == "year":
        bound = {key: value.year for key, value in bound.items()}
        sql, compared = '"year"', compared.replace("::date", "")
    return f"{sql} {compared}", bound


def _value(word: str, column: Column, text: str) -> Any:
    if word not in TIMES:
        return typed(word, column, text)
    try:
        return TIMES[word].floor(period(text)[0])
    except ValueError as error:
        raise QuestionError(f"where {word}: {error}") from None


def typed(word: str, column: Column, text: str) -> Any:
    """The text as the type of the column that it is compared with; ``QuestionError`` where it is
    none."""
    try:
        if column.type in ("integer", "bigint"):
            number = int(text)
            if abs(number) > _BIGGEST:
                raise ValueError
            return number
        if column.type == "date":
            return period(text)[0]
        if column.type == "boolean":
            return {"true": True, "false": False}[text.lower()]
        if column.type == "text":
            if "\0" in text:
                raise ValueError
            return text
        return float(text)
    except (ValueError, KeyError):
        raise QuestionError(f"where {word}: give a value of the type {column.type}") from None
