"""Random questions, and the same computed from the facts: what the law of answers is tried with.

How words read from a row of the facts is typed by hand here (``Facts``), and not taken from the
declarations or the SQL of answers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

from analytics_assets.core.catalogue import Catalogue, Subject
from analytics_assets.core.plan import Plan
from analytics_assets.core.question import Condition, Question, QuestionError
from analytics_assets.core.resolver import CannotAnswer, Standing, resolve

Rows = Callable[[str], list[tuple[Any, ...]]]
# Word of time -> SQL of its label over a date {d}, and the axes of tables that can tell it.
LABELS = {
    "day": ("{d}", {"day"}),
    "week": ("({d} - (isodow({d}) - 1)::integer)::date", {"day", "week"}),
    "month": ("strftime({d}, '%Y-%m')", {"day", "month"}),
    "quarter": ("year({d}) || '-Q' || quarter({d})", {"day", "month", "quarter"}),
    "season": (
        "(year({d}) + (month({d}) = 12)::integer) || '-' || case when month({d}) in (12, 1, 2)"
        " then 'DJF' when month({d}) < 6 then 'MAM' when month({d}) < 9 then 'JJA' else 'SON' end",
        {"day", "month"},
    ),
    "year": ("year({d})", {"day", "month", "quarter", "year"}),
    "year_to_date": ("year({d})", {"day", "month"}),
}


@dataclass(frozen=True)
class Facts:
    """``source``: SQL of the rows, ``expanded``: rows for each value of ``each``; ``day``: SQL of
    their date; ``words``: word -> SQL; ``kept``: table -> its axis of time and its words;
    ``values``: word -> what may be asked for; ``measures``: name -> SQL of an aggregate."""

    source: str
    day: str
    words: Mapping[str, str]
    kept: Mapping[str, tuple[str, set[str]]]
    values: Mapping[str, Sequence[str]]
    measures: Mapping[str, str]
    expanded: Mapping[str, str] = field(default_factory=dict)
    spans: Sequence[tuple[str, date, date]] = ()
    unlike: Mapping[str, set[str]] = field(default_factory=dict)


def questions(facts: Facts, metrics: Sequence[str]) -> st.SearchStrategy[Question]:
    """Of a few words each, some of which no table can answer."""
    words = [*facts.words, *LABELS]
    condition = st.sampled_from(sorted(facts.values)).flatmap(
        lambda word: st.one_of(
            st.builds(
                lambda sign, value: Condition(word, sign, (value,)),
                st.sampled_from(("=", "=", "!=") + ((">=", "<=") if word == "year" else ())),
                st.sampled_from(facts.values[word]),
            ),
            st.lists(st.sampled_from(facts.values[word]), min_size=1, max_size=3).map(
                lambda values: Condition(word, "in", tuple(values))
            ),
        )
    )
    return st.builds(
        Question,
        measures=st.lists(st.sampled_from(metrics), min_size=1, max_size=3, unique=True).map(tuple),
        by=st.integers(0, 3).flatmap(
            lambda most: st.lists(st.sampled_from(words), max_size=most, unique=True).map(tuple)
        ),
        where=st.integers(0, 2).flatmap(
            lambda most: st.lists(condition, max_size=most).map(tuple)
        ),
        over=st.sampled_from(["", "", *(text for text, _, _ in facts.spans)]),
        compare=st.sampled_from([(), (), (), ("previous",), ("year_before",), ("share",),
                                 ("index",)]),
    )  # fmt: skip


# ---- who can answer ------------------------------------------------------------------------------


def able(facts: Facts, subject: Subject, question: Question) -> set[str]:
    """The tables that have what is asked, by what was typed by hand."""
    asked = {*question.by, *(condition.word for condition in question.where)}
    pinned = {c.word for c in question.where if c.sign in ("=", "in") and len(c.values) == 1}
    found = set()
    for offer in subject.offers:
        axis, words = facts.kept[offer.table.name.removesuffix("_public")]
        times = {name for name, (_, axes) in LABELS.items() if axis in axes}
        needs = {n for name in question.measures for n in subject.metric(name).needs}  # type: ignore[union-attr]
        if not needs <= set(offer.measures) or not asked <= words | times:
            continue
        given = {*question.by, *pinned}
        if facts.unlike.get(offer.table.name, set()) - given:
            continue
        once = any(offer.measures[name].distinct for name in needs)
        if once and not {*offer.keys, axis} <= given:
            continue
        if question.over and not _whole(axis, *_range(facts, question)):
            continue
        if question.over and {"previous", "year_before"} & set(question.compare):
            (time,) = [name for name in question.by if name in LABELS]
            if time != "year_to_date" and not _whole(time, *_range(facts, question)):
                continue
        if question.over and "year_to_date" in question.by:
            first, last = _range(facts, question)
            if (first.month, first.day) != (1, 1) or not _whole("month", first, last):
                continue
        found.add(offer.name)
    return found


def _range(facts: Facts, question: Question) -> tuple[date, date]:
    return next((a, b) for text, a, b in facts.spans if text == question.over)


def _whole(time: str, first: date, last: date) -> bool:
    """Whether the day before and the first, and the last and the day after, are of two periods."""
    key: dict[str, Callable[[date], Any]] = {
        "day": lambda d: d,
        "week": lambda d: d.isocalendar()[:2],
        "month": lambda d: (d.year, d.month),
        "quarter": lambda d: (d.year, (d.month + 2) // 3),
        "season": lambda d: (d.year + (d.month == 12), d.month % 12 // 3),
        "year": lambda d: d.year,
    }
    of, one = key[time], timedelta(days=1)
    return of(first - one) != of(first) and of(last) != of(last + one)


# ---- the same from the facts ---------------------------------------------------------------------


def expected(facts: Facts, subject: Subject, question: Question, rows: Rows) -> dict[tuple, dict]:
    """Values of ``by`` -> column -> value."""
    metrics = [subject.metric(name) for name in question.measures]
    needs = list(dict.fromkeys(n for m in metrics for n in m.needs))  # type: ignore[union-attr]
    compared = {"previous", "year_before"} & set(question.compare)
    cells = _cells(facts, question, needs, rows, bool(question.over))
    wider = _cells(facts, question, needs, rows, False) if compared else {}
    ratios = {m.name: m.ratio for m in metrics if m and m.ratio}

    def valued(cell: Mapping[str, Any]) -> dict[str, Any]:
        found = {name: cell[name] for name in question.measures if name in cell}
        for name, ratio in ratios.items():
            below = cell[ratio.denominator]
            found[name] = ratio.scale * cell[ratio.numerator] / below if below else None
        return found

    found = {key: valued(cell) for key, cell in cells.items()}
    was = {key: valued(cell) for key, cell in wider.items()}
    for asked in question.compare:
        _add_compared(asked, facts, question, found, was, set(ratios))
    return found


def _cells(
    facts: Facts, question: Question, needs: Sequence[str], rows: Rows, ranged: bool
) -> dict[tuple, dict[str, Any]]:
    asked = {*question.by, *(condition.word for condition in question.where)}
    expanded = [sql for word, sql in facts.expanded.items() if word in asked]
    source = expanded[0] if expanded else facts.source
    conditions = [_condition(facts, condition) for condition in question.where]
    last = f"select max({facts.day}) from source"
    if question.over:
        first, until = _range(facts, question)
        # What is compared with is of the same months.
        last += f" where {facts.day} <= date '{until}'"
        if ranged:
            conditions.append(f"{facts.day} between date '{first}' and date '{until}'")
    if "year_to_date" in question.by:
        conditions.append(f"month({facts.day}) <= (select month(({last})))")
    by = [_label(facts, word) for word in question.by]
    measures = [f"{facts.measures[name]} as {name}" for name in needs]
    listed = ", ".join([*(f"{sql} as g{n}" for n, sql in enumerate(by)), *measures])
    sql = f"with source as ({source}) select {listed} from source"
    sql += f" where {' and '.join(conditions) or 'true'}"
    sql += f" group by {', '.join(by)}" if by else " having count(*) > 0"
    found = {}
    for row in rows(sql):
        found[row[: len(by)]] = dict(zip(needs, row[len(by) :], strict=True))
    return found


def _label(facts: Facts, word: str) -> str:
    return LABELS[word][0].format(d=facts.day) if word in LABELS else facts.words[word]


def _condition(facts: Facts, condition: Condition) -> str:
    own = condition.word == "year"
    values = [v if own else "'" + v.replace("'", "''") + "'" for v in condition.values]
    listed = f"({', '.join(values)})" if condition.sign == "in" else values[0]
    return f"{_label(facts, condition.word)} {condition.sign} {listed}"


def _add_compared(
    asked: str,
    facts: Facts,
    question: Question,
    found: dict[tuple, dict],
    was: dict[tuple, dict],
    ratios: set[str],
) -> None:
    times = [n for n, word in enumerate(question.by) if word in LABELS]
    if asked in ("previous", "year_before"):
        (at,) = times
        for key, values in found.items():
            before = list(key)
            before[at] = _earlier(question.by[at], key[at], asked)
            earlier = was.get(tuple(before), {})
            values |= {f"{name}_{asked}": earlier.get(name) for name in question.measures}
    elif asked == "share":
        child = max(n for n in range(len(question.by)) if n not in times)
        for name in [n for n in question.measures if n not in ratios]:
            sums: dict[tuple, Any] = {}
            for key, values in found.items():
                parent = key[:child] + key[child + 1 :]
                sums[parent] = sums.get(parent, 0) + values[name]
            for key, values in found.items():
                whole = sums[key[:child] + key[child + 1 :]]
                values[f"{name}_share_pct"] = 100 * values[name] / whole if whole else None
    elif found:
        (at,) = times
        base = min((_begins(question.by[at], key[at]) for key in found), default=None)
        for key, values in found.items():
            same = [k for k in found if _begins(question.by[at], k[at]) == base
                    and all(k[n] == key[n] for n in range(len(key)) if n != at)]  # fmt: skip
            for name in question.measures:
                of = found[same[0]][name] if same else None
                own = values[name]
                values[f"{name}_index"] = 100 * own / of if of and own is not None else None


def _begins(time: str, label: Any) -> Any:
    if time == "season":
        year, name = label.split("-")
        return int(year), ("DJF", "MAM", "JJA", "SON").index(name)
    return label


def _earlier(time: str, label: Any, asked: str) -> Any:
    if time in ("year", "year_to_date"):
        return label - 1
    if time in ("day", "week"):
        if asked == "previous":
            return label - timedelta(days=1 if time == "day" else 7)
        if time == "week":
            return label - timedelta(days=364)
        leap = (label.month, label.day) == (2, 29)
        return label.replace(year=label.year - 1, day=28 if leap else label.day)
    year, part = label.split("-")
    order = {"quarter": ["Q1", "Q2", "Q3", "Q4"], "season": ["DJF", "MAM", "JJA", "SON"]}.get(
        time, [f"{n:02d}" for n in range(1, 13)]
    )
    if asked == "year_before":
        return f"{int(year) - 1}-{part}"
    place = order.index(part)
    return f"{int(year) - (place == 0)}-{order[place - 1]}"


# ---- the law -------------------------------------------------------------------------------------


def answer(plan: Plan, rows: Callable[[str, Mapping[str, Any]], list[tuple]]) -> dict[tuple, dict]:
    """Values of ``by`` -> column -> value, as the plan's own statement says."""
    names = [column.name for column in plan.columns]
    keys = len(plan.question.by)
    found = rows(plan.sql(), plan.parameters)
    assert len({row[:keys] for row in found}) == len(found)
    return {row[:keys]: dict(zip(names[keys:], row[keys:], strict=True)) for row in found}


