from __future__ import annotations

from collections.abc import Iterable

from harness import Component, Generator, hookimpl

from .nearest import NearestSettings, build


@hookimpl
def harness_generators() -> Iterable[Component[Generator]]:
    """Register the baseline of this suite."""
    yield Component(
        "nearest-question",
        build=build,
        settings=NearestSettings,
        summary="the answer of the most similar training question",
        requires="samescore[gpt2]",
    )
