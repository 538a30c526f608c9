"""Labelled rows: samples as texts and the numbers of their labels, in batches."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from harness import DataError, Sample
from harness.fingerprint import digest

_BUCKET = 16
"""Batches whose rows are sorted by length together."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Texts, and for each the number of its label in `labels`."""

    texts: Sequence[str]
    classes: Sequence[int]
    labels: Sequence[str]

    def weights(self) -> list[float]:
        """What a row of each label weighs, so that each label weighs the same in all."""
        counts = Counter(self.classes)
        return [len(self.texts) / (len(self.labels) * counts[c]) for c in range(len(self.labels))]


def find_labels(samples: Sequence[Sample], given: Sequence[str]) -> list[str]:
    """The labels in order: those given, or those of the samples as numbers or text sort.

    Raises:
        DataError: if a sample has no single reference, or there are fewer than two labels, or
            one that was given has no row.
    """
    found = {_label(sample) for sample in samples}
    labels = list(given) or sorted(found, key=_order)
    if len(found) < 2:
        shown = "none" if not found else f"only {next(iter(found))!r}"
        raise DataError(f"classifier: {len(samples)} rows to train on, labels: {shown}; two needed")
    if lost := [label for label in labels if label not in found]:
        raise DataError(f"classifier: no row to train on has the label {lost[0]!r}")
    return labels


def examples(samples: Sequence[Sample], labels: Sequence[str]) -> Examples:
    """The samples as examples; raises DataError that names one without a known label."""
    for sample in samples:
        if _label(sample) not in labels:
            raise DataError(
                f"classifier: the sample {sample.id} has the label {_label(sample)!r}; "
                f"the labels are {', '.join(labels)}"
            )
    classes = [labels.index(_label(sample)) for sample in samples]
    return Examples([sample.prompt for sample in samples], classes, labels)


def epoch_batches(lengths: Sequence[int], size: int, seed: int, epoch: int) -> list[list[int]]:
    """The rows of each batch of an epoch, shuffled, rows of like length together."""
    rng = random.Random(digest((seed, epoch)))
    order = list(range(len(lengths)))
    rng.shuffle(order)
    bucket = size * _BUCKET
    batches: list[list[int]] = []
    for start in range(0, len(order), bucket):
        rows = sorted(order[start : start + bucket], key=lambda i: lengths[i])
        batches += [rows[i : i + size] for i in range(0, len(rows), size)]
    rng.shuffle(batches)
    return batches


def _label(sample: Sample) -> str:
    if len(sample.references) != 1 or not sample.references[0].strip():
        raise DataError(
            f"classifier: the sample {sample.id} has {len(sample.references)} references; "
            "its label must be its one reference"
        )
    return sample.references[0].strip()


def _order(label: str) -> tuple[int, float, str]:
    """Numbers by value, then texts."""
    try:
        return 0, float(label), label
    except ValueError:
        return 1, 0.0, label
