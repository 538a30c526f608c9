"""Where a judge leans: too high, to long answers, to the answer that it reads first."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.calibration.agreement import partial_spearman, spearman
from harness.calibration.resampling import Estimate, Resampler
from harness.calibration.shares import share

if TYPE_CHECKING:
    from harness.calibration.verdicts import Verdicts
    from harness.stats import Interval


def level_bias(verdicts: Verdicts) -> Interval:
    """How much higher the judge is than the mean label, in points of the scale, on average.

    Student's interval, cluster-robust where items share a cluster. An item's repeats count as
    their mean.
    """
    import numpy as np

    from harness.stats import mean_interval

    differences = verdicts.mean_places() - verdicts.mean_labels()
    clusters = _of_known(verdicts)
    shared = clusters if len(set(clusters)) < len(clusters) else None
    return mean_interval(differences[np.isfinite(differences)].tolist(), clusters=shared)


@dataclass(frozen=True, slots=True)
class LengthBias:
    """Rank correlations with the number of words, each with its two-sided p.

    `difference` is of (judge - mean label), `partial` of the judge with the mean label held
    constant. Ranks of words are those of their logarithm. Where long answers are better in truth,
    error in the labels makes a `partial` above 0 of nothing, as the label held is not the truth;
    a judge that shuns the ends of the scale pulls `difference` down.
    """

    difference: Estimate
    difference_p: float | None
    partial: Estimate
    partial_p: float | None


def length_bias(verdicts: Verdicts) -> LengthBias:
    """Whether the judge likes long answers more than the raters do.

    An item's repeats count as their mean. p is by Student's t, with a cluster as one observation.
    """
    judge, label = verdicts.mean_places(), verdicts.mean_labels()
    # Ranks would make much of what differs by rounding alone.
    statistics = {
        "difference": spearman((judge - label).round(9), verdicts.words),
        "partial": partial_spearman(judge, verdicts.words, label),
    }
    clusters = _of_known(verdicts)
    found = Resampler(verdicts.clusters).estimates(statistics)
    difference, partial = (replace(found[name], n=len(clusters)) for name in statistics)
    groups = len(set(clusters))
    return LengthBias(difference, _p(difference, groups - 2), partial, _p(partial, groups - 3))


@dataclass(frozen=True, slots=True)
class PositionBias:
    """What the order of two answers does to a judge that sees both orders.

    `flips` is the share of verdicts that changed with the order, `first` the share of decided
    presentations that the answer in the first place won: 0.5 where the place plays no part.
    """

    flips: Estimate
    first: Estimate


def position_bias(verdicts: Verdicts) -> PositionBias | None:
    """From the parts `flipped`, `first` and `second`; None where the judge gives no `flipped`.

    `first` and `second` are the value in [0, 1] with the answer in that place.
    """
    if "flipped" not in verdicts.parts:
        return None
    flips = [(value > 0.5, cluster) for value, cluster in _values(verdicts, "flipped")]
    in_first = [(value > 0.5, c) for value, c in _values(verdicts, "first") if value != 0.5]
    in_second = [(value < 0.5, c) for value, c in _values(verdicts, "second") if value != 0.5]
    wins = in_first + in_second
    return PositionBias(
        share([flipped for flipped, _ in flips], [cluster for _, cluster in flips]),
        share([won for won, _ in wins], [cluster for _, cluster in wins]),
    )


def _values(verdicts: Verdicts, part: str) -> list[tuple[float, str]]:
    """Each verdict's value of a part, where it has one, with its cluster."""
    rows = verdicts.parts[part].tolist() if part in verdicts.parts else []
    return [
        (value, cluster)
        for row, cluster in zip(rows, verdicts.clusters, strict=bool(rows))
        for value in row
        if math.isfinite(value)
    ]


def _of_known(verdicts: Verdicts) -> list[str]:
    """The clusters of the items that have a verdict."""
    return [c for c, there in zip(verdicts.clusters, verdicts.known, strict=True) if there]


def _p(found: Estimate, freedom: int) -> float | None:
    """Two-sided, for no correlation."""
    from scipy.special import stdtr

    if found.value is None or freedom < 1:
        return None
    rest = 1 - found.value**2
    return 2 * float(stdtr(freedom, -abs(found.value) * math.sqrt(freedom / rest))) if rest else 0.0
