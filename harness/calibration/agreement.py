"""How well two raters, or several, agree: measures as functions of resampling weights.

Each function takes the raters' values and gives a `Statistic` (see `resampling`): weights in,
one number a draw out, NaN where the measure is undefined. A missing value is NaN, and the pair
or the unit that lacks it is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.calibration.resampling import Array, Codes, Mask, Statistic

_ROUNDING = 1e-12


def quadratic_kappa(first: Array, second: Array) -> Statistic:
    """Cohen's kappa with quadratic weights; values are places on the scale.

    1 - E_observed (a - b)^2 / E_chance (a - b)^2 (Cohen 1968, with weights that grow as the
    square of the distance). Distances are those of the values, so a level that nobody used
    counts like any other. For values between levels it is Lin's concordance correlation (1989).
    Undefined where all values of both raters are one.
    """
    both, one, other = _complete(first, second)
    squares = (one - other) ** 2
    least = _negligible(first, second)

    def statistic(weights: Array) -> Array:
        w = weights[:, both]
        (a, va), (b, vb) = _moments(w, one), _moments(w, other)
        return _one_minus(w @ squares / _total(w), va + vb + (a - b) ** 2, least)

    return statistic


def krippendorff_alpha(raters: Sequence[Array], *, ordinal: bool = False) -> Statistic:
    """Krippendorff's alpha of any number of raters (R arrays of as many units).

    Krippendorff (2011, "Computing Krippendorff's Alpha-Reliability"), section C: a unit counts
    with the values that it has, if they are two or more. Differences are squared, of the values,
    or with `ordinal` of their mean ranks among all values in the resample, which is the same as
    the definition there. Undefined where there is but one value.
    """
    import numpy as np

    table = np.stack(raters)
    present = np.isfinite(table)
    pairable = present.sum(0) >= 2
    table, present = table[:, pairable], present[:, pairable]
    sizes = present.sum(0).astype(np.float64)
    if ordinal:
        return _ordinal_alpha(table, present, sizes, pairable)
    centre = table[present].mean() if present.any() else 0.0
    values = np.where(present, table - centre, 0.0)
    sums, squares = values.sum(0), (values**2).sum(0)
    within = (sizes * squares - sums**2) / np.maximum(sizes - 1, 1)
    least = _negligible(table)

    def statistic(weights: Array) -> Array:
        w = weights[:, pairable]
        return _alpha(w @ sizes, w @ within, w @ squares, w @ sums, least)

    return statistic


def _ordinal_alpha(table: Array, present: Mask, sizes: Array, pairable: Mask) -> Statistic:
    import numpy as np

    levels = np.unique(table[present])
    codes = np.searchsorted(levels, np.where(present, table, levels[:1].sum()))

    def statistic(weights: Array) -> Array:
        w = weights[:, pairable]
        counts = sum(
            (_counts(w * p, c, len(levels)) for p, c in zip(present, codes, strict=True)),
            start=np.zeros((len(w), len(levels))),
        )
        ranks = np.cumsum(counts, axis=1) - counts / 2 - counts.sum(1, keepdims=True) / 2
        sums, squares = np.zeros_like(w), np.zeros_like(w)
        for p, c in zip(present, codes, strict=True):
            rank = ranks[:, c] * p
            sums += rank
            squares += rank**2
        within = (w * (sizes * squares - sums**2) / np.maximum(sizes - 1, 1)).sum(1)
        return _alpha(w @ sizes, within, (w * squares).sum(1), (w * sums).sum(1), _ROUNDING)

    return statistic


def _alpha(n: Array, within: Array, squares: Array, sums: Array, least: float) -> Array:
    """From the number of pairable values, and sums over units of what is within them and in all."""
    import numpy as np

    n = np.where(n > 1, n, np.nan)
    return _one_minus(within / n, (squares - sums**2 / n) / (n - 1), least)


def spearman(first: Array, second: Array) -> Statistic:
    """Spearman's rank correlation; ties have their mean rank. Undefined for a constant."""
    return _correlation_of_ranks(first, second)


