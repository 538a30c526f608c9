"""Which checkpoint of a training is kept: the one at which chosen scorers peak on held-out rows."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean, stdev

from harness.components import Score, Selected, Selecting, Selection, Trainer
from harness.errors import HarnessError

WATCHED = "watched"
"""Selects by the mean of all scorers with weight 0."""


def selection(
    by: str, weights: Mapping[str, float], *, held_out: int, trainer: Trainer, called: str
) -> Selection | None:
    """What `by` asks for: `watched`, one scorer's label, or empty for no selection.

    Raises:
        HarnessError: if no scorer is watched, none is called so, no row is held out, or the
            trainer, that is `called` so, cannot select.
    """
    if not by:
        return None
    if not (isinstance(trainer, Selecting) and trainer.selects):
        raise HarnessError(
            f"the trainer {called} cannot select a checkpoint; leave select (--select) out"
        )
    watched = tuple(label for label, weight in weights.items() if not weight)
    labels = (by,) if by in weights else watched
    known = (WATCHED, *weights)
    if by not in known:
        near = difflib.get_close_matches(by, known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise HarnessError(f"select is {by!r}{hint} It may be: {', '.join(known)}")
    if not labels:
        raise HarnessError(
            f"select={by} needs a scorer that is watched; give one a weight of 0, or select by a "
            f"label: {', '.join(weights) or 'there are none'}"
        )
    if not held_out:
        raise HarnessError(f"select={by} needs held-out rows, and there are none")
    return Selection(by, labels)


@dataclass(frozen=True, slots=True)
class Moment:
    """A scorer's mean over the held-out rows, and the deviation of one row."""

    mean: float
    deviation: float


@dataclass(frozen=True, slots=True)
class Best:
    """The best evaluation so far; a trainer keeps it with its checkpoints, `seen` gives the next.

    An evaluation's height is the mean over the selection's labels of (mean - mean at the first
    evaluation) / (deviation of one row at the first), so a label counts by how far it moves among
    its own answers, whatever its scale. A deviation of 0 counts as 1. Of equals the first is the
    best, as it is the nearest to the reference. `step` is 0 before the first evaluation.
    """

    step: int = 0
    height: float = 0.0
    means: Mapping[str, float] = field(default_factory=dict)
    first: Mapping[str, Moment] = field(default_factory=dict)

    def seen(self, step: int, found: Mapping[str, Moment]) -> Best:
        """The best of this and an evaluation, of which `found` has the selection's labels."""
        first = self.first or dict(found)
        height = fmean(
            (m.mean - first[n].mean) / (first[n].deviation or 1) for n, m in found.items()
        )
        if self.step and height <= self.height:
            return self
        return Best(step, height, {n: m.mean for n, m in found.items()}, first)

    def selected(self, by: Selection) -> Selected:
        """What a trainer's result says of it."""
        return Selected(by.by, self.step, dict(self.means))


def moments(
    scores: Mapping[str, Iterable[Score]], labels: Iterable[str]
) -> dict[str, Moment] | None:
    """Each label's mean and deviation; None if one has scored nothing."""
    found = {}
    for label in labels:
        values = [score.value for score in scores[label] if score.value is not None]
        if not values:
            return None
        found[label] = Moment(fmean(values), stdev(values) if len(values) > 1 else 0.0)
    return found
