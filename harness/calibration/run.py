"""Calibrating a scorer: its verdicts on labelled answers, recorded as an evaluation's, measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.calibration.bias import (
    LengthBias,
    PositionBias,
    length_bias,
    level_bias,
    position_bias,
)
from harness.calibration.measures import Agreement, Consistency, agreement, consistency
from harness.calibration.verdicts import read_verdicts
from harness.components import Judge, Rewarder
from harness.errors import UnscoredError

if TYPE_CHECKING:
    from harness.calibration.labels import Labels
    from harness.calibration.scale import Scale
    from harness.evaluation import Evaluation
    from harness.guards import GuardedScorer
    from harness.stats import Interval
    from harness.store import Store


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far a scorer's verdicts are those of people.

    `items` times `repeats` verdicts were asked for; `causes` says how many of them are none, and
    why: they are in no measure. `unlabelled` rows were not judged. `clusters` counts what is
    resampled. `one_level` says that all verdicts are the same level. `consistency` is None for
    one repeat, `position` where the scorer does not judge in two orders.
    """

    judge: str
    run: str
    part: str
    scale: Scale
    raters: tuple[str, ...]
    items: int
    clusters: int
    unlabelled: int
    repeats: int
    causes: Mapping[str, int]
    ordinal: bool
    agreement: Agreement
    bias: Interval
    length: LengthBias
    one_level: bool
    consistency: Consistency | None
    position: PositionBias | None

    @property
    def verdicts(self) -> int:
        """How many verdicts were asked for."""
        return self.items * self.repeats

    @property
    def unscored(self) -> int:
        """How many of them are none."""
        return sum(self.causes.values())


def calibrate(
    labels: Labels,
    judge: str | Rewarder | Judge | GuardedScorer,
    *,
    part: str = "",
    value_range: tuple[float, float] | None = None,
    repeats: int = 1,
    ordinal: bool = False,
    store: str | Path | Store | None = None,
    max_unscored: float = 0.1,
    name: str = "",
) -> Calibration:
    """Ask a scorer for its verdicts on labelled answers, and compare.

    The verdicts are an evaluation's: recorded, resumed, and not asked for again.

    Args:
        labels: What `read_labels` gives.
        judge: A reference such as `match:mode=f1`, or a scorer of your own.
        part: The part of the score to compare in place of its value.
        value_range: What is laid on the scale of the labels: 0 to 1, for a part the scale itself.
        repeats: How often the judge is asked for each answer.
        ordinal: Whether Krippendorff's alpha takes levels by their order alone.
        store: As for `harness.evaluate`.
        max_unscored: The share of verdicts that may be none.
        name: What the run is called.

    Raises:
        UnscoredError: if more than `max_unscored` of the verdicts have no score, or all.
        HarnessError: for a part that no score has, and numbers outside `value_range`.
    """
    evaluation = _evaluated(labels, judge, repeats, store, max_unscored, name)
    [scorer] = evaluation.run.scorers
    verdicts, causes = read_verdicts(
        evaluation.rows(), scorer, labels, repeats=repeats, part=part, value_range=value_range
    )
    if causes.get("no_part", 0) > max_unscored * len(labels.items) * repeats:
        lacking = (
            f"{causes['no_part']} of {len(labels.items) * repeats} scores have no part {part!r}"
        )
        raise UnscoredError(f"{scorer}: {lacking}; max_unscored allows {max_unscored:g}")
    return Calibration(
        judge=scorer,
        run=evaluation.run.id,
        part=part,
        scale=labels.scale,
        raters=labels.raters,
        items=len(labels.items),
        clusters=len(set(verdicts.clusters)),
        unlabelled=labels.unlabelled,
        repeats=repeats,
        causes=causes,
        ordinal=ordinal,
        agreement=agreement(verdicts, labels.raters, ordinal=ordinal),
        bias=level_bias(verdicts),
        length=length_bias(verdicts),
        one_level=verdicts.one_level,
        consistency=consistency(verdicts, ordinal=ordinal) if repeats > 1 else None,
        position=position_bias(verdicts),
    )


def _evaluated(
    labels: Labels,
    judge: str | Rewarder | Judge | GuardedScorer,
    repeats: int,
    store: str | Path | Store | None,
    max_unscored: float,
    name: str,
) -> Evaluation:
    from harness.api import generator
    from harness.engine import evaluate
    from harness.references import Reference

    return evaluate(
        [item.sample for item in labels.items],
        generator=generator(Reference("recorded", {"field": labels.answer}, "recorded")),
        scorers=[judge],
        repeats=repeats,
        store=store,
        max_unscored=max_unscored,
        name=name,
    )
