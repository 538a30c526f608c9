"""The settings of judges: what is asked, how the verdict is taken, and how the model is asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Method = Literal["single", "votes", "logprobs"]


@dataclass(frozen=True, kw_only=True)
class AskingSettings:
    """How a judge's model is asked; a part of `RubricSettings` and `PairwiseSettings`."""

    max_tokens: int = 512
    """Most tokens of a verdict; one that is cut off is asked for again with more."""
    temperature: float | None = None
    """Temperature of sampling; none is 0, or with votes the service's own."""
    seed: int | None = None
    """Seed of sampling, where the service takes one; votes get seeds of their own."""
    reason_chars: int = 0
    """Longest reason that the schema allows, in characters; 0 is none: some services refuse it."""

    def __post_init__(self) -> None:
        """Raise ValueError for a number out of range."""
        if self.max_tokens < 16:
            raise ValueError(f"max_tokens is {self.max_tokens}; a verdict needs at least 16")
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            raise ValueError(f"temperature is {self.temperature}; it lies in 0..2")
        if self.reason_chars < 0:
            raise ValueError(f"reason_chars is {self.reason_chars}; it is 0 or more")
        following = getattr(super(), "__post_init__", None)
        if following is not None:  # the next base of a plugin's settings has checks of its own
            following()


@dataclass(frozen=True, kw_only=True)
class RubricSettings(AskingSettings):
    """The settings of a judge that grades by a rubric; a part of the settings of judges.

    Name it before `CallSettings`: `class MySettings(RubricSettings, CallSettings)`.
    """

    rubric: str = field(default="score", metadata={"result": False})
    """What is asked: score, score-free, criteria, or a TOML file."""
    method: Literal["single", "votes", "logprobs"] = "single"
    """One verdict, the mean of votes, or the mean over the levels by their log-probabilities."""
    votes: int = 1
    """Verdicts asked for with method=votes; more than half of them must be usable."""

    def __post_init__(self) -> None:
        """Raise ValueError for a number out of range, or votes that do not fit the method."""
        if self.method == "votes" and self.votes < 2:
            raise ValueError(f"votes is {self.votes}; method=votes needs 2 or more, better 3 or 5")
        if self.method == "votes" and self.temperature == 0:
            raise ValueError("temperature is 0, which makes votes alike; leave it out")
        if self.method != "votes" and self.votes != 1:
            raise ValueError(f"votes is {self.votes} and method is {self.method}; add method=votes")
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class PairwiseSettings(AskingSettings):
    """The settings of a judge that compares two answers; a part of the settings of judges.

    Name it before `CallSettings`: `class MySettings(PairwiseSettings, CallSettings)`.
    """

    against: str = field(default="reference", metadata={"result": False})
    """What the answer is compared with: reference (the sample's first), or a table of answers."""
    against_id: str = field(default="id", metadata={"result": False})
    """Column of the table that holds the samples' ids."""
    against_answer: str = field(default="completion", metadata={"result": False})
    """Column of the table that holds the other answers."""
    criteria: str = "correct first, then complete, then clear and without padding"
    """What makes an answer better."""