def holds(
    facts: Facts,
    catalogue: Catalogue,
    question: Question,
    standing: Mapping[str, Standing],
    from_facts: Rows,
    from_tables: Callable[[str, Mapping[str, Any]], list[tuple]],
) -> str:
    """The answer is what the facts say, by the smallest table that can; or no table can. Returns
    the name of the table, or an empty text for a refusal."""
    (subject,) = catalogue.of(question.of or next(iter(catalogue.names())))
    plan = resolved(catalogue, question, standing)
    if not isinstance(plan, Plan):
        assert _right(facts, subject, question, plan), (str(question), plan)
        return ""
    rows = {o.name: standing[o.table.key].rows for o in subject.offers if o.table.key in standing}
    can = able(facts, subject, question)
    assert plan.offer.name in can, question
    assert rows[plan.offer.name] == min(rows[name] for name in can), question
    told, right = answer(plan, from_tables), expected(facts, subject, question, from_facts)
    assert set(told) == set(right), question
    for key, values in right.items():
        for name, value in values.items():
            assert same(told[key][name], value), (str(question), key, name, told[key][name], value)
    return plan.offer.name


def resolved(
    catalogue: Catalogue, question: Question, standing: Mapping[str, Standing]
) -> Plan | ValueError:
    """The plan, or why there is none."""
    try:
        return resolve(catalogue, question, standing)
    except (QuestionError, CannotAnswer) as refusal:
        return refusal


