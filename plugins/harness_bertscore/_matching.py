"""The arithmetic of BERTScore: matching, F1 and baselines (Zhang et al., 2020, section 3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from harness_bertscore._tables import Triple

ZERO = Triple(0.0, 0.0, 0.0)


class Encoded(NamedTuple):
    """One text: unit vectors of its tokens [L, H], and their weights [L], which add up to 1.

    The weights are all zero where IDF gives no token any: each is in every document.
    """

    vectors: Tensor
    weights: Tensor

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self.vectors.nbytes + self.weights.nbytes


def unit(states: Tensor) -> Tensor:
    """States [L, H] scaled to length 1, in float32."""
    states = states.float()
    norms: Tensor = torch.linalg.vector_norm(states, dim=-1, keepdim=True)
    return states / norms


def encoded(vectors: Tensor, weights: Tensor) -> Encoded:
    """A text from its unit vectors [L, H] and raw token weights [L], which may be on the CPU."""
    shares = weights / weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)
    return Encoded(vectors, shares.to(vectors.device))


def precision_recall(candidate: Encoded, reference: Encoded) -> Tensor:
    """Precision and recall [2]: the weighted mean over tokens of the best cosine on the other side.

    Padding never enters: each pair is matched at its own size, so that a negative best cosine
    stays negative, and the result does not depend on other pairs. (Eq. 3 to 5 of the paper.)
    """
    cosines = candidate.vectors @ reference.vectors.T  # [Lc, Lr]
    precision = torch.dot(cosines.amax(dim=1), candidate.weights)
    recall = torch.dot(cosines.amax(dim=0), reference.weights)
    return torch.stack((precision, recall))


def triple(precision: float, recall: float) -> Triple:
    """Precision, recall and their harmonic mean, which is 0 where it is not defined."""
    total = precision + recall
    return Triple(precision, recall, 2 * precision * recall / total if total else 0.0)


def best(found: list[Triple]) -> Triple:
    """The largest precision, recall and F1, each by itself, as bert-score takes them.

    So with several references F1 need not be the harmonic mean of the other two.
    """
    return Triple(*(max(column) for column in zip(*found, strict=True)))


def rescaled(raw: Triple, baseline: Triple) -> Triple:
    """(x - b) / (1 - b) of each number: 0 for text as near as unrelated text, 1 for a copy."""
    return Triple(*((x - b) / (1 - b) for x, b in zip(raw, baseline, strict=True)))
