"""How sure a paired difference is: by Student's t, the bootstrap, or counting where scores tie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.comparison.sides import Array
    from harness.stats import Difference

    Codes = NDArray[np.int64]

Method = Literal["t", "bootstrap"]
"""How intervals and p are found, where scores do not ask for counting."""

Test = Literal["t", "bootstrap", "McNemar", "signs"]


def measure(
    other: Array, first: Array, clusters: Codes | None, method: Method = "t", seed: int = 0
) -> tuple[Difference, Test]:
    """The difference `other` - `first`, and which test its p is of.

    Scores of 0 and 1 that are in no clusters have McNemar's exact p. Where at most `FEW`
    differences are not 0, and some tie, t is no good guide either: p is that of all patterns of
    their signs, or of the signs of the clusters' sums. Otherwise p is Student's.
    """
    from harness.significance import mcnemar, sign_flips
    from harness.stats import is_rounding, paired

    groups = None if clusters is None else clusters.tolist()
    difference = paired(other, first, clusters=groups, method=method, seed=seed)
    if difference.p is None or difference.se is None:
        return difference, method
    if method == "bootstrap" and not is_rounding(difference.se, difference.mean):
        return difference, method
    if clusters is None and _binary(other) and _binary(first):
        return replace(difference, p=mcnemar(difference.wins, difference.losses)), "McNemar"
    sums = _few_that_tie(other - first, clusters)
    if sums is None:
        return difference, "t"
    return replace(difference, p=sign_flips(sums)), "signs"


def codes(clusters: Sequence[str]) -> Codes:
    """A number for each cluster, in the order in which they appear."""
    import numpy as np

    numbers: dict[str, int] = {}
    found = (numbers.setdefault(cluster, len(numbers)) for cluster in clusters)
    return np.fromiter(found, dtype=np.int64, count=len(clusters))


def _binary(values: Array) -> bool:
    return bool(((values == 0) | (values == 1)).all())


def _few_that_tie(differences: Array, clusters: Codes | None) -> Array | None:
    """The sums that vary independently, if few are not 0 and some are equal but for the sign."""
    import numpy as np

    from harness.significance import FEW

    sums = differences
    if clusters is not None:
        sums = np.bincount(clusters, weights=differences).astype(np.float64)
    largest = float(np.abs(sums).max())
    sums = np.where(np.abs(sums) <= 1e-9 * largest, 0.0, sums)  # 0.3 - 0.2 - 0.1 is not 0
    if np.count_nonzero(sums) > FEW:
        return None
    sizes = np.round(np.abs(sums) / largest, 9) if largest else np.abs(sums)
    return sums if len(np.unique(sizes)) < len(sums) else None
