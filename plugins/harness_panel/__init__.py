"""Several scorers that decide together: the rewarder `panel`.

    panel:of=["openai:model=a","anthropic:model=b","match:mode=f1"]

A panel of three or more different models leans less than each of them. A member that has no score
is one that did not agree: it counts in what a majority is more than half of.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from harness import Component, Rewarder, hookimpl


@dataclass(frozen=True, slots=True)
class PanelSettings:
    """Settings of `panel`."""

    of: tuple[str, ...] = field(metadata={"result": False})
    """The scorers, three or more, as a list of references: of=["openai:model=a","match"]."""
    rule: Literal["median", "majority"] = "median"
    """The middle of the values, or 1 or 0 by what more than half of all members say."""
    threshold: float = 0.5
    """With rule=majority: the value from which on a member says 1."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant; the harness adds whose setting it is."""
        if len(self.of) < 3:
            raise ValueError(f"of names {len(self.of)} scorers; a panel has 3 or more")
        if self.rule == "majority" and len(self.of) % 2 == 0:
            raise ValueError(f"of names {len(self.of)} scorers; a majority needs an odd number")
        if self.rule == "median" and self.threshold != 0.5:
            raise ValueError("threshold goes with rule=majority; a median needs none")


def build(settings: PanelSettings) -> Rewarder:
    """The panel; raises HarnessError if a member is unusable or there twice."""
    from harness import PluginError, scorer
    from harness_panel._panel import Panel

    members = [scorer(reference) for reference in settings.of]
    for place, member in enumerate(members):
        for earlier in members[:place]:
            if earlier.fingerprint == member.fingerprint:
                raise PluginError(f"panel: {member.reference!r} is there twice; name another model")
            if earlier.label == member.label:
                raise PluginError(f"panel: two members have the label {member.label!r}; change one")
    return Panel(members, rule=settings.rule, threshold=settings.threshold)


@hookimpl
def harness_rewarders() -> Iterable[Component[Rewarder]]:
    """Register `panel`."""
    yield Component(
        "panel",
        build=build,
        settings=PanelSettings,
        summary="several scorers together: their median, or a strict majority",
        calls=True,  # of what it mostly is of
    )
