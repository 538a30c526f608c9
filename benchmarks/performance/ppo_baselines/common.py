"""What every measured loop shares: the task, the two rewards, and the clock. No harness here."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

Reward = Callable[[Sequence[str], Sequence[str]], list[float]]
"""Texts and their references to scores."""

VOWELS = frozenset("aeiouAEIOU")


@dataclass(frozen=True)
class Row:
    """A question, its reference answer, and how many tokens the response gets."""

    question: str
    answer: str
    budget: int

    @property
    def prompt(self) -> str:
        return f"question: {self.question}\nanswer:"


@dataclass(frozen=True)
class Task:
    """Equal work for every loop: `warmup` batches, then `batches` that count.

    `seen`: the references have been scored against before, as from a training's second pass on.
    """

    model: str
    rows: list[Row]
    batch_size: int
    minibatch_size: int
    epochs: int
    learning_rate: float
    warmup: int
    batches: int
    reward: str
    encoder: str
    layer: int
    seen: bool = False

    @classmethod
    def read(cls, path: str) -> Task:
        known = json.loads(Path(path).read_text(encoding="utf-8"))
        return cls(**known | {"rows": [Row(**row) for row in known["rows"]]})

    def slices(self) -> list[list[Row]]:
        """The rows of each batch."""
        size = self.batch_size
        return [self.rows[i : i + size] for i in range(0, len(self.rows), size)]

    @property
    def mean_budget(self) -> int:
        return round(sum(row.budget for row in self.rows) / len(self.rows))


@dataclass(frozen=True)
class Spent:
    """Seconds of all threads, and seconds on the wall."""

    cpu: float
    wall: float

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.cpu - other.cpu, self.wall - other.wall)

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.cpu + other.cpu, self.wall + other.wall)


def now() -> Spent:
    return Spent(sum(os.times()[:2]), time.perf_counter())


@dataclass
class Clock:
    """What each batch took, in all and by phase; `tick` ends one batch and begins the next."""

    batches: list[dict[str, Spent]] = field(default_factory=list)
    tokens: list[float] = field(default_factory=list)
    phases: dict[str, Spent] = field(default_factory=dict)
    began: Spent | None = None

    def tick(self) -> None:
        at = now()
        if self.began:
            total = at - self.began
            rest = total
            for spent in self.phases.values():
                rest = rest - spent
            self.batches.append({**self.phases, "step": rest, "total": total})
        self.phases, self.began = {}, now()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = now()
        yield
        self.phases[name] = self.phases.get(name, Spent(0, 0)) + (now() - start)

    def finish(self, task: Task, path: str) -> None:
        """Write what the batches after the warm-up took, and the peak of memory (10^6 bytes)."""
        found = {
            "batches": [
                {name: asdict(spent) for name, spent in batch.items()}
                for batch in self.batches[task.warmup :]
            ],
            "tokens": self.tokens[task.warmup :],
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        }
        Path(path).write_text(json.dumps(found), encoding="utf-8")


def vowel_share(texts: Sequence[str], references: Sequence[str]) -> list[float]:
    """A reward that costs nothing: vowels by characters."""
    return [sum(c in VOWELS for c in text) / max(len(text), 1) for text in texts]


def reward(task: Task) -> Reward:
    """The reward of the loops that have no scorers: bert-score's own BERTScorer, kept warm."""
    if task.reward == "vowels":
        return vowel_share
    from bert_score import BERTScorer

    scorer = BERTScorer(model_type=task.encoder, num_layers=task.layer)

    def score(texts: Sequence[str], references: Sequence[str]) -> list[float]:
        f1: list[float] = scorer.score(list(texts), list(references))[2].tolist()
        return f1

    score(["a cat sat"], ["a cat"])
    return score


def arguments() -> tuple[Task, str]:
    """The task to run and the file for what it took."""
    task, out = sys.argv[1:]
    return Task.read(task), out
