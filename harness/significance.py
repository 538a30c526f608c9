"""Tests beside the t test of `stats.paired`: for scores that tie, for many at once, and power."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

FEW = 40
"""The most differences that `sign_flips` takes: 2^40 sign patterns, counted in two halves."""


def mcnemar(wins: int, losses: int) -> float:
    """The exact two-sided p of McNemar's test, from the pairs of 0 and 1 that differ.

    The binomial test of `wins` in `wins + losses` at 1/2 (McNemar 1947; the exact form as in
    Agresti, Categorical Data Analysis, section 11.1).
    """
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(wins, losses), wins + losses, 0.5)))


def sign_flips(differences: Sequence[float] | Array) -> float:
    """The exact two-sided p of the sum of differences, were the sign of each one a coin's toss.

    Fisher's randomization test (1935, section 21). Zeros say nothing; of differences that are all
    of one size it is McNemar's test. `FEW` that are not 0 take 0.3 s.

    Raises:
        ValueError: if more than `FEW` are not 0.
    """
    import numpy as np

    every = np.asarray(differences, dtype=np.float64)
    moved = every[every != 0]
    if len(moved) > FEW:
        raise ValueError(f"{len(moved)} differences are not 0; {FEW} at most can be counted")
    total = abs(float(moved.sum()))
    least = total - 1e-9 * float(np.abs(moved).sum())
    if least <= 0:
        return 1.0
    half, other = _signed_sums(moved[::2]), np.sort(_signed_sums(moved[1::2]))
    reached = len(other) - np.searchsorted(other, least - half)
    return min(1.0, 2 * float(reached.sum()) / 2.0 ** len(moved))


def holm(ps: Sequence[float]) -> list[float]:
    """Each p adjusted for all of them (Holm 1979): below alpha with a chance of alpha at most."""
    adjusted = [0.0] * len(ps)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = highest
    return adjusted


def detectable(se: float, df: float, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest true difference that a two-sided t test of level `alpha` finds with this power.

    `se` is the standard error and `df` the degrees of freedom of the difference that was measured;
    the power is that of the noncentral t distribution, in both tails.

    Raises:
        ValueError: unless 0 < alpha < power < 1 and df is 1 or more.
    """
    from scipy.optimize import brentq
    from scipy.special import ncfdtr, stdtrit

    if not 0 < alpha < power < 1 or df < 1:
        raise ValueError(f"alpha={alpha}, power={power}, df={df}: 0 < alpha < power < 1 <= df")
    critical = float(stdtrit(df, 1 - alpha / 2))

    def beyond(shift: float) -> float:
        # The square of a noncentral t is a noncentral F; scipy's t gives NaN far out.
        return 1 - float(ncfdtr(1, df, shift**2, critical**2)) - power

    high = critical
    while beyond(high) < 0:
        high *= 2
    return se * float(brentq(beyond, 0, high, xtol=1e-13, rtol=1e-14))


def _signed_sums(values: Array) -> Array:
    """The sums of all sign patterns of these values."""
    import numpy as np

    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums
