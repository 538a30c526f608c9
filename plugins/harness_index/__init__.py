"""`local`: an index in a folder of this machine, searched exactly or by ScaNN.

    local:path=runs/index
    local:path=runs/index,leaves_fraction=0.2     # of an approximate index: slower, finds more

`harness index create` makes the folder. Texts are turned into vectors by the index's encoder,
which it remembers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness import Component, Retriever, hookimpl

if TYPE_CHECKING:
    from harness_index._local import LocalIndex


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """Settings of `local`; what is none is the index's own."""

    path: str = field(metadata={"result": False})
    """The folder of the index."""
    encoder: str = ""
    """What makes vectors of texts: a directory or a model; empty: the index's own, or minilm."""
    exact: bool = False
    """Search exactly, also where the index has a faster engine."""
    leaves_fraction: float | None = None
    """Which share of the leaves an approximate search looks at, where the query does not say."""
    approximate_count: int | None = None
    """How many approximate neighbours are ranked exactly, where the query does not say."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant; the harness adds whose setting it is."""
        if not self.path:
            raise ValueError("path is empty; name the folder of the index")
        fraction, count = self.leaves_fraction, self.approximate_count
        if fraction is not None and not 0 < fraction <= 1:
            raise ValueError(f"leaves_fraction is {fraction}; it must be above 0 and up to 1")
        if count is not None and count < 1:
            raise ValueError(f"approximate_count is {count}; it must be 1 or more")


def build(settings: LocalSettings) -> LocalIndex:
    """The index in the folder, which is opened when it is first used."""
    from harness_index._local import LocalIndex

    return LocalIndex(settings)


@hookimpl
def harness_retrievers() -> Iterable[Component[Retriever]]:
    """Register `local`."""
    yield Component(
        "local",
        build=build,
        settings=LocalSettings,
        summary="an index in a folder of this machine: exact, or ScaNN where there is much",
        requires="samescore[encoder]",
    )
