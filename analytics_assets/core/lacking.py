"""What a table lacks to answer a question, and the question without that.

Belongs here: one reason each: measures, words, times, rates, and what small cells forbid.
Does not belong here: choosing among tables, or wording a refusal (``resolver.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date

from analytics_assets.core.catalogue import Offer, Subject
from analytics_assets.core.columns import Strata
from analytics_assets.core.question import Question, QuestionError
from analytics_assets.core.refusals import no_such
from analytics_assets.core.times import TIMES, aligned, one_time, span, widened

_WITHIN_YEAR = ("day", "month", "quarter", "year", "year_to_date")


@dataclass(frozen=True)
class Lack:
    """Why a table cannot answer, and the question without that."""

    text: str
    without: Question | None = None


def lacks(subject: Subject, offer: Offer, question: Question) -> Iterator[Lack]:
    """Why this table cannot answer; nothing if it can."""
    yield from _lacks_metrics(subject, offer, question)
    yield from _lacks_words(subject, offer, question)
    yield from _lacks_time(offer, question)
    yield from _lacks_rates(offer, question)
    if offer.table.withholds:
        yield from _lacks_shown(subject, offer, question)


def _lacks_metrics(subject: Subject, offer: Offer, question: Question) -> Iterator[Lack]:
    metrics = {name: offer.metric(name) for name in question.measures}
    absent = [name for name, metric in metrics.items() if metric is None]
    if absent:
        there = tuple(name for name in question.measures if name not in absent)
        fewer = replace(question, measures=there, order=()) if there else None
        yield Lack(f"{offer.name} has no {', '.join(absent)}", fewer)
    once = {
        offer.measures[need].distinct
        for metric in metrics.values()
        if metric
        for need in metric.needs
        if offer.measures[need].distinct
    }
    if once and (coarser := _beside(offer, question)):
        by = tuple(dict.fromkeys((*question.by, *coarser)))
        by = tuple(w for w in by if w not in TIMES or w in coarser or not _time_of(coarser))
        what = f"{', '.join(sorted(once))} are counted once in each row of {offer.name}"
        yield Lack(f"{what}, and rows do not add up; ask by {', '.join(coarser)}, too",
                    replace(question, by=by, compare=(), base="", order=()))  # fmt: skip


def _time_of(words: Sequence[str]) -> bool:
    return any(word in TIMES for word in words)


def _pinned(question: Question) -> set[str]:
    return {c.word for c in question.where if c.sign in ("=", "in") and len(c.values) == 1}


def _beside(offer: Offer, question: Question) -> list[str]:
    """The words of its rows that are neither asked by nor pinned to one value."""
    given = {*question.by, *_pinned(question)}
    keys = [*offer.keys, *([offer.axis.name] if offer.axis else [])]
    return [name for name in keys if name not in given]


def _lacks_words(subject: Subject, offer: Offer, question: Question) -> Iterator[Lack]:
    conditions = tuple(c for c in question.where if c.word in offer.words)
    by = tuple(name for name in question.by if name in offer.words)
    asked = dict.fromkeys([*question.by, *(c.word for c in question.where)])
    absent = [name for name in asked if name not in offer.words]
    if absent:
        finest = f", only by {offer.axis.name}" if offer.axis else ""
        times = [name for name in absent if name in TIMES]
        what = f"{offer.name} is not kept by {', '.join(absent)}"
        plain = replace(question, by=by, where=conditions, order=())
        if not any(name in TIMES for name in by):
            plain = replace(plain, compare=tuple(c for c in plain.compare if c == "share"), base="")
        yield Lack(what + (finest if times else ""), plain)
    given = {*question.by, *_pinned(question)}
    if (strata := standardised_by(offer, question)) and strata.pinned:
        given.add(strata.pinned[0])
    for name in offer.each:
        if name not in given:
            what = f"each {name} of {offer.name} holds all rows"
            yield Lack(f"{what}; say which, or ask by {name}",
                        replace(question, by=(*question.by, name)))  # fmt: skip


def _lacks_time(offer: Offer, question: Question) -> Iterator[Lack]:
    axis = offer.axis
    if not question.over:
        return
    if axis is None:
        yield Lack(f"{offer.name} has no time", replace(question, over=""))
        return
    first, last = asked_range(question)
    if not aligned(axis.name, first, last):
        wider = "..".join(map(str, widened(axis.name, first, last)))
        what = f"{offer.name} is kept by {axis.name}, and the range cuts one"
        yield Lack(what, replace(question, over=wider))
    if "year_to_date" in question.by:
        begins, ends = date(first.year, 1, 1), widened("month", last, last)[1]
        if (first, last) != (begins, ends):
            what = "a year to date begins with a year and ends with a month"
            yield Lack(what, replace(question, over=f"{begins}..{ends}"))
    time = one_time(question.by)
    compared = [c for c in question.compare if c in ("previous", "year_before")]
    whole = not compared or time is None or "year_to_date" in question.by
    if time and not whole and not aligned(time.name, first, last):
        wider = "..".join(map(str, widened(time.name, first, last)))
        what = f"a part of a {time.name} cannot be compared with a whole one"
        yield Lack(what, replace(question, over=wider))


def standardised_by(offer: Offer, question: Question) -> Strata | None:
    """What the table can standardise the shares of a question by, if that is asked."""
    if "standardised" not in question.rates:
        return None
    named = question.strata or next(iter(offer.strata), "")
    return offer.strata.get(named)


def _lacks_rates(offer: Offer, question: Question) -> Iterator[Lack]:
    if "standardised" not in question.rates:
        return
    others = tuple(rate for rate in question.rates if rate != "standardised")
    plain = replace(question, rates=others, strata="")
    if not offer.strata:
        yield Lack(f"{offer.name} has nothing to standardise by", plain)
    elif question.strata and question.strata not in offer.strata:
        told = no_such("way to standardise", question.strata, [*offer.strata])
        yield Lack(f"of {offer.name} {told}", plain)


def _lacks_shown(subject: Subject, offer: Offer, question: Question) -> Iterator[Lack]:
    """What a table of which cells are withheld cannot be asked."""
    hidden = keys_told_apart(subject, offer, question)
    if hidden is None:
        by = tuple(dict.fromkeys((*question.by, *offer.keys)))
        what = f"small cells of {offer.name} are withheld, so its places cannot be added up"
        yield Lack(f"{what}; ask by {', '.join(offer.keys)}", replace(question, by=by))
    times = [name for name in question.by if name in TIMES]
    nests = [t for t in times if t in _WITHIN_YEAR or (offer.axis and t == offer.axis.name)]
    first, last = asked_range(question) if question.over else (None, None)
    if not nests and not (first and last and first.year == last.year):
        what = f"small cells of {offer.name} are withheld by year, so years cannot be added up"
        rest = tuple(name for name in question.by if name not in TIMES)
        finest = offer.axis.name if offer.axis else "year"
        yield Lack(f"{what}; ask by {finest}", replace(question, by=(*rest, finest)))
    if "share" in question.compare or "smoothed" in question.rates or question.strata:
        what = "rows that are withheld are not listed, so there is no whole to compare with"
        yield Lack(what, replace(question, compare=(), rates=(), strata="", base=""))


def keys_told_apart(subject: Subject, offer: Offer, question: Question) -> list[str] | None:
    """The keys that are not asked by, where each is decided by what is; ``None`` where places would
    be added up. Of a name it is the key whose own name it is, not that of a larger place."""
    given = {*question.by, *_pinned(question)}
    hidden = []
    for key in offer.keys:
        if key in given:
            continue
        if not any(key in _own_keys(subject, name) for name in given):
            return None
        hidden.append(key)
    return hidden


def _own_keys(subject: Subject, attribute: str) -> set[str]:
    keys = subject.decided_by.get(attribute, frozenset())
    return {
        key
        for key in keys
        if not any(key in subject.decided_by.get(other, ()) for other in keys - {key})
    }


def asked_range(question: Question) -> tuple[date, date]:
    try:
        return span(question.over)
    except ValueError as error:
        raise QuestionError(f"over: {error}, or two of these with .. between them") from None
