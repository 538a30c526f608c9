"""Questions about the standard library, made from the docstrings of the Python that runs."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from typing import Literal, NamedTuple

from harness import Sample

from .docstrings import first_sentence
from .inventory import inventory
from .modules import MODULES
from .similar import groups, words

Split = Literal["train", "test"]
_TEST_SHARE = 5  # one group of answers in five is asked for; the others are there to train on


class _Entry(NamedTuple):
    """A name with the first sentence of its docstring."""

    id: str
    answer: str
    module: str
    kind: str
    foreign: bool

    @property
    def rank(self) -> tuple[bool, int, int, str]:
        """Of two names with one answer, the smaller is the better known."""
        return self.foreign, self.id.count("."), len(self.id), self.id


@functools.cache
def questions(split: Split) -> tuple[Sample, ...]:
    """The questions of one split, mixed: any first N of them are a fair sample.

    Names with the same answer are asked about once, under the best-known of them; answers that
    share most of their words are always in one split.
    """
    chosen = [entry for entry, of in _split() if of == split]
    return tuple(_sample(entry) for entry in sorted(chosen, key=lambda e: _hash(e.id)))


def _sample(entry: _Entry) -> Sample:
    metadata = {"module": entry.module, "kind": entry.kind}
    return Sample(entry.id, f"What does `{entry.id}` do?", (entry.answer,), metadata)


def _split() -> Iterator[tuple[_Entry, Split]]:
    best: dict[tuple[str, ...], _Entry] = {}
    for entry in _entries():
        key = words(entry.answer)
        best[key] = min(best.get(key, entry), entry, key=lambda e: e.rank)
    for group in groups(best):
        asked = int(_hash(" ".join(min(group))), 16) % _TEST_SHARE == 0
        for key in group:
            yield best[key], "test" if asked else "train"


def _entries() -> Iterator[_Entry]:
    for module, name, kind, foreign, text in inventory(MODULES):
        answer = first_sentence(text)
        if answer:
            full_name = name if module == "builtins" else f"{module}.{name}"
            yield _Entry(full_name, answer, module, kind, foreign)


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
