r"""`rag`: retrieval-augmented generation, with any generator and any retriever.

    rag:of="gpt2:model=smollm2",retriever="local:path=runs/index",k=3

Each prompt is looked up, and the passages that are found go into the prompt that the generator
gets. Compare it with the generator alone to see what the passages are worth.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from harness import Component, Generator, hookimpl

_NEEDED = {"template": ("{prompt}", "{passages}"), "passage": ("{text}",), "query": ("{prompt}",)}


@dataclass(frozen=True, slots=True)
class RagSettings:
    """Settings of `rag`."""

    of: str = field(metadata={"result": False})
    """The generator, as a reference; quote one that has commas: of="gpt2:model=smollm2,seed=1"."""
    retriever: str = field(metadata={"result": False})
    """What finds passages, as a reference, such as local:path=runs/index."""
    k: int = 3
    """How many passages go into a prompt."""
    template: str = "{passages}\n\n{prompt}"
    """What the generator is asked, made of {passages} and {prompt}."""
    passage: str = "{text}"
    """How one passage is written, of its {text}, {id} and {rank} (from 1)."""
    separator: str = "\n\n"
    """What stands between passages."""
    query: str = "{prompt}"
    """What is looked up."""
    filter: tuple[str, ...] = ()
    """Only passages that have one of these tokens, such as topic=orders,returns."""
    most_characters: int = 0
    """Leave out passages once there are more characters than this (the first is cut); 0: none."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant; the harness adds whose setting it is."""
        from harness.retrieval import restricts

        if self.k < 1:
            raise ValueError(f"k is {self.k}; it must be 1 or more")
        if self.most_characters < 0:
            raise ValueError(f"most_characters is {self.most_characters}; it must be 0 or more")
        for name, parts in _NEEDED.items():
            for part in parts:
                if part not in getattr(self, name):
                    raise ValueError(f"{name} {getattr(self, name)!r} has no {part} in it")
        restricts(self.filter)


def build(settings: RagSettings) -> Generator:
    """The generator over both; raises HarnessError if one of them cannot be built."""
    from harness import generator
    from harness.loader import default_plugins
    from harness_rag._rag import Rag

    built = default_plugins().build(settings.retriever, "retriever")
    return Rag(generator(settings.of), built.instance, settings, built.description)


@hookimpl
def harness_generators() -> Iterable[Component[Generator]]:
    """Register `rag`."""
    yield Component(
        "rag",
        build=build,
        settings=RagSettings,
        summary="any generator, with passages that any retriever finds in its prompt",
    )
