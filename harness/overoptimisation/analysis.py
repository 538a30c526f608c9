"""From a training's steps to its over-optimisation report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError
from harness.overoptimisation.parting import Found, parting
from harness.overoptimisation.reading import (
    DRIFTING,
    Metrics,
    figure_points,
    proxy_points,
    scorer_points,
    series_of,
    source_of,
    with_errors,
)
from harness.overoptimisation.values import ALPHA, Curve, Drift, Overoptimisation, Parting, Point

if TYPE_CHECKING:
    from harness.components import TrainingStep
    from harness.store import Store

_TENTH = 10
PROXY = "proxy"


def of_training(
    training: str = "last", *, store: str | Path | Store | None = None
) -> Overoptimisation:
    """The report of a recorded training.

    Args:
        training: The start of its id, or `last`.
        store: A file or a database URL; None for SAMESCORE_STORE or `.samescore/store.db`.

    Raises:
        HarnessError: if there is no such training, or it reports no scores.
        StoreError: if the store cannot be read.
    """
    from harness.store import Store as Opened
    from harness.store.trainings import TrainingRecord

    opened = store if isinstance(store, Opened) else Opened(store, readonly=True)
    try:
        record = opened.trainings.all()[-1:] if training == "last" else [opened.find(training)]
        found = record[0] if record else None
        if not isinstance(found, TrainingRecord):
            raise HarnessError(
                f"{training} is no training; harness runs lists the trainings of {opened.shown}"
            )
        steps = opened.trainings.steps(found.id)
        return analyse(steps, found.weights, training=found.id, name=found.name)
    finally:
        if opened is not store:
            opened.close()


def analyse(
    steps: Sequence[TrainingStep],
    weights: Mapping[str, float],
    *,
    training: str = "",
    name: str = "",
) -> Overoptimisation:
    """Proxy and watched scorers over a training's steps, where they part, and how answers drift.

    Points are held-out evaluations where three or more were reported, else the batches' means.
    `weights` has each scorer's weight by label; 0 is watched only.

    Raises:
        HarnessError: if the steps report no score of a scorer that has a weight.
    """
    source = source_of(steps, weights)
    metrics = Metrics(source)
    proxy, own = with_errors(proxy_points(steps, metrics, weights))
    if not proxy:
        raise HarnessError(
            f"training {training or 'as given'} reports no scores of a scorer with a weight, so "
            "there is no proxy reward to compare with"
        )
    watched = {
        label: points
        for label, weight in weights.items()
        if not weight and (points := scorer_points(steps, metrics, label))
    }
    return Overoptimisation(
        training=training,
        name=name,
        source=source,
        errors="reported" if own else "scatter",
        proxy=Curve(PROXY, None, tuple(proxy), _peak(proxy)),
        watched=_watched(proxy, own, watched),
        drift=_drifts(steps, metrics),
    )


def _watched(
    proxy: Sequence[Point], own: bool, watched: Mapping[str, Sequence[Point]]
) -> tuple[Curve, ...]:
    # Scorers that miss other steps are tested on other stretches of the proxy.
    kinds = {tuple(p.step for p in points) for points in watched.values()}
    curves = []
    for label, raw in watched.items():
        points, known = with_errors(raw)
        found = _tested(proxy, own, points, known, len(watched), len(kinds))
        parted = _parting(points, proxy, found) if found and found.p <= ALPHA else None
        p = found.p if found else None
        curves.append(Curve(label, 0.0, tuple(points), _peak(points), p, parted))
    return tuple(curves)


def _tested(
    proxy: Sequence[Point],
    own: bool,
    points: Sequence[Point],
    known: bool,
    scorers: int,
    kinds: int,
) -> Found | None:
    one, other = _common(proxy, points), _common(points, proxy)
    first, second = series_of(one, own), series_of(other, known)
    if first is None or second is None:
        return None
    return parting(
        [p.step for p in one],
        first,
        second,
        share_proxy=0.5 / kinds,
        share_watched=0.5 / scorers,
        level=ALPHA,
    )


def _parting(points: Sequence[Point], proxy: Sequence[Point], found: Found) -> Parting:
    return Parting(_common(points, proxy)[found.start], found.slope, found.proxy_slope)


def _common(points: Sequence[Point], others: Sequence[Point]) -> list[Point]:
    """The points at whose steps there is one of the others."""
    steps = {p.step for p in others}
    return [p for p in points if p.step in steps]


def _peak(points: Sequence[Point]) -> Point:
    return max(points, key=lambda p: p.mean)


def _drifts(steps: Sequence[TrainingStep], metrics: Metrics) -> tuple[Drift, ...]:
    found = {title: figure_points(steps, metrics, name) for name, title in DRIFTING.items()}
    return tuple(_drift(title, points) for title, points in found.items() if len(points) > 1)


def _drift(name: str, points: Sequence[Point]) -> Drift:
    reach = max(1, len(points) // _TENTH)
    (first, error), (last, other) = _mean(points[:reach]), _mean(points[-reach:])
    if error is None or other is None:
        return Drift(name, first, last)
    half = 1.96 * math.hypot(error, other)
    return Drift(name, first, last, last - first - half, last - first + half)


def _mean(points: Sequence[Point]) -> tuple[float, float | None]:
    """The mean of some points, with its error where it is known."""
    mean = math.fsum(p.mean for p in points) / len(points)
    errors = [p.se for p in points if p.se is not None]
    return mean, math.hypot(*errors) / len(points) if len(errors) == len(points) else None