def partial_spearman(first: Array, second: Array, held: Array) -> Statistic:
    """Spearman's correlation of the first two with the third held constant."""
    import numpy as np

    all_three = np.isfinite(first) & np.isfinite(second) & np.isfinite(held)
    x, y, z = (np.where(all_three, values, np.nan) for values in (first, second, held))
    correlations = [_correlation_of_ranks(*pair) for pair in ((x, y), (x, z), (y, z))]

    def statistic(weights: Array) -> Array:
        together, a, b = (of(weights) for of in correlations)
        rest = (1 - a**2) * (1 - b**2)
        return np.asarray((together - a * b) / np.sqrt(np.where(rest > _ROUNDING, rest, np.nan)))

    return statistic


def share_within(first: Array, second: Array, distance: float) -> Statistic:
    """The share of pairs that differ by `distance` at most; 0 is exact agreement."""
    import numpy as np

    both, one, other = _complete(first, second)
    near = (np.abs(one - other) <= distance + 1e-9).astype(np.float64)

    def statistic(weights: Array) -> Array:
        w = weights[:, both]
        return np.asarray(w @ near / _total(w))

    return statistic


def mean_of(statistics: Sequence[Statistic]) -> Statistic:
    """The mean of several; undefined where one of them is."""
    import numpy as np

    def statistic(weights: Array) -> Array:
        return np.asarray(np.mean([of(weights) for of in statistics], axis=0))

    return statistic


def remembering(statistic: Statistic) -> Statistic:
    """The same, computed once for the weights that it is given several times running."""
    last: list[tuple[Array, Array]] = []

    def remembered(weights: Array) -> Array:
        if not last or last[0][0] is not weights:
            last[:] = [(weights, statistic(weights))]
        return last[0][1]

    return remembered


def _correlation_of_ranks(first: Array, second: Array) -> Statistic:
    import numpy as np

    both, one, other = _complete(first, second)
    places = [np.unique(values, return_inverse=True) for values in (one, other)]

    def statistic(weights: Array) -> Array:
        w = weights[:, both]
        total = _total(w)
        a, b = (_mean_ranks(w, codes, len(levels)) for levels, codes in places)
        product = (w * a * b).sum(1) / total
        spread = np.sqrt((w * a**2).sum(1) * (w * b**2).sum(1)) / total
        return np.asarray(product / np.where(spread > _ROUNDING, spread, np.nan))

    return statistic


def _mean_ranks(weights: Array, codes: Codes, levels: int) -> Array:
    """Each item's rank in each draw, as a share of all and from their mean."""
    import numpy as np

    counts = _counts(weights, codes, levels)
    ranks = np.cumsum(counts, axis=1) - counts / 2
    return np.asarray((ranks / _total(weights)[:, None] - 0.5)[:, codes])


def _counts(weights: Array, codes: Codes, levels: int) -> Array:
    """How much weight is on each level (draws, levels)."""
    import numpy as np

    counts = np.zeros((len(weights), levels))
    order = np.argsort(codes, kind="stable")
    found, starts = np.unique(codes[order], return_index=True)
    if len(found):
        counts[:, found] = np.add.reduceat(weights[:, order], starts, axis=1)
    return counts


def _complete(first: Array, second: Array) -> tuple[Mask, Array, Array]:
    """Which items both have, and their values, moved so that their common mean is 0."""
    import numpy as np

    both = np.isfinite(first) & np.isfinite(second)
    one, other = first[both], second[both]
    centre = (one.mean() + other.mean()) / 2 if len(one) else 0.0
    return both, one - centre, other - centre


def _moments(weights: Array, values: Array) -> tuple[Array, Array]:
    """Mean and variance in each draw."""
    total = _total(weights)
    mean = weights @ values / total
    return mean, weights @ values**2 / total - mean**2


def _total(weights: Array) -> Array:
    """The sum of weights; NaN where nothing was drawn."""
    import numpy as np

    total = weights.sum(1)
    return np.asarray(np.where(total > 0, total, np.nan))


def _one_minus(observed: Array, expected: Array, least: float) -> Array:
    import numpy as np

    return np.asarray(1 - observed / np.where(expected > least, expected, np.nan))


def _negligible(*values: Array) -> float:
    """A variance up to this is rounding alone: of the sums, and of the values themselves."""
    import numpy as np

    every = np.concatenate([v[np.isfinite(v)] for v in values])
    if not len(every):
        return 0.0
    return _ROUNDING * float(np.ptp(every)) ** 2 + (_ROUNDING * float(np.abs(every).max())) ** 2
