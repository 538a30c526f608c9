"""`match`: compares a completion with its references, without any model.

This is the plugin to read first. Like every other it is three things: settings, whose fields
are the keys of `match:mode=f1`; a component, which `build` makes of them; and a hook, which
tells the harness its name. This file is read whenever plugins are listed, so it imports nothing
heavy; what does the work is in `_match.py`, and imported when it is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from harness import Component, Rewarder, hookimpl


@dataclass(frozen=True, slots=True)
class MatchSettings:
    """Settings of `match`."""

    mode: Literal["exact", "contains", "regex", "numeric", "f1"] = "exact"
    """What counts: equal text, text within, a pattern found, the last number, or common words."""
    normalise: Literal["auto", "none", "space", "squad"] = "auto"
    """space: white space is levelled; squad: case, punctuation and articles too (auto for f1)."""
    ignore_case: bool = False
    """Whether capitals and small letters are the same."""
    extract: str = ""
    """Pattern that finds the answer in the completion: its last match, or that match's group 1."""
    tolerance: float = 1e-6
    """Largest difference between equal numbers, as a share of the reference, or of 1 below 1."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant; the harness adds whose setting it is."""
        if not self.tolerance >= 0:
            raise ValueError(f"tolerance is {self.tolerance}; it must be 0 or more")
        if self.mode in ("regex", "numeric") and self.normalise in ("space", "squad"):
            raise ValueError(f"mode={self.mode} reads the text as it is: leave normalise out")
        try:
            re.compile(self.extract)
        except re.error as error:
            raise ValueError(f"extract={self.extract!r} is no pattern: {error}") from error


def build(settings: MatchSettings) -> Rewarder:
    """The scorer that these settings describe."""
    from harness_match._match import Matcher

    return Matcher(settings)


@hookimpl
def harness_rewarders() -> Iterable[Component[Rewarder]]:
    """Register `match`."""
    yield Component(
        "match",
        build=build,
        settings=MatchSettings,
        summary="exact match, containment, pattern, number or token F1 against the references",
    )
