"""What the options of this suite ask for."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness import HarnessError, Sample, load_samples

SMOLLM2 = (
    "smollm2=gpt2:model=smollm2,max_new_tokens=64,"
    'system="Answer the question in one or two short sentences."'
)
SCORERS = ("bertscore=bertscore:model=minilm", "f1=match:mode=f1")


@dataclass(frozen=True, slots=True)
class Faq:
    """A table of questions and answers, and how to judge answers to it."""

    file: str
    question: str
    answer: str
    completions: tuple[str, ...]
    scorers: tuple[str, ...]
    least: Mapping[str, float]

    def samples(self) -> list[Sample]:
        """Its rows; ids are row numbers, from "1".

        Raises:
            DataError: for a file, a row or a column that cannot be used.
        """
        return load_samples(
            self.file, prompt=self.question, references=self.answer, metadata=self.completions
        )


def faq(options: argparse.Namespace) -> Faq | None:
    """What `--faq` and its companions describe; None where no file is named.

    Raises:
        HarnessError: if a `--faq-least` is not SCORER=MEAN.
    """
    file = getattr(options, "faq", None) or os.environ.get("SAMESCORE_FAQ")
    if not file:
        return None
    return Faq(
        file,
        getattr(options, "faq_question", None) or "question",
        getattr(options, "faq_answer", None) or "answer",
        _several(options, "faq_completions"),
        _several(options, "faq_scorer") or SCORERS,
        dict(_floor(text) for text in _several(options, "faq_least")),
    )


def generators(options: argparse.Namespace) -> list[str]:
    """What answers: columns of the table, and models; SmolLM2 for want of any."""
    recorded = [_recorded(column) for column in _several(options, "faq_completions")]
    return [*recorded, *_several(options, "generator")] or [SMOLLM2]


def _several(options: argparse.Namespace, name: str) -> tuple[str, ...]:
    """An option's values; none where pytest was started so that it does not know the option."""
    return tuple(getattr(options, name, None) or ())


def _recorded(column: str) -> str:
    if re.fullmatch(r"[\w.-]+", column):
        return f"{column}=recorded:field={column}"
    return f"recorded:field={json.dumps(column, ensure_ascii=False)}"


def _floor(text: str) -> tuple[str, float]:
    label, _, mean = text.rpartition("=")
    try:
        return label, float(mean)
    except ValueError:
        raise HarnessError(f"--faq-least {text}: write SCORER=MEAN, as in bertscore=0.8") from None
