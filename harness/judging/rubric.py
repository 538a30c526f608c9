"""Rubrics: what a judge is asked, as typed questions whose answers are on a menu."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from harness.errors import DataError
from harness.fingerprint import digest

Kind = Literal["predicate", "choice", "score"]
Need = Literal["required", "optional", "none"]

SHIPPED = Path(__file__).parent / "rubrics"
"""The rubrics that come with the package, a TOML file each."""


@dataclass(frozen=True, slots=True)
class Option:
    """One answer on the menu: what the model writes, and what that is worth.

    `level` is the raw scale's: the integer of a score, the rank of a choice from 0, 1 for yes.
    `value` lies in [0, 1], and `text` is what the answer stands for.
    """

    answer: str | int
    level: float
    value: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """One question, its menu from the worst answer to the best, and its weight in the mean."""

    name: str
    kind: Kind
    text: str
    options: tuple[Option, ...]
    weight: float = 1.0

    def shares_of(self, answer: str | int) -> tuple[float, ...]:
        """All on one answer of the menu, in the order of `options`."""
        return tuple(float(o.answer == answer) for o in self.options)


@dataclass(frozen=True)
class Rubric:
    """The questions of one verdict, and what the judge is told beside them."""

    questions: tuple[Question, ...]
    instructions: str = ""
    reference: Need = "optional"
    reason_words: int = 12

    @functools.cached_property
    def digest(self) -> str:
        """A digest of all that it says."""
        return digest(asdict(self))

    def reason_key(self, question: Question) -> str:
        """Under which key a verdict gives its reason for a question's answer."""
        return "reason" if len(self.questions) == 1 else f"{question.name}_reason"

    def graded(self, shares: Mapping[str, Sequence[float]]) -> tuple[float, dict[str, float]]:
        """What answers are worth: the value in [0, 1], and each question's level by its name.

        Args:
            shares: By a question's name, how much each of its options has: probabilities, votes
                as fractions, or 1 for the one that was given. They add up to 1.

        Returns:
            The mean of the questions' expected values by their weights, and the expected levels.
        """
        value, levels = 0.0, {}
        for question in self.questions:
            pairs = list(zip(shares[question.name], question.options, strict=True))
            levels[question.name] = sum(share * o.level for share, o in pairs)
            value += question.weight * sum(share * o.value for share, o in pairs)
        return min(value / sum(q.weight for q in self.questions), 1.0), levels


def load_rubric(name: str) -> Rubric:
    """The rubric that a name (score, score-free, criteria) or a TOML file gives.

    Warns of a question with more than six levels: judges cannot tell so many apart.

    Raises:
        DataError: naming the file, the question, the key and the remedy.
    """
    from harness.judging.rubric_file import read_rubric

    shipped = sorted(path.stem for path in SHIPPED.glob("*.toml"))
    path = SHIPPED / f"{name}.toml" if name in shipped else Path(name)
    if not path.is_file():
        near = f"name a TOML file, or one of {', '.join(shipped)}"
        meant = f"name {name}.toml" if Path(f"{name}.toml").is_file() else near
        raise DataError(f"there is no rubric {name!r}; {meant}")
    return read_rubric(path)
