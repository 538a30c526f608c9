"""What a training is: the trainer, what it trains on, and the scorers with their weights."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias, cast

from harness.api import describe, name_of, refuse_class
from harness.api import scorer as build_scorer
from harness.components import Judge, Rewarder, Sample, Trainer
from harness.errors import DataError, HarnessError, PluginError
from harness.fingerprint import digest, samples_digest
from harness.guards import GuardedScorer
from harness.loader import default_plugins
from harness.plan import labelled, select
from harness.references import Reference, parse
from harness.training.selecting import selection

Scorer: TypeAlias = str | Reference | Rewarder | Judge | GuardedScorer
Weighted: TypeAlias = (
    Mapping[str, float] | Mapping[Scorer, float] | Sequence[Scorer | tuple[Scorer, float]]
)


class NamedTrainer(NamedTuple):
    """A trainer, how it is called, and what its results hang on."""

    label: str
    reference: str
    component: Trainer
    description: Mapping[str, object]


class WeightedScorer(NamedTuple):
    """A scorer of a training; a weight of 0 means watched only."""

    scorer: GuardedScorer
    weight: float


class TrainingPlan:
    """A training to be; its `id` stands for all of it, however its parts are called."""

    def __init__(
        self,
        samples: Sequence[Sample],
        held_out: Sequence[Sample],
        trainer: NamedTrainer,
        scorers: Mapping[str, WeightedScorer],
        output: Path,
        seed: int,
        name: str,
        select: str = "",
    ) -> None:
        self.samples, self.held_out, self.trainer = samples, held_out, trainer
        self.output, self.seed, self.name = output, seed, name
        self.scorers = {label: s.scorer for label, s in scorers.items()}
        self.weights = {label: s.weight for label, s in scorers.items()}
        self.select = selection(
            select,
            self.weights,
            held_out=len(held_out),
            trainer=trainer.component,
            called=trainer.label,
        )
        self.config: dict[str, object] = {
            "trainer": {
                "label": trainer.label,
                "reference": trainer.reference,
                "fingerprint": digest(trainer.description),
                **trainer.description,
            },
            "scorers": {label: _config(*s) for label, s in scorers.items()},
            "samples": {"n": len(samples), "digest": samples_digest(samples)},
            "held_out": {"n": len(held_out), "digest": samples_digest(held_out)},
            "seed": seed,
            **({"select": {"by": select, "labels": self.select.labels}} if self.select else {}),
        }
        self.id = digest([bare(self.config), str(output.absolute())])[:12]


def bare(config: Mapping[str, object], *aside: str) -> dict[str, object]:
    """A training's config without how its parts are called, and without the keys `aside` of each.

    What is left decides the training; the settings of a part stay whole, whatever they are called.
    """
    drop = {"label", "reference", *aside}
    scorers = cast(Mapping[str, Mapping[str, object]], config["scorers"])
    trainer = cast(Mapping[str, object], config["trainer"])
    return {
        "trainer": {key: value for key, value in trainer.items() if key not in drop},
        "scorers": {
            label: {key: value for key, value in scorer.items() if key not in drop}
            for label, scorer in scorers.items()
        },
        **{key: config[key] for key in ("samples", "held_out", "seed", "select") if key in config},
    }


def named_trainer(trainer: str | Reference | Trainer) -> NamedTrainer:
    """The trainer that a reference names, or one of your own.

    Raises:
        PluginError: if no such trainer can be built.
    """
    if isinstance(trainer, str | Reference):
        parsed = parse(trainer) if isinstance(trainer, str) else trainer
        built = default_plugins().build(parsed, "trainer")
        return NamedTrainer(parsed.label, str(parsed), built.instance, built.description)
    refuse_class(trainer)
    if not isinstance(trainer, Trainer):
        raise PluginError(f"{trainer!r} is no trainer: it has no `train`")
    name = name_of(trainer)
    return NamedTrainer(name, name, trainer, describe(trainer))


def weighted_scorers(scorers: Weighted) -> dict[str, WeightedScorer]:
    """The scorers by label, each with its weight.

    Raises:
        HarnessError: for two of one label, a weight that is no finite number, or what is no scorer.
    """
    if isinstance(scorers, str):
        raise HarnessError(f"scorers is {scorers!r}; give a list, or a mapping to weights")
    weighted = [_weighted(item) for item in _items(scorers)]
    by_label = labelled(scorer for scorer, _ in weighted)
    weights = [weight for _, weight in weighted]
    return {
        label: WeightedScorer(scorer, weight)
        for (label, scorer), weight in zip(by_label.items(), weights, strict=True)
    }


def is_weight(value: object) -> bool:
    """Whether a value can be a weight: a finite number."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(cast(float, value)) <= sys.float_info.max


def checked_samples(samples: Iterable[Sample], what: str) -> list[Sample]:
    """Samples with unique ids, in order.

    Raises:
        DataError: if there are none, two have one id, or one is no sample; says of `what`.
    """
    every = list(samples)
    if not every:
        raise DataError(f"there are no samples {what}")
    try:
        return select(every, rows=None, limit=None)
    except DataError as error:
        raise DataError(f"samples {what}: {error}") from error


def _items(scorers: Weighted) -> Iterable[Scorer | tuple[Scorer, float]]:
    return scorers.items() if isinstance(scorers, Mapping) else scorers


def _weighted(item: Scorer | tuple[Scorer, float]) -> WeightedScorer:
    scorer, weight = item if isinstance(item, tuple) else (item, 1.0)
    built = build_scorer(scorer)
    if not is_weight(weight):
        raise HarnessError(f"the weight of {built.label} is {weight!r}; it must be a number")
    return WeightedScorer(built, float(weight))


def _config(scorer: GuardedScorer, weight: float) -> dict[str, object]:
    named = {"label": scorer.label, "reference": scorer.reference}
    return {**named, "fingerprint": scorer.fingerprint, "weight": weight, **scorer.description}
