"""Which words of a completion earned its F1, from the alignment that gives the F1 anyway."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from harness import Credit
from harness_bertscore._matching import Encoded, triple

Span = tuple[int, int, int | None]
"""A token's characters `start:end`, and the word that it is part of."""


def token_credit(candidate: Encoded, reference: Encoded, baseline: float) -> Tensor:
    """What each token of the candidate earned [Lc]; the sum is F1, rescaled by the baseline.

    F1 is homogeneous of degree 1 in P and R, so F = P dF/dP + R dF/dR (Euler). P is a sum over
    the candidate's tokens, w_i max_j cos_ij. R is a sum over the reference's tokens, each of
    which is credited to the candidate's token that it matched. So token i earns

        c_i = F (a w_i cos_i / P + b sum_{j -> i} w_j cos_j / R),  a = R / (P + R), b = P / (P + R)

    and holds the share s_i = a w_i + b sum_{j -> i} w_j of all weight; with a baseline it earns
    (c_i - baseline s_i) / (1 - baseline): less than 0 where it is worse than unrelated text.
    """
    cosines = candidate.vectors @ reference.vectors.T  # [Lc, Lr]
    matched, where = cosines.max(dim=0)
    own = candidate.weights * cosines.amax(dim=1)  # [Lc], its sum is P
    given = torch.zeros_like(own).index_add_(0, where, reference.weights * matched)  # sum: R
    held = torch.zeros_like(own).index_add_(0, where, reference.weights)
    precision, recall = own.sum().item(), given.sum().item()
    f1 = triple(precision, recall).f1
    if not (precision and recall and f1):
        return torch.zeros_like(own)
    a, b = recall / (precision + recall), precision / (precision + recall)
    earned = f1 * (a * own / precision + b * given / recall)
    share = a * candidate.weights + b * held
    return (earned - baseline * share) / (1 - baseline)


def word_credit(
    text: str, lead: int, spans: Sequence[Span], values: Sequence[float]
) -> tuple[Credit, ...]:
    """Credit by word from that of each token, `lead` characters further right than in `text`.

    The values add up to F1 (rescaled) less what the special tokens earned, which stand for no
    characters: the recall of words whose best match was one of them.
    """
    return tuple(
        Credit(lead + start, lead + end, sum(values[i] for i in tokens))
        for start, end, tokens in _words(text, spans)
    )


def _words(text: str, spans: Sequence[Span]) -> Iterator[tuple[int, int, list[int]]]:
    """Spans of words, and their tokens; tokens that share a character are of one word."""
    words: list[tuple[int, int, int | None, list[int]]] = []
    for token, (start, end, word) in enumerate(spans):
        while start < end and text[start].isspace():
            start += 1
        if start >= end:
            continue
        if words and (start < words[-1][1] or (word is not None and word == words[-1][2])):
            first, last, _, tokens = words.pop()
            words.append((first, max(last, end), word, [*tokens, token]))
        else:
            words.append((start, end, word, [token]))
    return ((start, end, tokens) for start, end, _, tokens in words)
