"""The rows: what is trained on, and what is held out and stands nowhere in training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import geometric_mean
from typing import Literal, cast

from benchmarks.stdlib_docs.questions import questions
from harness import DataError, HarnessError, Sample, load_samples
from harness.data.split import normalised, split
from harness.data.writing import replacing, write_table
from harness.fingerprint import samples_digest

TRAIN, TEST, CARD = "train.csv", "test.csv", "rows.json"
_HOLDOUT = 0.2
_CLUSTER = "module"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to train on and held-out ones; `left_out` counts test rows that stood in training too.

    `cluster` is the metadata key of what test rows share, None where they are independent.
    """

    source: str
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    left_out: int
    cluster: str | None = None

    def __str__(self) -> str:
        told = f"{len(self.train)} rows to train on, {len(self.test)} held out"
        if not self.left_out:
            return told
        return f"{told} ({self.left_out} more left out: their question or answer is in training)"


def stdlib_rows() -> Rows:
    """The questions about Python's standard library."""
    train, test = _questions("train"), _questions("test")
    trained, held_out = apart(train, test)
    return Rows("stdlib", trained, held_out, len(test) - len(held_out), _CLUSTER)


def table_rows(train: str, test: str | None, question: str, answer: str) -> Rows:
    """The rows of one or two tables; of one, a fifth of the questions is held out.

    Rows without an answer are left out.

    Raises:
        DataError: for a file or column that cannot be used, or if no rows are left on a side.
    """
    known = _answered(train, question, answer)
    if test is None:
        kept, asked = split(known, _HOLDOUT)
    else:
        kept, asked = known, _answered(test, question, answer)
    trained, held_out = apart(kept, asked)
    if not trained or not held_out:
        where = f"{train} has too few rows to hold any out" if test is None else f"{test}: no row"
        raise DataError(f"{where} that is not in {train} too, by question or answer")
    return Rows(Path(train).name, trained, held_out, len(asked) - len(held_out))


def apart(
    train: Sequence[Sample], test: Sequence[Sample]
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Both sides, the second without rows whose question or answer also stands in the first.

    Case and white space make no difference.
    """
    prompts = {normalised(sample.prompt) for sample in train}
    answers = {normalised(text) for sample in train for text in sample.references}
    kept = (
        sample
        for sample in test
        if normalised(sample.prompt) not in prompts
        and not answers & {normalised(text) for text in sample.references}
    )
    return tuple(train), tuple(kept)


def write(rows: Rows, out: Path) -> None:
    """Write both sides into `out`, and what they are, unless they are there.

    Raises:
        HarnessError: if other rows are there, or the folder cannot be written.
    """
    card = {
        "source": rows.source,
        "cluster": rows.cluster,
        "left_out": rows.left_out,
        "train": {"n": len(rows.train), "digest": samples_digest(rows.train)},
        "test": {"n": len(rows.test), "digest": samples_digest(rows.test)},
    }
    if (out / CARD).exists():
        if read_card(out) != card:
            raise HarnessError(f"{out} holds a study of other rows; choose another --out")
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make the folder {out}: {error.strerror}") from error
    columns = ["id", "question", "answer", *([rows.cluster] if rows.cluster else [])]
    for name, samples in ((TRAIN, rows.train), (TEST, rows.test)):
        write_table(out / name, (_record(sample) for sample in samples), columns)
    with replacing(out / CARD) as temporary:
        temporary.write_text(json.dumps(card, indent=2) + "\n", "utf-8")


def read_card(out: Path) -> Mapping[str, object]:
    """What `write` wrote about the rows.

    Raises:
        DataError: if it cannot be read.
    """
    try:
        found = json.loads((out / CARD).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{out / CARD} cannot be read: {error}") from error
    return cast(Mapping[str, object], found)


def held_out(out: Path) -> tuple[list[Sample], str | None]:
    """The held-out rows that `write` wrote, and the metadata key of their clusters, if any."""
    cluster = read_card(out)["cluster"]
    metadata = () if cluster is None else (str(cluster),)
    samples = load_samples(
        out / TEST, prompt="question", references="answer", id="id", metadata=metadata
    )
    return samples, metadata[0] if metadata else None


def usual_words(out: Path) -> int:
    """How many words an answer has that is trained on: the geometric mean.

    The guard of length works on logarithms, and few long answers do not move it.
    """
    samples = load_samples(out / TRAIN, prompt="question", references="answer")
    return round(geometric_mean(len(sample.references[0].split()) or 1 for sample in samples))


def _questions(of: Literal["train", "test"]) -> list[Sample]:
    return [replace(s, metadata={_CLUSTER: s.metadata[_CLUSTER]}) for s in questions(of)]


def _record(sample: Sample) -> dict[str, object]:
    return {
        "id": sample.id,
        "question": sample.prompt,
        "answer": sample.references[0],
        **sample.metadata,
    }


def _answered(file: str, question: str, answer: str) -> list[Sample]:
    samples = load_samples(file, prompt=question, references=answer)
    found = [sample for sample in samples if any(map(str.strip, sample.references))]
    if not found:
        raise DataError(f"{file} has no row with a question and an answer")
    return found
