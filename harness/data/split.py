"""Keeping what is trained on apart from what is tested on: by prompt, not by row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Literal

from harness.components import Sample
from harness.errors import DataError

Overlap = Literal["refuse", "drop"]
"""What to do about a prompt on both sides: raise, or leave its rows out of training."""


def normalised(prompt: str) -> str:
    """A prompt as it is compared: casefolded, runs of white space as one space."""
    return " ".join(prompt.casefold().split())


def split(
    samples: Iterable[Sample], share: float, seed: int = 0
) -> tuple[list[Sample], list[Sample]]:
    """Samples to train on, and about that `share` of them (0 to 1) to hold out, each in order.

    A hash of seed and normalised prompt decides, so rows of one prompt land on one side, and a
    row stays on its side whatever rows come and go.
    """
    kept: list[Sample] = []
    held_out: list[Sample] = []
    for sample in samples:
        (held_out if _place(sample, seed) < share else kept).append(sample)
    return kept, held_out


def overlapping(samples: Iterable[Sample], held_out: Iterable[Sample]) -> list[Sample]:
    """The samples whose prompts stand among those of `held_out` too."""
    prompts = {normalised(sample.prompt) for sample in held_out}
    return [sample for sample in samples if normalised(sample.prompt) in prompts]


def apart(samples: Sequence[Sample], held_out: Sequence[Sample], overlap: Overlap) -> list[Sample]:
    """The samples that may be trained on when `held_out` is what will be tested on.

    Raises:
        DataError: if a prompt is on both sides and `overlap` is `refuse`, or if it is `drop` and
            nothing is left.
    """
    if overlap not in ("refuse", "drop"):
        raise DataError(f"overlap is {overlap!r}; choose refuse or drop")
    shared = overlapping(held_out, samples)
    if not shared:
        return list(samples)
    if overlap == "refuse":
        first = ", ".join(repr(sample.id) for sample in shared[:3])
        more = ", …" if len(shared) > 3 else ""
        raise DataError(
            f"{len(shared)} of {len(held_out)} held-out rows have a prompt that is trained on "
            f"(ids {first}{more}; case and white space aside). Remove them on one side, or give "
            "overlap='drop' to leave them out of training"
        )
    left_out = {id(sample) for sample in overlapping(samples, held_out)}
    kept = [sample for sample in samples if id(sample) not in left_out]
    if not kept:
        raise DataError(f"all {len(samples)} rows to train on have a prompt that is held out")
    return kept


def _place(sample: Sample, seed: int) -> float:
    """Where a prompt falls between 0 and 1."""
    text = f"{seed}\0{normalised(sample.prompt)}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) / 2**64
