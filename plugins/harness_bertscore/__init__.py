"""`bertscore`: BERTScore (Zhang et al., 2020) with bert-score's numbers, in less time and memory.

A completion's precision, recall and F1 against its references equal those of bert-score 0.3.13 on
transformers 4, within 1e-5 in float32. bert-score itself is read for its tables (which layer of
which encoder, baselines) and never imported. This file is read whenever plugins are listed, so
it imports nothing heavy; `_scorer.py` is where a score is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from harness import Component, Rewarder, hookimpl


@dataclass(frozen=True, slots=True)
class BertScoreSettings:
    """Settings of `bertscore`."""

    model: str = ""
    """Encoder: hub name, directory or packaged model (minilm); empty: bert-score's for the lang."""
    lang: str = "en"
    """Language of the texts: chooses the encoder if none is named, and the packaged baseline."""
    layer: int | None = None
    """Layer whose states are compared, 0 for the embeddings; none: bert-score's choice."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the encoder: float32 equals bert-score, bfloat16 is faster (F1 within 1e-3)."""
    device: str = "auto"
    """Where the encoder runs: auto (a CUDA device if there is one), cpu, cuda, cuda:1."""
    max_length: int = 0
    """Tokens of a text that are read, special ones included; 0: as many as the encoder takes."""
    baseline: str = ""
    """Rescale so that unrelated text is near 0: packaged, a tsv like bert-score's, or a number."""
    clip: float | None = None
    """Lowest value, such as -0.5 for a reward; the parts keep what was measured."""
    idf: str = ""
    """Weigh rare words more: a file of references (.txt, one a line, or a table), read once."""
    idf_column: str = "reference"
    """Column of the references in a table of `idf`; in JSON a cell may hold a list of them."""
    credit: bool = False
    """Also say what each word of the completion earned (spans whose values add up to F1)."""
    batch_tokens: int = field(default=0, metadata={"result": False})
    """Tokens in one forward pass; 0: what suits the device. The scores do not depend on it."""
    cache_mb: int = field(default=512, metadata={"result": False})
    """Memory for the embeddings of references, in MB; the oldest go first."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant; the harness adds whose setting it is."""
        for name in ("max_length", "batch_tokens", "cache_mb", "layer"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} is {value}; it must be 0 or more")
        if 0 < self.max_length < 3:
            raise ValueError(f"max_length is {self.max_length}, which leaves no room for a word")
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device):
            raise ValueError(f"device is {self.device!r}; use auto, cpu, cuda or cuda:N")


def build(settings: BertScoreSettings) -> Rewarder:
    """The scorer that these settings describe, with its encoder loaded."""
    from harness_bertscore._build import build_scorer

    return build_scorer(settings)


@hookimpl
def harness_rewarders() -> Iterable[Component[Rewarder]]:
    """Register `bertscore`."""
    yield Component(
        "bertscore",
        build=build,
        settings=BertScoreSettings,
        summary="BERTScore precision, recall and F1 against the references, as bert-score gives",
        requires="samescore[bertscore]",
    )
