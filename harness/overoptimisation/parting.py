"""The test of where a proxy goes on rising while a watched scorer falls.

A *stretch* is all points from one on to the last, three at least. Over each stretch the slopes of
proxy and scorer against the step are estimated by least squares. The two part in a stretch if the
proxy's slope is above 0 and the scorer's below 0, both significantly. The means that are tested
are those of the policies at these steps; nothing is assumed of how they move.

Each stretch has a hypothesis for either side: the proxy does not rise in it, the scorer does not
fall. A side's z are compared with the largest z over all stretches where nothing moves, which is
how they look if every hypothesis of that side only just holds (a single-step max-t test, Hothorn,
Bretz and Westfall 2008). Half of the error goes to the proxy, and the other half is divided among
the watched scorers. So the chance that any stretch is named whose hypothesis holds is at most the
level, however many stretches and scorers there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

LEAST = 3
"""The fewest points of a stretch."""
_STRETCHES = 50
_DRAWS = 100_000
_SURE = 37.0  # the z of a p that is just above the smallest number


@dataclass(frozen=True, slots=True)
class Series:
    """Means at steps, with the variance of one value and the number of values at each.

    `df` is what the variances are sure of: degrees of freedom of each point.
    """

    means: Array
    variances: Array
    counts: Array
    df: Array


class Stretches(NamedTuple):
    """The stretches' first points, and over each the weights whose sum is the slope a step."""

    starts: list[int]
    weights: Array


class Found(NamedTuple):
    """The stretch that is surest to be one of parting; `p` is adjusted, `start` its first point."""

    p: float
    start: int
    proxy_slope: float
    slope: float


def parting(
    steps: Sequence[int],
    proxy: Series,
    watched: Series,
    *,
    share_proxy: float = 0.5,
    share_watched: float = 0.5,
    level: float = 0.05,
) -> Found | None:
    """Where the proxy rises and the watched scorer falls from there to the end.

    A stretch's p is the larger of both sides', each divided by its share of the error. Of the
    stretches with p at or below the level it is the one where the fall is surest; where there is
    none, the one of the lowest p. None of fewer than three points.
    """
    if len(steps) < LEAST:
        return None
    stretches = stretches_of(steps)
    rises, falls = z_values(stretches, proxy), -z_values(stretches, watched)
    p_rise = adjusted(rises, stretches, proxy.counts) / share_proxy
    p_fall = adjusted(falls, stretches, watched.counts) / share_watched
    ps = [min(1.0, max(one, other)) for one, other in zip(p_rise, p_fall, strict=True)]
    parted = [i for i, p in enumerate(ps) if p <= level]
    best = (
        max(parted, key=lambda i: falls[i]) if parted else min(range(len(ps)), key=ps.__getitem__)
    )
    slopes = [float(stretches.weights[best] @ series.means) for series in (proxy, watched)]
    return Found(ps[best], stretches.starts[best], *slopes)


def stretches_of(steps: Sequence[int]) -> Stretches:
    """The stretches of these steps: all of them, or fifty at even distances."""
    import numpy as np

    count = len(steps)
    last = count - LEAST
    starts = sorted({round(i) for i in np.linspace(0, last, min(last + 1, _STRETCHES))})
    x = np.asarray(steps, dtype=np.float64)
    weights = np.zeros((len(starts), count))
    for row, start in enumerate(starts):
        centred = x[start:] - x[start:].mean()
        weights[row, start:] = centred / (centred @ centred)
    return Stretches(starts, weights)


def z_values(stretches: Stretches, series: Series) -> Array:
    """Each stretch's slope in standard errors, as the z of the same p as Student's t.

    The variance of one value is pooled over a stretch: that is exact also where it grows or
    shrinks evenly, and a point whose values happen to be all alike is not taken for certain.
    """
    import numpy as np
    from scipy.special import ndtri, stdtr

    inside = (np.arange(len(series.means)) >= np.asarray(stretches.starts)[:, None]).astype(float)
    df = inside @ series.df
    pooled = inside @ (series.df * series.variances) / df
    errors = np.sqrt(pooled * (stretches.weights**2 @ (1 / series.counts)))
    slopes = stretches.weights @ series.means
    rounding = 1e-12 * np.abs(stretches.weights) @ np.abs(series.means)
    slopes = np.where(np.abs(slopes) <= rounding, 0.0, slopes)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(slopes == 0, 0.0, slopes / errors)
    z: Array = -np.sign(t) * np.maximum(ndtri(stdtr(df, -np.abs(t))), -_SURE)
    return z


def adjusted(z: Array, stretches: Stretches, counts: Array) -> Array:
    """One-sided p of each z, adjusted for all stretches, by 100,000 draws of their common null."""
    import numpy as np

    spread = stretches.weights / np.sqrt(counts)
    spread /= np.linalg.norm(spread, axis=1, keepdims=True)
    largest = _largest(np.round(spread @ spread.T, 9).tobytes(), len(z))
    above = _DRAWS - np.searchsorted(largest, z)
    found: Array = (1 + above) / (1 + _DRAWS)
    return found


@lru_cache(maxsize=8)
def _largest(correlation: bytes, size: int) -> Array:
    """The largest of so many z at a time with this correlation, in order."""
    import numpy as np

    matrix = np.frombuffer(correlation).reshape(size, size)
    values, vectors = np.linalg.eigh(matrix)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    rng = np.random.default_rng(20221019)
    parts = [rng.standard_normal((_DRAWS // 10, size)) @ root.T for _ in range(10)]
    found: Array = np.sort(np.concatenate([part.max(axis=1) for part in parts]))
    return found
