"""From a training's steps to points: what was measured where, and how sure it is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness.overoptimisation.values import Point

if TYPE_CHECKING:
    from harness.components import TrainingStep
    from harness.overoptimisation.parting import Series

Source = Literal["held_out", "batches"]
_FEWEST_HELD_OUT = 3
_FEWEST_TO_SCATTER = 10
_UNKNOWN = 1e6  # degrees of freedom of an error whose n was not told
DRIFTING = {
    "tokens": "tokens a response",
    "repetition": "repetition",
    "distinct_1": "distinct-1",
    "distinct_2": "distinct-2",
}
"""What is told of the answers, by the name of its metric."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """How a source calls its metrics: the held-out rows', or the batches'."""

    source: Source

    def score(self, label: str) -> str:
        """The mean of a scorer; its standard error and n are called alike."""
        return f"{'held_out' if self.source == 'held_out' else 'score'}/{label}"

    def figure(self, name: str) -> str:
        """A figure that is no scorer's."""
        if self.source == "held_out":
            return f"held_out_{name}"
        return "response_tokens" if name == "tokens" else name


def source_of(steps: Sequence[TrainingStep], labels: Iterable[str]) -> Source:
    """Held-out evaluations where three or more were reported, else the batches."""
    metrics = Metrics("held_out")
    told = [sum(metrics.score(label) in s.metrics for s in steps) for label in labels]
    return "held_out" if told and max(told) >= _FEWEST_HELD_OUT else "batches"


def scorer_points(steps: Sequence[TrainingStep], metrics: Metrics, label: str) -> list[Point]:
    """A scorer's means, in order."""
    return _points(steps, metrics, metrics.score(label))


def figure_points(steps: Sequence[TrainingStep], metrics: Metrics, name: str) -> list[Point]:
    """Another figure's means, in order."""
    return _points(steps, metrics, metrics.figure(name))


def proxy_points(
    steps: Sequence[TrainingStep], metrics: Metrics, weights: Mapping[str, float]
) -> list[Point]:
    """The proxy where the trainer reports it, else the weighted sum of the scorers' means.

    In that sum several scorers are scaled by their deviations at the first point, where those are
    known; its error is the weighted sum of theirs, which is that of scorers that move as one, and
    too large for any others.
    """
    reported = figure_points(steps, metrics, "proxy")
    if reported:
        return reported
    columns = {
        label: {p.step: p for p in scorer_points(steps, metrics, label)}
        for label, weight in weights.items()
        if weight
    }
    common = [
        s.step for s in steps if columns and all(s.step in column for column in columns.values())
    ]
    if not common:
        return []
    scales = {label: _scale(column[common[0]]) for label, column in columns.items()}
    if len(columns) == 1 or not all(scales.values()):
        scales = dict.fromkeys(scales, 1.0)
    factors = {label: weights[label] / (scales[label] or 1.0) for label in columns}
    return [_summed({n: column[step] for n, column in columns.items()}, factors) for step in common]


def with_errors(points: Sequence[Point]) -> tuple[list[Point], bool]:
    """The points with intervals, and whether their errors are the trainer's own.

    Where a point has none, all get that of the scatter from each point to the next (von Neumann
    1941); of fewer than ten points it is not known.
    """
    own = all(p.se is not None for p in points)
    se = None if own else scatter([p.mean for p in points])
    return [_bounded(p, p.se if own else se) for p in points], own


def scatter(means: Sequence[float]) -> float | None:
    """The error of a mean, from half the mean square of the changes."""
    if len(means) < _FEWEST_TO_SCATTER:
        return None
    squares = [(b - a) ** 2 for a, b in itertools.pairwise(means)]
    return math.sqrt(math.fsum(squares) / (2 * len(squares)))


def series_of(points: Sequence[Point], own: bool) -> Series | None:
    """The points as the test takes them; None where their errors are not known."""
    import numpy as np

    from harness.overoptimisation.parting import Series

    if any(p.se is None for p in points):
        return None
    counts = np.array([p.n or 1 if own else 1 for p in points], dtype=np.float64)
    errors = np.array([p.se for p in points], dtype=np.float64)
    # The variance of n - 1 successive differences has about two thirds of their degrees of freedom.
    df = np.full(len(points), 2 / 3 * (len(points) - 1) / len(points))
    if own:
        df = np.array([max(p.n - 1, 1) if p.n else _UNKNOWN for p in points], dtype=np.float64)
    means = np.array([p.mean for p in points], dtype=np.float64)
    return Series(means, errors**2 * counts, counts, df)


def _points(steps: Sequence[TrainingStep], metrics: Metrics, name: str) -> list[Point]:
    found = []
    for step in steps:
        mean = _finite(step, name)
        if mean is not None:
            head, slash, label = name.partition("/")
            se = _finite(step, f"{head}_se{slash}{label}")
            n = _finite(step, f"{head}_n{slash}{label}")
            kl = _finite(step, metrics.figure("kl"))
            kl = _finite(step, "kl") if kl is None else kl
            found.append(Point(step.step, kl, mean, se, n=None if n is None else round(n)))
    return found


def _finite(step: TrainingStep, name: str) -> float | None:
    value = step.metrics.get(name)
    return value if value is not None and math.isfinite(value) else None


def _scale(point: Point) -> float | None:
    """The deviation of one value."""
    known = point.se is not None and point.n is not None and point.n > 1
    return point.se * math.sqrt(point.n) if known else None  # type: ignore[operator, arg-type]


def _summed(points: Mapping[str, Point], factors: Mapping[str, float]) -> Point:
    first = next(iter(points.values()))
    mean = math.fsum(factors[label] * p.mean for label, p in points.items())
    errors = [abs(factors[label]) * p.se for label, p in points.items() if p.se is not None]
    counts = [p.n for p in points.values() if p.n is not None]
    return Point(
        first.step,
        first.kl,
        mean,
        math.fsum(errors) if len(errors) == len(points) else None,
        n=min(counts) if len(counts) == len(points) else None,
    )


def _bounded(point: Point, se: float | None) -> Point:
    """The point with its 95 % interval."""
    if se is None:
        return point
    from scipy.special import stdtrit

    df = max(point.n - 1, 1) if point.n else _UNKNOWN
    half = float(stdtrit(df, 0.975)) * se
    return Point(
        point.step, point.kl, point.mean, se, point.mean - half, point.mean + half, point.n
    )
