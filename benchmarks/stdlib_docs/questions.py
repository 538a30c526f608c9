"""Questions about the standard library, made from the docstrings of the Python that runs.

`python -m benchmarks.stdlib_docs.questions train` writes them as JSON Lines, to train on.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import inspect
import json
import sys
import types
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from harness import Sample

from .docstrings import first_sentence
from .modules import MODULES
from .similar import groups, words

Split = Literal["train", "test"]
_TEST_SHARE = 5  # one group in five is asked; the others are there to train on


class _Entry(NamedTuple):
    """One public name with its answer."""

    module: str
    name: str
    kind: str
    answer: str
    foreign: bool
    """Whether the object says that it comes from elsewhere."""

    @property
    def id(self) -> str:
        return self.name if self.module == "builtins" else f"{self.module}.{self.name}"

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


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _entries() -> Iterator[_Entry]:
    for name in MODULES:
        module = _imported(name)
        for member, value in _public(module) if module else ():
            yield from _documented(name, member, value)


def _imported(name: str) -> types.ModuleType | None:
    """The module, or None where this Python was built without it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return importlib.import_module(name)
        except ImportError:
            return None


def _public(module: types.ModuleType) -> Iterator[tuple[str, object]]:
    """The public names of a module: those that it lists, or else those that are its own."""
    members = vars(module)
    listed = members.get("__all__")
    for name in sorted(members if listed is None else listed):
        value = members.get(name)
        if not name.startswith("_") and (listed is not None or _own(value, module.__name__)):
            yield name, value


def _own(value: object, module: str) -> bool:
    return _origin(value) in (module, f"_{module}")


def _origin(value: object) -> str:
    return str(getattr(value, "__module__", None))


def _documented(module: str, name: str, value: object) -> Iterator[_Entry]:
    """A function or class with its answer, and the methods that a class defines itself."""
    foreign = not _own(value, module)
    if isinstance(value, type):
        yield from _entry(module, name, "class", vars(value).get("__doc__"), foreign)
        for method, function in _methods(value):
            yield from _entry(module, f"{name}.{method}", "method", function.__doc__, foreign)
    elif inspect.isroutine(value):
        yield from _entry(module, name, "function", value.__doc__, foreign)


def _methods(kind: type) -> Iterable[tuple[str, object]]:
    """The public methods that a class defines, or has from a base in C that nobody knows."""
    found: dict[str, object] = {}
    for base in kind.__mro__:
        if base is kind or _origin(base).startswith("_"):
            found = {**vars(base), **found}
    return [(n, m) for n, m in sorted(found.items()) if not n.startswith("_") and _is_method(m)]


def _is_method(value: object) -> bool:
    return inspect.isroutine(value) or isinstance(value, classmethod | staticmethod)


def _entry(module: str, name: str, kind: str, text: object, foreign: bool) -> Iterator[_Entry]:
    answer = first_sentence(text) if isinstance(text, str) else None
    if answer:
        yield _Entry(module, name, kind, answer, foreign)
