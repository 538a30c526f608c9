"""The page of a training: how it went, and what its model said at each step."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.components import TrainingStep
from harness.errors import HarnessError
from harness.store.trainings import TrainingRecord
from harness.viewer.library import RUNNING, Library, NotHereError
from harness.viewer.listing import took
from harness.viewer.origin import Origin, origin
from harness.viewer.reading import Reading

if TYPE_CHECKING:
    from harness.overoptimisation import Overoptimisation
    from harness.plots import Plot


@dataclass(frozen=True, slots=True)
class Drift:
    """A metric at the first step, at the last, and where it was highest."""

    name: str
    first: float
    last: float
    highest: float
    at: int


@dataclass(frozen=True, slots=True)
class Curves:
    """Curves of a training's metrics, and of its reward and watched scorers against KL."""

    plot: Plot | None = None
    metrics: tuple[Drift, ...] = ()
    overoptimisation: Overoptimisation | None = None
    over_plot: Plot | None = None


@dataclass(frozen=True, slots=True)
class TrainingPage:
    """A training; `shown` is the step whose completions are shown, `steps` those that have some."""

    training: TrainingRecord
    curves: Curves
    steps: tuple[int, ...]
    shown: TrainingStep | None
    before: int | None
    after: int | None
    origin: Origin
    live: bool
    took: float | None


def training_page(library: Library, text: str, step: int | None = None) -> TrainingPage:
    """A training's page, with completions of a step, or of the last that has any.

    Raises:
        NotHereError: if there is no such training or step.
    """
    training = library.training(text)
    answer = library.jobs.answer(
        ("training", training.id),
        (training.opened, training.finished, training.steps),
        lambda: curves(library.reading, training),
    )
    found = answer.value or Curves()
    steps = library.reading.steps_with_examples(training.id)
    if step is not None and step not in steps:
        raise NotHereError(f"No completions of step {step} are recorded")
    at = step if step is not None else steps[-1] if steps else None
    return TrainingPage(
        training=training,
        curves=found,
        steps=tuple(steps),
        shown=None if at is None else library.reading.step(training.id, at),
        before=max((s for s in steps if at is not None and s < at), default=None),
        after=min((s for s in steps if at is not None and s > at), default=None),
        origin=origin(training),
        live=answer.pending or training.status == RUNNING,
        took=took(training),
    )


def curves(reading: Reading, training: TrainingRecord) -> Curves:
    """What a training reported, and whether it is over-optimised, where something was watched."""
    from harness.overoptimisation import analyse
    from harness.plots import overoptimisation_curves, training_curves

    steps = reading.steps(training.id)
    if not steps:
        return Curves()
    names = dict.fromkeys(name for step in steps for name in step.metrics)
    told = {n: {s.step: s.metrics.get(n, math.nan) for s in steps} for n in names}
    found = Curves(
        plot=training_curves(steps, training.weights),
        metrics=tuple(_drift(name, values) for name, values in told.items()),
    )
    with contextlib.suppress(HarnessError):  # no scores are reported, so nothing is known of them
        over = analyse(steps, training.weights, training=training.id, name=training.name)
        if over.watched:
            plot = overoptimisation_curves(over)
            return replace(found, overoptimisation=over, over_plot=plot)
    return found


def _drift(name: str, values: Mapping[int, float]) -> Drift:
    known = {step: value for step, value in values.items() if math.isfinite(value)}
    if not known:
        return Drift(name, math.nan, math.nan, math.nan, 0)
    every = list(known.values())
    at = max(known, key=known.__getitem__)
    return Drift(name, every[0], every[-1], known[at], at)
