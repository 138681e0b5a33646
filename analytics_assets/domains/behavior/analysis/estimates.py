"""Regression on a short, autocorrelated series.

Belongs here: estimates, their correlation and their standard errors, for some 16 points on.
Does not belong here: which model is fitted (``its.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vector = NDArray[np.float64]
Whole = NDArray[np.int64]
Covariance = Literal["prewhitened", "hac", "quasi-poisson"]
COVARIANCES: tuple[Covariance, ...] = get_args(Covariance)
# Beyond, the matrices of the correction take more than some 100 MB.
MOST_CORRECTED = 2_000


class Refusal(ValueError):
    """Data from which nothing can be concluded: says what is missing, and how much is needed."""


@dataclass(frozen=True)
class Estimate:
    """A value with its confidence interval and two-sided p-value against no effect.

    The interval is infinite where the data allow no statement at this confidence.
    """

    value: float
    low: float
    high: float
    p_value: float

    def as_factor(self) -> Estimate:
        """Of a logarithm: the factor that it stands for."""
        with np.errstate(over="ignore"):
            low, value, high = (float(np.exp(x)) for x in (self.low, self.value, self.high))
        return Estimate(value, low, high, self.p_value)

    def per(self, units: float) -> Estimate:
        """Of a change in so many units: that in one."""
        return Estimate(self.value / units, self.low / units, self.high / units, self.p_value)


def mean_of(
    estimates: Sequence[Estimate], factors: bool = False, confidence: float = 0.95
) -> Estimate:
    """Mean of the estimates of several subjects, ``factors`` by their logarithms.

    The interval is Student's over subjects, so it holds for others like them. It is infinite for
    one subject; raises ``Refusal`` for none.
    """
    from scipy import stats

    if not estimates:
        raise Refusal("no subject has a series that can be analysed")
    values = np.array([one.value for one in estimates])
    values = np.log(values) if factors else values
    n, mean = len(values), float(values.mean())
    found = Estimate(mean, -np.inf, np.inf, 1.0)
    if n > 1 and values.std() > 0:
        error = float(values.std(ddof=1)) / n**0.5
        reach = error * float(stats.t.ppf(0.5 + confidence / 2, n - 1))
        p_value = 2 * float(stats.t.sf(abs(mean) / error, n - 1))
        found = Estimate(mean, mean - reach, mean + reach, p_value)
    return found.as_factor() if factors else found


@dataclass(frozen=True)
class Fit:
    """Coefficients with their covariance and degrees of freedom, and what neighbours correlate.

    ``covariance`` is k x k for k coefficients; ``autocorrelation`` is at a distance of one point,
    from 0 to below 1; ``effective_points`` so many that do not depend on each other tell as much.
    """

    coefficients: Vector
    covariance: NDArray[np.float64]
    degrees_of_freedom: Vector
    autocorrelation: float
    effective_points: float

    def estimate(self, number: int, confidence: float) -> Estimate:
        """A coefficient as an estimate."""
        from scipy import stats

        df = self.degrees_of_freedom[number]
        value = float(self.coefficients[number])
        error = float(np.sqrt(self.covariance[number, number]))
        reach = error * float(stats.t.ppf(0.5 + confidence / 2, df))
        p_value = 2 * float(stats.t.sf(abs(value) / error, df))
        return Estimate(value, value - reach, value + reach, p_value)

    def band(self, design: Vector, confidence: float) -> tuple[Vector, Vector]:
        """Pointwise interval of what a design gives."""
        from scipy import stats

        error = np.sqrt(np.einsum("ij,jk,ik->i", design, self.covariance, design).clip(min=0))
        reach = error * stats.t.ppf(0.5 + confidence / 2, self.degrees_of_freedom.min())
        middle = design @ self.coefficients
        return middle - reach, middle + reach


def regress(
    regressors: ArrayLike,
    outcome: ArrayLike,
    points: ArrayLike,
    covariance: Covariance = "prewhitened",
    noise: float = 0.0,
) -> Fit:
    """Linear regression whose errors may be correlated in time.

    ``regressors`` is n x k; ``points`` says when each row is, in points: it rises, gaps allowed.
    ``noise`` is a part of the errors' variance that is known to be of each point alone.
    Raises ``Refusal`` for coefficients that the series cannot tell apart, and for a series that the
    model explains without any error.

    The correlation of neighbours is estimated by restricted maximum likelihood, which is not biased
    downwards in short series as that of residuals is (Turner et al. 2021, BMC Medical Research
    Methodology 21:181), and is at least the median of that likelihood, so that it is not too small
    more often than too large (Andrews 1993, Econometrica 61:139-165, on median-unbiasedness). What
    ``noise`` hides of it is added. ``covariance`` says what becomes of it:

    ``prewhitened``: it is taken out (Prais and Winsten 1954); what is left has a Newey-West (HAC)
    covariance with Bartlett's weights, n / (n - k) and bandwidth 4 (n / 100)^(2/9): prewhitened HAC
    as of Andrews and Monahan (1992). A coefficient never has a smaller error than ordinary least
    squares gives it there: in short series HAC alone errs downwards.

    ``hac``: ordinary least squares with that HAC covariance of its own residuals, whose variances
    are corrected as of Bell and McCaffrey (2002; Imbens and Kolesar 2016): divided by what they
    expect to be in errors of this correlation, with Satterthwaite's degrees of freedom.

    ``quasi-poisson``: ordinary least squares with its own covariance, corrected in the same way.
    Where neighbours do not correlate that is the classical one, with n - k degrees of freedom.

    Intervals are Student's, with at most n (1 - r) / (1 + r) - k degrees of freedom, and at least
    2: the effective number of points of Bayley and Hammersley (1946), less the coefficients.
    """
    x, y = np.asarray(regressors, float), np.asarray(outcome, float)
    at = np.asarray(points, float)
    n, k = x.shape
    if np.linalg.matrix_rank(x / np.linalg.norm(x, axis=0).clip(min=1e-300)) < k:
        raise Refusal("the terms of the model cannot be told apart at the points of this series")
    # What is left of ordinary least squares has more digits than an outcome far from 0.
    first = np.linalg.lstsq(x, y, rcond=None)[0]
    left = y - x @ first
    total = float(((y - y.mean()) ** 2).sum())
    if left @ left <= 1e-12 * total + n * (1e-14 * float(np.abs(y).max())) ** 2:
        raise Refusal("the series does not vary, so no error can be estimated")
    neighbours = _autocorrelation(x, left, np.diff(at))
    correlation = _lasting(neighbours, 1 - noise * (n - k) / float(left @ left))
    effective = n * (1 - correlation) / (1 + correlation)
    if covariance == "prewhitened":
        more, found = _prewhitened(x, left, np.diff(at), correlation)
        own = np.full(k, np.inf)
    else:
        more, found, own = _corrected(x, left, at, correlation, covariance == "hac")
    freedom = np.minimum(own, max(effective - k, 2.0)).clip(min=1.0)
    return Fit(first + more, found, freedom, neighbours, effective)


def _bandwidth(n: int) -> int:
    """Newey and West (1994)."""
    return int(4 * (n / 100) ** (2 / 9))


def _prewhitened(
    x: Vector, y: Vector, gaps: Vector, correlation: float
) -> tuple[Vector, NDArray[np.float64]]:
    """Coefficients and their covariance, after the correlation was taken out."""
    import statsmodels.api as sm  # over a second, which most runs do without

    model = sm.OLS(_whitened(y, correlation, gaps), _whitened(x, correlation, gaps))
    plain = model.fit()
    lags = _bandwidth(len(y))
    robust = model.fit(cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": True})
    covariance = np.asarray(robust.cov_params())
    spread = np.maximum(np.sqrt(np.diag(covariance)), 1e-300)
    larger = np.maximum(1.0, np.asarray(plain.bse) / spread)
    return np.asarray(plain.params), covariance * np.outer(larger, larger)


def _corrected(
    x: Vector, y: Vector, points: Vector, correlation: float, hac: bool
) -> tuple[Vector, NDArray[np.float64], Vector]:
    """Coefficients of ordinary least squares, their covariance, and degrees of freedom of each.

    The estimated variance of a coefficient a'y is a quadratic form of the errors, whose mean and
    variance are known where the errors have this correlation: the first corrects the estimate, the
    second gives the degrees of freedom.
    """
    n, k = x.shape
    if n > MOST_CORRECTED:
        raise Refusal(f"{n} points; only covariance='prewhitened' takes more than {MOST_CORRECTED}")
    inverse = np.linalg.inv(x.T @ x)
    each = x @ inverse
    remain = np.eye(n) - each @ x.T
    coefficients = each.T @ y
    residuals = remain @ y
    apart = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    weights = np.clip(1 - apart / (_bandwidth(n) + 1), 0, None)
    errors = correlation ** np.abs(np.subtract.outer(points, points))
    if hac:
        seen = (each.T * residuals) @ weights @ (residuals[:, None] * each)
    else:
        seen = inverse * (residuals @ residuals) / (n - k)
    factors, freedom = np.empty(k), np.empty(k)
    for number, own in enumerate(each.T):
        middle = weights * np.outer(own, own) if hac else np.eye(n) * (own @ own) / (n - k)
        form = remain @ middle @ remain @ errors
        expected = float(np.trace(form))
        factors[number] = np.sqrt(own @ errors @ own / expected)
        freedom[number] = expected**2 / float((form * form.T).sum())
    return coefficients, seen * np.outer(factors, factors), freedom


def _whitened(values: Vector, correlation: float, gaps: Vector) -> Vector:
    """Rows less what the row before them, ``gaps`` earlier, tells of them, at equal variance."""
    kept = correlation**gaps
    scale = np.sqrt(1 - kept**2)
    if values.ndim == 2:
        kept, scale = kept[:, None], scale[:, None]
    return np.concatenate([values[:1], (values[1:] - kept * values[:-1]) / scale])


def _lasting(neighbours: float, share: float) -> float:
    """The correlation of errors without noise whose mean varies as much as that of these.

    Only a share of their variance lasts, and correlates by more than neighbours do (Zeger 1988,
    Biometrika 75:621-629). What little is known of a small share is bounded by a root.
    """
    if not neighbours:
        return 0.0
    own = neighbours / max(share, neighbours**0.5)
    return neighbours / (1 - own + neighbours)


def _autocorrelation(x: Vector, y: Vector, gaps: Vector) -> float:
    """Restricted maximum likelihood, profiled over coefficients and variance; above 0 at least the
    median of that likelihood, which in short series does not lie below the truth more often."""
    from scipy.integrate import cumulative_trapezoid
    from scipy.optimize import minimize_scalar

    n, k = x.shape

    def loss(correlation: float) -> float:
        wx, wy = _whitened(x, correlation, gaps), _whitened(y, correlation, gaps)
        normal = wx.T @ wx
        rest = wy - wx @ np.linalg.solve(normal, wx.T @ wy)
        spread = np.log1p(-(correlation ** (2 * gaps))).sum()
        return float((n - k) * np.log(rest @ rest) + spread + np.linalg.slogdet(normal)[1]) / 2

    most = 0.98
    found = minimize_scalar(loss, bounds=(0.0, most), method="bounded", options={"xatol": 1e-8})
    if loss(0.0) <= found.fun:
        return 0.0
    tried = np.linspace(0.0, most, 50)
    likelihood = np.exp(found.fun - np.array([loss(one) for one in tried]))
    below = cumulative_trapezoid(likelihood, tried, initial=0)
    return max(float(found.x), float(np.interp(below[-1] / 2, below, tried)))
