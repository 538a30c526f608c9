"""Rewards that keep a policy honest: `contrast`, `length`, `repetition` and `copy`.

    contrast:of="bertscore:model=minilm,credit=true",pool=train.csv

`contrast` wraps any scorer and takes away what text earns against other rows' references, so that
only what answers the question earns something. The other three are guards: 0 is what is wanted
and -1 the worst, also for a completion without a word, so that saying nothing escapes none of
them. In training they get a small weight; in evaluation their parts are plain counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from harness import Component, Rewarder, hookimpl


@dataclass(frozen=True, slots=True)
class ContrastSettings:
    """Settings of `contrast`."""

    of: str = field(metadata={"result": False})
    """The scorer, as a reference; quote one that has commas: of="bertscore:layer=5,credit=true"."""
    pool: str = field(metadata={"result": False})
    """Table whose references stand for the other answers: the rows that are trained on."""
    prompt: str = "prompt"
    """Column of the pool's prompts."""
    reference: str = "reference"
    """Column of the pool's references; in JSON a cell may hold a list of them."""
    k: int = 4
    """How many other references each completion is scored against."""
    weight: float = 1.0
    """How much the mean over the others counts: 1 leaves what is specific, 0.5 half of the rest."""
    seed: int = 0
    """Chooses the others, together with the sample's own references."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant; the harness adds whose setting it is."""
        if self.k < 1:
            raise ValueError(f"k is {self.k}; it must be 1 or more")
        if not 0 < self.weight <= 1:
            raise ValueError(f"weight is {self.weight}; it must lie in (0, 1]")


@dataclass(frozen=True, slots=True)
class LengthSettings:
    """Settings of `length`."""

    target: int = 0
    """Words wanted; 0: as many as the reference has (of several, the one that costs least)."""
    low: float = 1.0
    """Share of the target down to which nothing is lost, such as 0.8."""
    high: float = 1.0
    """Share of the target up to which nothing is lost, such as 1.25."""
    half: float = 2.0
    """How many times too long, or too short, costs a half."""
    credit: bool = False
    """Also say what each word too many cost; of a text that is too short, its end is to blame."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant; the harness adds whose setting it is."""
        if self.target < 0:
            raise ValueError(f"target is {self.target}; it must be 0 or more")
        if not 0 < self.low <= 1 <= self.high < float("inf"):
            raise ValueError(f"low={self.low}, high={self.high}; 0 < low <= 1 <= high must hold")
        if not 1 < self.half < float("inf"):
            raise ValueError(f"half is {self.half}; it must be more than 1")


@dataclass(frozen=True, slots=True)
class RepetitionSettings:
    """Settings of `repetition`."""

    n: int = 3
    """How many words in a row make a repetition."""
    allowed: float = 0.0
    """Share of repeated word groups that costs nothing."""
    credit: bool = False
    """Also say what each word of a repetition cost (spans whose values add up to the value)."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant; the harness adds whose setting it is."""
        _check(self.n, self.allowed)


@dataclass(frozen=True, slots=True)
class CopySettings:
    """Settings of `copy`."""

    n: int = 4
    """How many words in a row, found in the prompt, make a copy."""
    allowed: float = 0.0
    """Share of copied words that costs nothing."""
    credit: bool = False
    """Also say what each copied word cost (spans whose values add up to the value)."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant; the harness adds whose setting it is."""
        _check(self.n, self.allowed)


def _check(n: int, allowed: float) -> None:
    if n < 1:
        raise ValueError(f"n is {n}; it must be 1 or more")
    if not 0 <= allowed < 1:
        raise ValueError(f"allowed is {allowed}; it must lie in [0, 1)")


def build_contrast(settings: ContrastSettings) -> Rewarder:
    """The scorer that `of` names, set against the pool; raises HarnessError if one is unusable."""
    from harness import scorer
    from harness_shaping._contrast import Contrast
    from harness_shaping._pool import read_pool

    pool = read_pool(settings.pool, settings.prompt, settings.reference, settings.seed)
    pool.check(settings.k, settings.pool)
    return Contrast(scorer(settings.of), pool, k=settings.k, weight=settings.weight)


def build_length(settings: LengthSettings) -> Rewarder:
    """The guard on length."""
    from harness_shaping._length import Length

    return Length(settings)


def build_repetition(settings: RepetitionSettings) -> Rewarder:
    """The guard on repetition."""
    from harness_shaping._guards import Repetition

    return Repetition(settings)


def build_copy(settings: CopySettings) -> Rewarder:
    """The guard on copying the prompt."""
    from harness_shaping._guards import Copy

    return Copy(settings)


@hookimpl
def harness_rewarders() -> Iterable[Component[Rewarder]]:
    """Register `contrast`, `length`, `repetition` and `copy`."""
    yield Component(
        "contrast",
        build=build_contrast,
        settings=ContrastSettings,
        summary="any scorer, less what the text earns against other rows' references",
    )
    yield Component(
        "length",
        build=build_length,
        settings=LengthSettings,
        summary="0 at the wanted number of words, towards -1 away from it",
    )
    yield Component(
        "repetition",
        build=build_repetition,
        settings=RepetitionSettings,
        summary="minus the share of word groups that the text has said before",
    )
    yield Component(
        "copy",
        build=build_copy,
        settings=CopySettings,
        summary="minus the share of the text's words that are copied from the prompt",
    )