def _right(facts: Facts, subject: Subject, question: Question, refusal: ValueError) -> bool:
    """Whether no table can answer, or a comparison has no meaning."""
    if isinstance(refusal, CannotAnswer):
        return bool(refusal.missing) and not able(facts, subject, question)
    times = [name for name in question.by if name in LABELS]
    timed = any(condition.word in LABELS for condition in question.where)
    plain = [name for name in question.measures if subject.metric(name).measure]  # type: ignore[union-attr]
    if "share" in question.compare:
        return len(times) == len(question.by) or not plain
    return len(times) != 1 or timed


def same(told: Any, right: Any) -> bool:
    """Equal, but for the fifth decimal."""
    if told is None or right is None:
        return told is right
    return math.isclose(float(told), float(right), rel_tol=1e-9, abs_tol=6e-5)


def in_duckdb(session: Any) -> Callable[[str, Mapping[str, Any]], list[tuple]]:
    """Runs statements with ``%(name)s`` there."""

    def rows(sql: str, values: Mapping[str, Any]) -> list[tuple]:
        used = {name: value for name, value in values.items() if f"%({name})s" in sql}
        for name in used:
            sql = sql.replace(f"%({name})s", f"${name}")
        return session.execute(sql, used).fetchall()

    return rows


def counted(session: Any, catalogue: Catalogue) -> dict[str, Standing]:
    """How many rows each table of a DuckDB session has."""
    offers = itertools.chain.from_iterable(subject.offers for subject in catalogue.subjects)
    return {
        offer.table.key: Standing(
            session.execute(f"select count(*) from {offer.table.sql_name}").fetchone()[0]
        )
        for offer in offers
    }
