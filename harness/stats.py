"""Means and paired differences with their uncertainty, and success over repeats.

Pure functions over numbers; what has no score is the caller's to leave out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_RESAMPLES = 9_999
_BCA_UNITS = 10_000
_NUMBERS_AT_ONCE = 2_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean, and how sure it is.

    `se` is its standard error; `low` and `high` bound the interval at `confidence`. The three
    are None where they cannot be known: from one value, or from one cluster. `n` counts the
    values, `clusters` the groups that they fall into, where groups were given.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    se: float | None
    clusters: int | None = None
    confidence: float = 0.95

    def __str__(self) -> str:
        count = f"n={self.n}" + (f" in {self.clusters} clusters" if self.clusters else "")
        if self.low is None or self.high is None:
            return f"{self.mean:.4g} (no interval, {count})"
        return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}] ({count})"


@dataclass(frozen=True, slots=True)
class Difference:
    """How much higher the first of two matched columns of values is than the second, on average.

    `low` and `high` bound the mean difference at `confidence`; `p` is two-sided, for no
    difference. These and `se` are None where they cannot be known: from one pair, or from one
    cluster. `wins` counts the pairs whose first value is higher, `losses` those whose second is.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None
    n: int
    wins: int
    ties: int
    losses: int
    se: float | None
    clusters: int | None = None
    confidence: float = 0.95

    def __str__(self) -> str:
        count = f"n={self.n}" + (f" in {self.clusters} clusters" if self.clusters else "")
        if self.low is None or self.high is None or self.p is None:
            return f"{self.mean:+.4g} (no interval, {count})"
        return f"{self.mean:+.4g} [{self.low:+.4g}, {self.high:+.4g}] (p={self.p:.2g}, {count})"


def paired(
    first: Sequence[float] | Array,
    second: Sequence[float] | Array,
    *,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    method: Literal["t", "bootstrap"] = "t",
    seed: int = 0,
) -> Difference:
    """The mean of `first` - `second`, matched by position, with its interval and p.

    Student's paired t test with n - 1 degrees of freedom. With `clusters`, a group for each pair,
    standard error and degrees of freedom are those of `mean_interval`. Where all differences are
    equal there is no doubt: p is 0, or 1 if they are 0.

    `bootstrap` takes the interval of `mean_interval`, and p from turning it round: 1 less the
    confidence at which one end of the interval would be 0. It is never below 2 / 10,000.

    Raises:
        ValueError: if the two differ in length, and for all that `mean_interval` refuses.
    """
    one, other = _checked(first, confidence), _checked(second, confidence)
    if len(one) != len(other):
        raise ValueError(f"{len(one)} values and {len(other)}; pairs need as many of both")
    differences = one - other
    units = _units_of(differences, clusters)
    found, p = _interval(differences, units, confidence, method, seed)
    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    return Difference(
        mean=found.mean,
        low=found.low,
        high=found.high,
        p=p,
        n=found.n,
        wins=wins,
        ties=found.n - wins - losses,
        losses=losses,
        se=found.se,
        clusters=found.clusters,
        confidence=confidence,
    )


def mean_interval(
    values: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    method: Literal["t", "bootstrap", "score"] = "t",
    seed: int = 0,
) -> Interval:
    """The mean of `values` with a two-sided confidence interval.

    `t` is Student's interval with n - 1 degrees of freedom. Where values share something (a
    document, a conversation), give each one's group as `clusters`: the standard error is then
    cluster-robust (Liang and Zeger 1986, eq. 6, with the factor G / (G - 1) for G clusters:
    CR1), with G - 1 degrees of freedom. With fewer than about 20 clusters, or a few that hold
    most of the values, even this interval is somewhat too narrow.

    `bootstrap` resamples the values, or whole clusters, 9,999 times: BCa (Efron 1987), which
    follows a skewed distribution; above 10,000 of them, where skew no longer matters, the
    percentile interval. It takes about 5 ns a value and resample: a minute for a million.

    `score` is for the values of a scorer. Where there are two or more, all are 0 or 1, and nothing
    is shared, their mean is a share, and the interval is Wilson's (1927): it stays within 0 and 1,
    and has a width where all values are the same. Else it is `t`.

    Raises:
        ValueError: if there are no values, one is not finite, `clusters` has another length,
            or `confidence` is not between 0 and 1.
    """
    array = _checked(values, confidence)
    found = _interval(array, _units_of(array, clusters), confidence, method, seed)[0]
    if method == "score" and clusters is None and found.n > 1 and _are_outcomes(array):
        low, high = wilson(found.mean, found.n, confidence)
        return replace(found, low=low, high=high)
    return found


