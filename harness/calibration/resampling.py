"""Bootstrap intervals of any statistic that can be had from weighted items.

A resample is a weight for each item: how often it was drawn. So a statistic over 2,000
resamples is a few products of matrices, and a missing label is a weight that is not used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]
    Codes: TypeAlias = NDArray[np.int64]
    Mask: TypeAlias = NDArray[np.bool_]

Statistic: TypeAlias = "Callable[[Array], Array]"
"""Weights (draws, items) in, one number a draw out; NaN where it is undefined."""

DRAWS = 2_000
_BCA_UNITS = 2_000
_NUMBERS_AT_ONCE = 2_000_000
_MOST_UNDEFINED = 0.05


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic and its 95 % interval.

    `value` is None where it is undefined (agreement of raters who never differ). `low` and `high`
    are None where no interval can be had: all resamples are equal, as with perfect agreement, or
    more than 5 % of them are undefined. `undefined` counts those; they are left out, never 0.
    `n` counts the items that it is of.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    undefined: int = 0

    def as_dict(self) -> dict[str, float | None]:
        """As JSON values."""
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "n": self.n,
            "undefined_draws": self.undefined,
        }


class Resampler:
    """Draws clusters with replacement: of a cluster all items come, or none.

    The interval is BCa (Efron 1987) up to 2,000 clusters, and the percentile interval above, where
    its correction no longer matters and the jackknife behind it would take longest.
    """

    def __init__(self, clusters: Sequence[Hashable], *, draws: int = DRAWS, seed: int = 0) -> None:
        import numpy as np

        numbers: dict[Hashable, int] = {}
        codes = [numbers.setdefault(cluster, len(numbers)) for cluster in clusters]
        self.codes: Codes = np.array(codes, dtype=np.int64)
        self.clusters, self._draws, self._seed = len(numbers), draws, seed

    def estimates(self, statistics: Mapping[str, Statistic]) -> dict[str, Estimate]:
        """Each statistic with its interval, all from the same resamples; n counts all items."""
        import numpy as np

        whole = np.ones((1, len(self.codes)))
        values = {name: float(of(whole)[0]) for name, of in statistics.items()}
        known = {name: of for name, of in statistics.items() if math.isfinite(values[name])}
        drawn = self._collect(known, self._resamples())
        left_out = self._collect(known, self._jackknife())
        found = {}
        for name, value in values.items():
            if name not in known:
                found[name] = Estimate(None, None, None, len(self.codes))
                continue
            defined = drawn[name][np.isfinite(drawn[name])]
            undefined = self._draws - len(defined)
            bounds = _bounds(value, defined, undefined, left_out[name])
            found[name] = Estimate(value, *bounds, len(self.codes), undefined)
        return found

    def _collect(
        self, statistics: Mapping[str, Statistic], chunks: Iterator[Array]
    ) -> dict[str, Array]:
        import numpy as np

        parts: dict[str, list[Array]] = {name: [] for name in statistics}
        for weights in chunks if statistics else ():
            for name, of in statistics.items():
                parts[name].append(of(weights))
        return {name: np.concatenate(p) if p else np.empty(0) for name, p in parts.items()}

    def _resamples(self) -> Iterator[Array]:
        import numpy as np

        rng = np.random.default_rng(self._seed)
        for rows in self._chunks(self._draws):
            drawn = rng.integers(0, self.clusters, size=(rows, self.clusters))
            drawn += np.arange(rows)[:, None] * self.clusters
            counts = np.bincount(drawn.ravel(), minlength=rows * self.clusters)
            yield counts.reshape(rows, -1)[:, self.codes].astype(np.float64)

    def _jackknife(self) -> Iterator[Array]:
        import numpy as np

        start = 0
        for rows in self._chunks(self.clusters if self.clusters <= _BCA_UNITS else 0):
            out = np.arange(start, start + rows)[:, None]
            yield (self.codes[None, :] != out).astype(np.float64)
            start += rows

    def _chunks(self, total: int) -> Iterator[int]:
        most = max(1, _NUMBERS_AT_ONCE // len(self.codes))
        for start in range(0, total, most):
            yield min(most, total - start)


def _bounds(
    value: float, drawn: Array, undefined: int, left_out: Array
) -> tuple[float | None, float | None]:
    import numpy as np

    if len(drawn) < 2 or undefined > _MOST_UNDEFINED * (len(drawn) + undefined):
        return None, None
    if np.ptp(drawn) <= 1e-9 * max(1.0, abs(value)):
        return None, None
    low, high = np.quantile(drawn, _levels(value, drawn, left_out))
    return float(low), float(high)


def _levels(value: float, drawn: Array, left_out: Array) -> tuple[float, float]:
    """Which quantiles of the draws bound the interval: BCa's, or 2.5 and 97.5 %."""
    import numpy as np
    from scipy.special import ndtr, ndtri

    plain = 0.025, 0.975
    below = float(np.mean(drawn < value) + np.mean(drawn == value) / 2)
    deviations = left_out - left_out.mean() if len(left_out) else left_out
    spread = float((deviations**2).sum())
    if not 0 < below < 1 or not math.isfinite(spread) or spread <= 0:
        return plain
    bias = float(ndtri(below))
    acceleration = -float((deviations**3).sum()) / (6 * spread**1.5)
    ends = []
    for level in plain:
        z = bias + float(ndtri(level))
        if acceleration * z >= 1:  # the correction has no meaning that far out
            return plain
        ends.append(float(ndtr(bias + z / (1 - acceleration * z))))
    return ends[0], ends[1]
