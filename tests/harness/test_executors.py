"""Executors: what a run asks of them, and what it is told about those that it cannot have."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from harness import (
    Completion,
    Component,
    HarnessError,
    PluginError,
    Sample,
    Score,
    evaluate,
    hookimpl,
)
from harness.executors import Executor, Workers, executor
from harness.executors.local import Local
from harness.store import Store
from harness.testing import installed

if TYPE_CHECKING:
    from harness.executors import GivenGenerator, GivenScorer

T = TypeVar("T")

SAMPLES = [Sample(f"s{i:02}", f"prompt {i // 2}", (f"prompt {i % 3}",)) for i in range(40)]


@dataclass(frozen=True)
class Echo:
    """Repeats the prompt, a sample at a time."""

    batch_size: int = 2
    name: str = "echo"

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        return [Completion(s, s.prompt, attempt=attempt) for s in samples]


class Wide:
    """Everything in threads of its own, and what comes last is handed out first."""

    def __init__(self, address: str = "", generating: int = 3, scoring: int = 4) -> None:
        self.address = address
        self.generating, self.scoring = generating, scoring
        self.most = {"generated": 0, "scored": 0}
        self._under_way = {"generated": 0, "scored": 0}
        self._held: list[tuple[str, Future[Any], Callable[[], None]]] = []
        self._lock = threading.Lock()

    @contextmanager
    def open(self, generator: GivenGenerator, scorers: Sequence[GivenScorer]) -> Iterator[Workers]:
        with Local().open(generator, scorers) as inner, ThreadPoolExecutor(1) as pool:
            self._inner, self._pool = inner, pool
            self.generator, self.scorers = inner.generator, inner.scorers
            yield self
            assert not self._held

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> Future[list[Completion]]:
        return self._later("generated", self._inner.generator.generate(samples, attempt=attempt))

    def score(self, label: str, completions: Sequence[Completion]) -> Future[list[Score]]:
        return self._later("scored", self._inner.scorers[label].score(completions))

    def stop(self) -> None:
        for _, future, _ in self._held:
            future.cancel()

    def _later(self, what: str, value: T) -> Future[T]:
        future: Future[T] = Future()
        with self._lock:
            self._under_way[what] += 1
            self.most[what] = max(self.most[what], self._under_way[what])
            self._held.append((what, future, partial(future.set_result, value)))
        self._pool.submit(self._end_the_last)
        return future

    def _end_the_last(self) -> None:
        with self._lock:
            what, _, end = self._held.pop()
            self._under_way[what] -= 1
        end()


@dataclass(frozen=True, slots=True)
class WideSettings:
    """Settings of `wide`."""

    address: str = ""
    """Nowhere."""
    more: tuple[str, ...] = field(default=())
    """Nothing."""


class Plugin:
    """A third party's executor."""

    @hookimpl
    def harness_executors(self) -> Iterator[Component[Executor]]:
        yield Component("wide", build=lambda s: Wide(s.address), settings=WideSettings)


def test_answers_in_any_order_make_the_same_run(tmp_path: Path) -> None:
    found = []
    chosen: str | Executor | None
    for store, chosen in (("a.db", None), ("b.db", Wide()), ("c.db", "local")):
        result = evaluate(
            SAMPLES,
            generator=Echo(),
            scorers=["match", "f1=match:mode=f1"],
            repeats=2,
            store=tmp_path / store,
            executor=chosen,
        )
        rows = [(row.completion, row.scores) for row in result.rows()]
        found.append((result.run.id, result.run.config, rows))
    assert found[0] == found[1] == found[2]


def test_no_more_is_handed_out_than_the_executor_said() -> None:
    wide = Wide(generating=3, scoring=1)
    evaluate(SAMPLES, generator=Echo(1), scorers=["match"], executor=wide)
    assert wide.most["generated"] <= 3 + 1
    assert wide.most["scored"] <= 3 + 1 + 1


def test_what_came_is_kept_when_a_scorer_must_be_mended(own_store: Path) -> None:
    @dataclass(frozen=True)
    class Locked:
        """A scorer that knows no key."""

        name: str = "locked"

        def score(self, completions: Sequence[Completion]) -> list[Score]:
            raise HarnessError("the key is wrong")

    with pytest.raises(HarnessError, match="the key is wrong"):
        evaluate(SAMPLES, generator=Echo(), scorers=["match", Locked()], executor=Local())
    with Store(own_store) as store:
        record = store.run("last")
        assert record.status == "interrupted"
        assert sum(1 for row in store.rows(record) if "match" in row.scores) >= 2


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("wide", ""),
        ("wide:10.0.0.5:6379", "10.0.0.5:6379"),
        ("wide:address=10.0.0.5:6379", "10.0.0.5:6379"),
        ('wide:ray://10.0.0.5:10001,more=["a=1","b=2"]', "ray://10.0.0.5:10001"),
    ],
)
def test_an_address_needs_no_key(text: str, address: str) -> None:
    with installed(Plugin()):
        found = executor(text)
        assert isinstance(found, Wide)
        assert found.address == address


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("wied", "no executor is called 'wied'; did you mean 'wide'?"),
        ("match", "no executor is called 'match'"),
        ("local:2", "local has no setting 'address'"),
        (Wide, "is no executor; give a reference"),
        (3, "3 is no executor"),
    ],
)
def test_an_executor_that_cannot_be_had_is_told(given: str, told: str) -> None:
    with installed(Plugin()), pytest.raises(PluginError, match=r".") as caught:
        evaluate(SAMPLES, generator=Echo(), scorers=["match"], executor=given)
    assert told in str(caught.value)
