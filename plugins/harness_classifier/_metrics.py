"""How well classes are told apart, from the probabilities of each row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Probabilities = Sequence[Sequence[float]]
"""Of each row the probability of each class."""


def metrics(probabilities: Probabilities, classes: Sequence[int]) -> Mapping[str, float]:
    """Accuracy, macro-F1, loss (mean -log p of the true class, in nats) and AUC, where defined.

    AUC is that of the last class against the first, and the mean over each class against the
    rest where there are more than two.
    """
    guesses = [max(range(len(row)), key=row.__getitem__) for row in probabilities]
    right = sum(a == b for a, b in zip(guesses, classes, strict=True))
    pairs = zip(probabilities, classes, strict=True)
    loss = -sum(math.log(max(row[c], 1e-300)) for row, c in pairs)
    found = {
        "accuracy": right / len(classes),
        "macro_f1": macro_f1(guesses, classes),
        "loss": loss / len(classes),
    }
    area = mean_auc(probabilities, classes)
    return found if area is None else {**found, "auc": area}


def macro_f1(guesses: Sequence[int], classes: Sequence[int]) -> float:
    """The mean F1 over the classes that occur, guessed or true."""
    scores = []
    for c in sorted({*guesses, *classes}):
        both = sum(g == c == t for g, t in zip(guesses, classes, strict=True))
        scores.append(2 * both / (guesses.count(c) + classes.count(c)))
    return sum(scores) / len(scores)


def mean_auc(probabilities: Probabilities, classes: Sequence[int]) -> float | None:
    """The AUC of the classes that have rows both of them and not; None if there is none."""
    count = len(probabilities[0])
    ranked = range(count - 1, count) if count == 2 else range(count)
    areas = [
        auc([row[c] for row in probabilities], [true == c for true in classes]) for c in ranked
    ]
    defined = [area for area in areas if area is not None]
    return sum(defined) / len(defined) if defined else None


def auc(scores: Sequence[float], positive: Sequence[bool]) -> float | None:
    """The chance that a positive row scores above a negative one, ties half (Mann-Whitney U)."""
    n = sum(positive)
    if not 0 < n < len(scores):
        return None
    ranks = _ranks(scores)
    total = sum(rank for rank, good in zip(ranks, positive, strict=True) if good)
    return (total - n * (n + 1) / 2) / (n * (len(scores) - n))


def _ranks(scores: Sequence[float]) -> list[float]:
    """Ranks from 1; equal scores share the mean of theirs."""
    order = sorted(range(len(scores)), key=scores.__getitem__)
    ranks = [0.0] * len(scores)
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or scores[order[end]] != scores[order[start]]:
            for i in order[start:end]:
                ranks[i] = (start + 1 + end) / 2
            start = end
    return ranks