def wilson(share: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (1927) of the share of `n` independent outcomes."""
    from scipy.special import ndtri

    z = float(ndtri((1 + confidence) / 2))
    grown = 1 + z**2 / n
    centre = (share + z**2 / (2 * n)) / grown
    half = z / grown * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that one of `k` attempts succeeds, estimated without bias from `c` of `n`.

    Chen et al. 2021 (arXiv 2107.03374), eq. 1.

    Raises:
        ValueError: unless 0 <= c <= n and 1 <= k <= n.
    """
    _check_counts(n, c, k)
    draws = math.comb(n, k)
    return (draws - math.comb(n - c, k)) / draws


def pass_hat_k(n: int, c: int, k: int) -> float:
    """The chance that all of `k` attempts succeed (pass^k), estimated without bias from `c` of `n`.

    Yao et al. 2024 (tau-bench, arXiv 2406.12045), section 4.

    Raises:
        ValueError: unless 0 <= c <= n and 1 <= k <= n.
    """
    _check_counts(n, c, k)
    return math.comb(c, k) / math.comb(n, k)


def pass_at_k_interval(
    outcomes: Sequence[Sequence[float]],
    k: int,
    *,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> Interval:
    """The mean of `pass_at_k` over samples; `outcomes` holds each sample's repeats as 0 or 1.

    Samples may differ in their number of repeats. The interval is over samples, as for
    `mean_interval`.

    Raises:
        ValueError: if an outcome is not 0 or 1, or a sample has fewer than `k` repeats.
    """
    estimates = _estimates(pass_at_k, outcomes, k)
    return mean_interval(estimates, clusters=clusters, confidence=confidence)


def pass_hat_k_interval(
    outcomes: Sequence[Sequence[float]],
    k: int,
    *,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> Interval:
    """The mean of `pass_hat_k` over samples; otherwise as `pass_at_k_interval`."""
    estimates = _estimates(pass_hat_k, outcomes, k)
    return mean_interval(estimates, clusters=clusters, confidence=confidence)


def _checked(values: Sequence[float] | Array, confidence: float) -> Array:
    import numpy as np

    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; it lies between 0 and 1, as 0.95 does")
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array):
        raise ValueError("a mean needs one value at least, in a flat sequence")
    finite = np.isfinite(array)
    if not finite.all():
        first = int(finite.argmin())
        raise ValueError(f"value {first} is {values[first]!r}; leave out what has no score")
    return array


def _are_outcomes(array: Array) -> bool:
    return bool(((array == 0) | (array == 1)).all())


def _interval(
    array: Array, units: _Units, confidence: float, method: str, seed: int
) -> tuple[Interval, float | None]:
    """The interval, and the two-sided p for a mean of 0; None from one unit."""
    count = len(units.sums)
    known = None if units.sizes is None else count
    mean = float(array.mean())
    if count == 1:
        return Interval(mean, None, None, len(array), None, known, confidence), None
    se = units.standard_error(mean)
    bounds, p = _student(mean, se, count - 1, confidence), _two_sided(mean, se, count - 1)
    if method == "bootstrap" and not is_rounding(se, mean):
        bounds, p = _bootstrap(units, mean, confidence, seed)
    return Interval(mean, *bounds, len(array), se, known, confidence), p


@dataclass(frozen=True, slots=True)
class _Units:
    """What varies independently: single values, or clusters by the sum and number of theirs."""

    sums: Array
    sizes: Array | None

    def standard_error(self, mean: float) -> float:
        """CR1 of the mean; of clusters of one, it is the ordinary standard error."""
        import numpy as np

        count = len(self.sums)
        sizes = np.ones(count) if self.sizes is None else self.sizes
        residuals = self.sums - mean * sizes
        n = float(sizes.sum())
        return math.sqrt(count / (count - 1) * float(residuals @ residuals)) / n

    def acceleration(self) -> float:
        """Efron 1987, eq. 6.6: a sixth of the jackknife's skewness, as scipy's BCa takes it."""
        import numpy as np

        sizes = np.ones(len(self.sums)) if self.sizes is None else self.sizes
        left = (self.sums.sum() - self.sums) / (sizes.sum() - sizes)
        apart = left.mean() - left
        return float((apart**3).sum() / (6 * (apart**2).sum() ** 1.5))


def _units_of(array: Array, clusters: Sequence[Hashable] | None) -> _Units:
    import numpy as np

    if clusters is None:
        return _Units(array, None)
    if len(clusters) != len(array):
        raise ValueError(f"{len(clusters)} clusters for {len(array)} values; give one a value")
    numbers: dict[Hashable, int] = {}
    codes = [numbers.setdefault(cluster, len(numbers)) for cluster in clusters]
    sums = np.bincount(codes, weights=array).astype(np.float64)
    return _Units(sums, np.bincount(codes).astype(np.float64))


def _student(mean: float, se: float, df: int, confidence: float) -> tuple[float, float]:
    from scipy.special import stdtrit  # Student's quantile; scipy.stats loads three times as long

    half = float(stdtrit(df, (1 + confidence) / 2)) * se
    return mean - half, mean + half


def _two_sided(mean: float, se: float, df: int) -> float:
    """The chance of a mean at least as far from 0 where there is none, by Student's t."""
    from scipy.special import stdtr

    if not se:
        return 0.0 if mean else 1.0
    return 2 * float(stdtr(df, -abs(mean) / se))


def is_rounding(se: float, mean: float) -> bool:
    """Whether values of this mean and standard error are equal but for rounding."""
    return se <= 1e-12 * abs(mean)


def _bootstrap(
    units: _Units, mean: float, confidence: float, seed: int
) -> tuple[tuple[float, float], float]:
    """The interval, and p."""
    import numpy as np
    from scipy.stats import bootstrap

    def ratio(sums: Array, sizes: Array, axis: int = -1) -> Array:
        quotient: Array = sums.sum(axis) / sizes.sum(axis)
        return quotient

    clustered = units.sizes is not None
    skewed = len(units.sums) <= _BCA_UNITS
    result = bootstrap(
        (units.sums, units.sizes) if clustered else (units.sums,),
        ratio if clustered else np.mean,
        paired=clustered,
        vectorized=True,
        n_resamples=_RESAMPLES,
        batch=max(1, _NUMBERS_AT_ONCE // len(units.sums)),
        confidence_level=confidence,
        method="BCa" if skewed else "percentile",
        rng=np.random.default_rng(seed),
    )
    found = result.confidence_interval
    means = result.bootstrap_distribution
    bias = _place(means, mean) if skewed else 0.0
    p = _turned_round(_place(means, 0.0), bias, units.acceleration() if skewed else 0.0)
    return (float(found.low), float(found.high)), p


def _turned_round(zero: float, bias: float, skew: float) -> float:
    """The p at which an end of BCa's interval (Efron 1987, eq. 3.9) is 0, which lies at `zero`."""
    from scipy.special import ndtr

    away = zero - bias
    one_side = float(ndtr(away / (1 + skew * away) - bias))
    return 2 * min(one_side, 1 - one_side)


def _place(means: Array, value: float) -> float:
    """How many deviations of a normal distribution a value lies from the middle of `means`."""
    from scipy.special import ndtri

    below = (float((means < value).sum()) + float((means <= value).sum())) / (2 * len(means))
    least = 1 / (len(means) + 1)
    return float(ndtri(min(max(below, least), 1 - least)))


def _check_counts(n: int, c: int, k: int) -> None:
    if not 0 <= c <= n or not 1 <= k <= n:
        raise ValueError(f"{c} successes of {n} at k={k}: 0 <= c <= n and 1 <= k <= n must hold")


def _estimates(
    estimator: Callable[[int, int, int], float], outcomes: Sequence[Sequence[float]], k: int
) -> list[float]:
    known = cache(estimator)
    return [known(len(o), _successes(i, o, k), k) for i, o in enumerate(outcomes)]


def _successes(sample: int, outcomes: Sequence[float], k: int) -> int:
    if len(outcomes) < k:
        raise ValueError(f"sample {sample} has {len(outcomes)} repeats; k={k} needs as many")
    successes = outcomes.count(1)
    if successes + outcomes.count(0) != len(outcomes):
        raise ValueError(f"sample {sample} has {list(outcomes)}; an outcome is 0 or 1")
    return successes
