"""A classifier that no model is trained on: is this text the answer to that question?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness import Sample, load_samples
from harness.data.split import split
from harness.data.writing import write_table
from harness.references import Reference

from . import rows

FOLDER = "relevance"
_OWN, _OTHER = "own", "other"
_TEMPLATE = "question: {prompt}\nanswer: {completion}"
_KEPT = 0.1
_FILES = ("train", "test")


def scorer(out: Path, label: str) -> Reference:
    """How likely, in [0, 1], an answer is the question's own, as the trained classifier sees it."""
    model = str(out / FOLDER / "model" / "model")
    how = {"output": "probability", "max_length": "128"}
    chosen = {"model": model, "label": _OWN, "template": _TEMPLATE, **how}
    return Reference("classifier", chosen, label)


def files(out: Path) -> dict[str, Path]:
    """The tables of pairs: those to train on, and those that choose the epoch."""
    return {name: out / FOLDER / f"{name}.csv" for name in _FILES}


def write_pairs(out: Path) -> None:
    """Write each training question with its own answer and with the next question's, unless there.

    A tenth of the questions is kept to choose the epoch by; no held-out row of the study is read.
    """
    if all(file.exists() for file in files(out).values()):
        return
    found = load_samples(out / rows.TRAIN, prompt="question", references="answer", id="id")
    (out / FOLDER).mkdir(parents=True, exist_ok=True)
    trained, kept = split(found, _KEPT)
    if len(kept) < 2:  # too few for one to be the other's
        kept, trained = found[:2], found[2:]
    for name, samples in zip(_FILES, (trained, kept), strict=True):
        write_table(files(out)[name], _pairs(samples), ["id", "text", "label"])


def _pairs(samples: Sequence[Sample]) -> Iterator[dict[str, object]]:
    answers = [sample.references[0] for sample in samples]
    for sample, own, other in zip(samples, answers, [*answers[1:], *answers[:1]], strict=True):
        for label, answer in ((_OWN, own), (_OTHER, other)):
            text = _TEMPLATE.format(prompt=sample.prompt, completion=answer)
            yield {"id": f"{sample.id}-{label}", "text": text, "label": label}
