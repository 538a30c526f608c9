"""A plugin that does what it must not; `how` says what."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness import Completion, Component, Generator, Rewarder, Sample, Score, hookimpl

BAD = frozenset({"3", "77"})
"""The samples at which it goes wrong, where it does not always."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of `acme-bad`."""

    how: str = "well"
    """What goes wrong."""


class Bad:
    """Scores 1, or goes wrong."""

    batch_size = 16

    def __init__(self, settings: Settings) -> None:
        self._how = settings.how.replace("-", "_")

    def identity(self) -> dict[str, str]:
        return {"version": "1"}

    def score(self, completions: Sequence[Completion]) -> Any:
        return self._do(completions, lambda c: Score(1.0))

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> Any:
        return self._do(samples, lambda s: Completion(s, "yes", attempt=attempt))

    def _do(self, items: Sequence[Any], one: Callable[[Any], Any]) -> Any:
        good = [one(item) for item in items]
        wrong = [i for i, item in enumerate(items) if _id(item) in BAD]
        found = getattr(self, self._how, None)
        return found(items, good, wrong) if found else _raised(self._how, good, wrong)

    def well(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        return good

    def too_few(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        return good[: len(good) - len(wrong)]

    def too_many(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        return good + good[: len(wrong)]

    def nothing(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        return None if wrong else good

    def a_text(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        return "x" * len(good) if wrong else good

    def a_mapping(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        return dict(enumerate(good)) if wrong else good

    def lazily(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        return (item for item in good) if wrong else good

    def endlessly(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        return itertools.cycle(good) if wrong else good

    def an_array(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        return np.array(good, dtype=object)

    def a_tuple(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        return tuple(good)

    def its_input(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        return [items[i] if i in wrong else one for i, one in enumerate(good)]

    def changes_its_list(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        items.clear()
        return good

    def changes_metadata(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        for item in items:
            metadata = getattr(item, "sample", item).metadata
            with contextlib.suppress(KeyError):
                metadata["tags"].append("changed")
            metadata.clear()
        return good

    def changes_fields(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        for item in items:
            for name, value in (("prompt", "changed"), ("text", "changed"), ("references", ())):
                if hasattr(item, name):
                    object.__setattr__(item, name, value)
                if hasattr(getattr(item, "sample", None), name):
                    object.__setattr__(item.sample, name, value)
        return good

    def prints(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        print("acme: printed")
        print("acme: told", file=sys.stderr)
        os.write(1, b"acme: written\n")
        os.system("echo acme: echoed")
        return good

    def forks(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        if wrong and os.fork() == 0:
            time.sleep(0.01)  # and goes on with our code, as its parent does
        return good

    def forks_and_ends(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        if wrong and os.fork() == 0:
            sys.exit(0)
        return good

    def leaves_threads(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        if wrong:
            threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        return good

    def leaks(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        _LEAKED.append(bytearray(2**20))
        return good

    def changes_folder(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        os.chdir("/")
        return good

    def changes_seeds(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        random.seed(0)
        np.random.seed(0)
        np.seterr(all="raise")
        return good

    def changes_json(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        json.dumps = lambda *_, **__: "changed"
        return good

    def changes_environment(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        os.environ.clear()
        return good

    def hangs(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        if wrong:
            print("acme: hangs", file=sys.stderr, flush=True)
            threading.Event().wait(3600)
        return good

    def exits(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        if wrong:
            os._exit(3)
        return good

    def crashes(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        if wrong:
            import ctypes

            ctypes.string_at(0)
        return good

    def recurses(self, items: Any, good: list[Any], wrong: list[int]) -> Any:
        return self.recurses(items, good, wrong) if wrong else good


_LEAKED: list[bytearray] = []


def _id(item: Any) -> str:
    return str(getattr(item, "sample", item).id)


class AcmeError(BaseException):
    """No Exception."""


class UnprintableError(Exception):
    """Whose text is an error itself."""

    def __str__(self) -> str:
        raise ValueError("no text")


_ERRORS: dict[str, BaseException] = {
    "ValueError": ValueError("acme"),
    "BaseException": AcmeError("acme"),
    "SystemExit": SystemExit(0),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "StopIteration": StopIteration(7),
    "GeneratorExit": GeneratorExit(),
    "MemoryError": MemoryError(),
    "surrogate": ValueError("\ud800"),
    "unprintable": UnprintableError(),
}
_VALUES: dict[str, Any] = {
    "None": None, "nan": Score(float("nan")), "inf": Score(float("inf")),
    "minus inf": Score(float("-inf")), "a number": 0.5, "text": "1.0",
    "numpy": Score(np.float32(1)),  # type: ignore[arg-type]
    "int": Score(1), "bool": Score(True), "huge": Score(10**400), "value text": Score("1"),  # type: ignore[arg-type]
    "array": Score(np.ones(3)), "complex": Score(1j),  # type: ignore[arg-type]
}  # fmt: skip


def _raised(how: str, good: list[Any], wrong: list[int]) -> Any:
    if wrong and how in _ERRORS:
        raise _ERRORS[how]
    value = _VALUES[how.removeprefix("value_").replace("_", " ")] if how.startswith("value") else 0
    return [value if i in wrong else item for i, item in enumerate(good)]


@hookimpl
def harness_rewarders() -> Iterator[Component[Rewarder]]:
    yield Component("acme-bad", build=Bad, settings=Settings, summary="goes wrong")


@hookimpl
def harness_generators() -> Iterator[Component[Generator]]:
    yield Component("acme-answers", build=Bad, settings=Settings, summary="goes wrong")
