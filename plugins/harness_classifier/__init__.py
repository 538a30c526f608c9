"""`classifier`: a sequence classifier as a scorer, and the way to train one from labelled rows.

The scorer reads a completion with any `AutoModelForSequenceClassification` and gives the
log-odds, or the probability, of one of its classes. The trainer makes such a model of samples
whose prompt is a text and whose reference is its label. This file is read whenever plugins are
listed, so it imports nothing heavy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from harness import Component, Rewarder, Trainer, hookimpl

Output = Literal["logodds", "probability", "logit"]
Keep = Literal["auc", "macro_f1", "accuracy", "loss"]


@dataclass(frozen=True, slots=True)
class ClassifierSettings:
    """Settings of the scorer `classifier`."""

    model: str
    """Sequence classifier: a directory, a fetched hub model, or a name of `harness models`."""
    label: str = ""
    """Class whose evidence is the value, by name or number; empty: the model's last."""
    output: Output = "logodds"
    """Value: log p - log(1 - p) of the class, its probability p, or the logit as it is."""
    template: str = "{completion}"
    """What is read; {completion} and {prompt} stand for the texts, other braces are text."""
    empty: float = 1e-4
    """Probability that a completion without text gets; the model is not asked."""
    max_length: int = 0
    """Tokens of a text that are read, special ones included; 0: as many as the model takes."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the model; bfloat16 is faster and gives other numbers."""
    device: str = "auto"
    """Where the model runs: auto (a CUDA device if there is one), cpu, cuda, cuda:1."""
    batch_tokens: int = field(default=0, metadata={"result": False})
    """Tokens in one forward pass; 0: one text on a CPU (bit for bit the same), 32,768 on a GPU."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant; the harness adds whose setting it is."""
        if "{completion}" not in self.template:
            raise ValueError(f"template {self.template!r} has no {{completion}} in it")
        if not 0 < self.empty < 1:
            raise ValueError(f"empty is {self.empty}; it must lie in (0, 1)")
        _check_least(self, max_length=0, batch_tokens=0)
        _check_device(self.device)


@dataclass(frozen=True, slots=True)
class ClassifierTraining:
    """Settings of the trainer `classifier`."""

    model: str = "new"
    """Model to start from: a directory, fetched hub model or packaged one; new: from nothing."""
    labels: tuple[str, ...] = ()
    """The labels, worst first (a scorer's value is of the last); empty: as numbers or text sort."""
    epochs: int = 4
    """Times that each row is seen."""
    learning_rate: float | None = None
    """Largest step size, warmed up and decayed to 0; none: 5e-5, and 1e-3 for a new model."""
    batch_size: int = 16
    """Rows in one step."""
    max_length: int = 256
    """Tokens of a text that are read, special ones included."""
    balanced: bool = True
    """Weigh rows so that each label counts the same in all."""
    keep: Keep = "auc"
    """What of the held-out rows decides which epoch is kept; without such rows the last is."""
    weight_decay: float = 0.01
    """AdamW's decay of matrices."""
    layers: int = 2
    """Layers of a new model."""
    width: int = 128
    """Width of a new model; a multiple of its heads."""
    heads: int = 4
    """Attention heads of a new model."""
    vocabulary: int = 4000
    """Tokens of a new model; its tokenizer is trained on the rows."""
    device: str = "auto"
    """Where the model runs: auto (a CUDA device if there is one), cpu, cuda, cuda:1."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant; the harness adds whose setting it is."""
        _check_least(self, epochs=1, batch_size=1, max_length=8, layers=1, width=1, heads=1)
        _check_least(self, vocabulary=300)  # bytes and special tokens alone are 261
        _check_device(self.device)
        if self.learning_rate is not None and not 0 < self.learning_rate < 1:
            raise ValueError(f"learning_rate is {self.learning_rate}; it must lie in (0, 1)")
        if not 0 <= self.weight_decay < 1:
            raise ValueError(f"weight_decay is {self.weight_decay}; it must lie in [0, 1)")
        if self.width % self.heads:
            raise ValueError(f"width={self.width} is no multiple of heads={self.heads}")
        if len(self.labels) == 1 or len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels is {self.labels}; give two or more, each once")


def _check_least(settings: object, **least: int) -> None:
    for name, low in least.items():
        value = getattr(settings, name)
        if value < low:
            raise ValueError(f"{name} is {value}; it must be {low} or more")


def _check_device(name: str) -> None:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise ValueError(f"device is {name!r}; use auto, cpu, cuda or cuda:N")


def build(settings: ClassifierSettings) -> Rewarder:
    """The scorer that these settings describe; raises HarnessError for a model that is none."""
    from harness_classifier._scorer import build_scorer

    return build_scorer(settings)


def build_trainer(settings: ClassifierTraining) -> Trainer:
    """The trainer that these settings describe; raises HarnessError if its model is not there."""
    from harness_classifier._training import ClassifierTrainer

    return ClassifierTrainer(settings)


@hookimpl
def harness_rewarders() -> Iterable[Component[Rewarder]]:
    """Register the scorer `classifier`."""
    yield Component(
        "classifier",
        build=build,
        settings=ClassifierSettings,
        summary="log-odds or probability of a class, by any sequence classifier of transformers",
        requires="samescore[classifier]",
    )


@hookimpl
def harness_trainers() -> Iterable[Component[Trainer]]:
    """Register the trainer `classifier`."""
    yield Component(
        "train-classifier",
        build=build_trainer,
        settings=ClassifierTraining,
        summary="trains a sequence classifier on texts (prompts) and labels (references)",
        requires="samescore[classifier]",
    )
