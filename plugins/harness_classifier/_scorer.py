"""The scorer `classifier`: how much a classifier finds of one class in a completion."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harness import Completion, HarnessError, Score
from harness_classifier._loading import Loaded, load
from harness_classifier._reader import Reader

if TYPE_CHECKING:
    from harness_classifier import ClassifierSettings

REGRESSION, SEVERAL = "regression", "multi_label_classification"


class ClassifierScorer:
    """The rewarder `classifier`.

    Value: the log-odds log p - log(1 - p) of a class against all the others, in nats, computed
    from the logits z as z_c - log sum_{j != c} exp z_j, so that it never saturates; or the
    probability p; or the logit z_c. A model of one logit, or one whose classes do not exclude
    each other, has p = sigmoid(z). Parts: probability, but for a regression. References are not
    read.

    A completion without text gets the probability `empty`, and its log-odds: what a classifier
    makes of nothing is chance, and may be its best score. A regression is asked all the same.

    Args:
        reader: Gives logits.
        loaded: The classifier.
        settings: Label, output, template and empty.
    """

    def __init__(self, reader: Reader, loaded: Loaded, settings: ClassifierSettings) -> None:
        self._reader = reader
        self._settings = settings
        self._kind = loaded.model.config.problem_type
        self._class = _class(settings.label, loaded.labels)
        if self._kind == REGRESSION and settings.output != "logit":
            raise HarnessError(
                f"classifier: {settings.model} is a regression, which has no probability; "
                "add output=logit"
            )
        self._identity = {**loaded.identity(), "class": str(self._class)}

    def identity(self) -> Mapping[str, str]:
        """Digests of weights and tokenizer, the class by its number, versions of libraries."""
        return self._identity

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        """One score a completion, in order; a text's score does not depend on the others."""
        asked = [c for c in completions if self._asks(c)]
        texts = [_filled(self._settings.template, c) for c in asked]
        read = iter(self._reader.logits(texts).unbind() if texts else ())
        return [self._score(next(read)) if self._asks(c) else self._empty() for c in completions]

    def _asks(self, completion: Completion) -> bool:
        return bool(completion.text.strip()) or self._kind == REGRESSION

    def _score(self, logits: Tensor) -> Score:
        logit = logits[self._class].item()
        if self._kind == REGRESSION:
            return Score(logit)
        return self._given(logit, self._logodds(logits))

    def _logodds(self, logits: Tensor) -> float:
        if len(logits) == 1 or self._kind == SEVERAL:
            return logits[self._class].item()
        others = torch.cat([logits[: self._class], logits[self._class + 1 :]])
        return (logits[self._class] - others.logsumexp(0)).item()

    def _empty(self) -> Score:
        logodds = math.log(self._settings.empty) - math.log1p(-self._settings.empty)
        return self._given(logodds, logodds, "the completion is empty")

    def _given(self, logit: float, logodds: float, reason: str = "") -> Score:
        probability = torch.sigmoid(torch.tensor(logodds, dtype=torch.float64)).item()
        values = {"logodds": logodds, "probability": probability, "logit": logit}
        parts = {"probability": probability}
        return Score(values[self._settings.output], parts, reason=reason)


def build_scorer(settings: ClassifierSettings) -> ClassifierScorer:
    """Load what the settings name; raises HarnessError that says what cannot be had."""
    loaded = load(
        settings.model,
        dtype=settings.dtype,
        device=settings.device,
        max_length=settings.max_length,
    )
    return ClassifierScorer(Reader(loaded, settings.batch_tokens), loaded, settings)


def _class(label: str, labels: Sequence[str]) -> int:
    """The number of a class; a name goes before a number."""
    if not label:
        return len(labels) - 1
    if label in labels:
        return labels.index(label)
    if label.isdecimal() and int(label) < len(labels):
        return int(label)
    raise HarnessError(
        f"classifier: label={label}, but the model's are {', '.join(labels)} "
        f"(or 0 to {len(labels) - 1})"
    )


def _filled(template: str, completion: Completion) -> str:
    texts = {"{prompt}": completion.sample.prompt, "{completion}": completion.text}
    return re.sub(r"\{(?:prompt|completion)\}", lambda found: texts[found[0]], template)
