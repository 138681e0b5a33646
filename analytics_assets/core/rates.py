"""Rates that can be trusted: intervals, small areas, standards, changes; SQL of each formula.

Belongs here: formulas over counts, each with the source that it is from, in SQL that is the same
text in DuckDB and PostgreSQL, and in words for the dictionary.
Does not belong here: which columns of an answer have one (``plan.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analytics_assets.core.columns import Ratio
from analytics_assets.core.contracts import quoted

_Z = "1.959963984540054"  # 95 % of a normal distribution are within
# Word -> formula and source, for the dictionary.
FORMULAS = {
    "interval": "Wilson's 95 % interval of a share x / n: (x + z²/2 ± z √(x (n - x) / n + z²/4))"
    " / (n + z²), z = 1.96. E. B. Wilson (1927), Probable inference, the law of succession, and"
    " statistical inference, JASA 22, 209-212.",
    "smoothed": "Empirical Bayes by moments: m + w (x / n - m), m = Σx / Σn over all rows of the"
    " period, w = A / (A + m (1 - m) / n), A = max(0, Σn (x/n - m)² / Σn - m (1 - m) / mean n)."
    " R. J. Marshall (1991), Mapping disease and mortality rates using empirical Bayes estimators,"
    " Applied Statistics 40, 283-294, with the variance of a share.",
    "standardised": "Direct standardisation: Σ w x / n by stratum over Σ w, w = the stratum's rows"
    " in all places and times of the table; a stratum without rows has no weight. O. B. Ahmad et"
    " al. (2001), Age standardization of rates, WHO GPE discussion paper 31.",
    "significance": "rise or fall where |z| > 1.96: of counts z = (a - b) / √(a + b) (Poisson), of"
    " shares z = (p - q) / √(r (1 - r) (1/n + 1/m)), r that of both together; else within chance."
    " J. L. Fleiss et al. (2003), Statistical Methods for Rates and Proportions, ch. 3.",
}


def _double(sql: str) -> str:
    return f"cast({sql} as double precision)"


def _shown(sql: str) -> str:
    return f"cast(round(cast({sql} as decimal(38, 10)), 4) as decimal(18, 4))"


def wilson(part: str, whole: str, scale: int) -> Iterator[tuple[str, str]]:
    """``low`` and ``high`` -> SQL; NULL where there is nothing to be a share of."""
    x, n = _double(part), _double(whole)
    root = f"{_Z} * sqrt(greatest({x} * ({n} - {x}) / nullif({n}, 0), 0) + {_Z} * {_Z} / 4)"
    for which, sign in (("low", "-"), ("high", "+")):
        end = f"({x} + {_Z} * {_Z} / 2 {sign} {root}) / ({n} + {_Z} * {_Z})"
        yield which, f"case when {whole} > 0 then {_shown(f'{scale} * {end}')} end"


def smoothed(part: str, whole: str, scale: int, peers: str) -> str:
    """SQL of the smoothed share, over all rows of the window ``peers``."""
    x, n = _double(part), _double(whole)
    over = f"over ({peers})"
    total = f"nullif(sum({n}) {over}, 0)"
    mean = f"(sum({x}) {over} / {total})"
    # Σn (x/n - m)² = Σ x²/n - m² Σn, so that one window is enough.
    spread = f"(sum({x} * {x} / nullif({n}, 0)) {over} / {total} - {mean} * {mean})"
    chance = f"{mean} * (1 - {mean})"
    between = f"greatest(0, {spread} - {chance} * count(*) filter (where {whole} > 0) {over}"
    between += f" / {total})"
    # Without any chance (none or all have it) the mean is what each row has.
    weight = f"coalesce({between} / nullif({between} + {chance} / nullif({n}, 0), 0), 0)"
    value = f"{scale} * ({mean} + {weight} * ({x} / nullif({n}, 0) - {mean}))"
    return f"case when {whole} > 0 then {_shown(value)} end"


def standardised(ratio: Ratio, rows: str, standard: str) -> str:
    """SQL of the standardised share of a group of ``rows`` by stratum, beside ``standard``."""
    part, whole = (f"{rows}.{quoted(n)}" for n in (ratio.numerator, ratio.denominator))
    known = f"filter (where {whole} > 0)"
    share = f"{standard}._weight * {_double(part)} / nullif({whole}, 0)"
    return _shown(f"{ratio.scale} * sum({share}) {known} / sum({standard}._weight) {known}")


def significance(now: Sequence[str], before: Sequence[str]) -> str:
    """SQL of a word on a change; of counts, or of (part, whole) of shares."""
    if len(now) == 1:
        a, b = _double(now[0]), _double(before[0])
        change, error = f"({a} - {b})", f"sqrt(nullif({a} + {b}, 0))"
    else:
        (x, n), (y, m) = map(_double, now), map(_double, before)
        change = f"({x} / nullif({n}, 0) - {y} / nullif({m}, 0))"
        both = f"(({x} + {y}) / nullif({n} + {m}, 0))"
        variance = f"{both} * (1 - {both}) * (1 / nullif({n}, 0) + 1 / nullif({m}, 0))"
        # Of equal shares of none or all, rounding may leave less than nothing.
        error = f"sqrt(nullif(greatest({variance}, 0), 0))"
    return (
        f"case when {change} is null then null when {change} / {error} > {_Z} then 'rise'"
        f" when {change} / {error} < -{_Z} then 'fall' else 'within chance' end"
    )


def formula_of(word: str) -> str:
    """The formula of a column that ends in this word, if it has one."""
    return FORMULAS.get({"low": "interval", "high": "interval"}.get(word, word), "")
