"""The executor: components become pools of workers, and what stays here its threads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TYPE_CHECKING, cast

from harness.api import generator as build_generator
from harness.api import scorer as build_scorer
from harness.components import Completion, Sample, Score
from harness.executors.local import Threads, generated, scorers_at_work
from harness.guards import GuardedGenerator, GuardedScorer
from harness.plan import labelled
from harness_ray import RaySettings
from harness_ray._cluster import connect, resources
from harness_ray._parts import Part, check_names, part, shares
from harness_ray._pool import Dispatcher, Pool
from harness_ray._worker import Spec

if TYPE_CHECKING:
    from harness.executors import GivenGenerator, GivenScorer

_GRACE_S = 1.5  # what batches under way have to end when a run is interrupted


class RayExecutor:
    """Opens pools of workers for the components of a run."""

    def __init__(self, settings: RaySettings) -> None:
        self._settings = settings

    @contextlib.contextmanager
    def open(
        self, generator: GivenGenerator, scorers: Sequence[GivenScorer]
    ) -> Iterator[RayWorkers]:
        """The components at work: on workers, or here where they ask services."""
        parts = [part(generator, "generator", self._settings.driver)]
        parts += [part(scorer, "scorer", self._settings.driver) for scorer in scorers]
        with self._pools(parts) as pools:
            first = pools.get(0)
            answering = _generator(parts[0], first) if first else build_generator(generator)
            scoring = [
                _scorer(parts[place], pools[place]) if place in pools else build_scorer(given)
                for place, given in enumerate(scorers, 1)
            ]
            by_label = labelled(scoring)
            here = [s for place, s in enumerate(scoring, 1) if place not in pools]
            away = {s.label: pools[p] for p, s in enumerate(scoring, 1) if p in pools}
            with scorers_at_work(here) as threads:
                in_flight = self._settings.in_flight
                yield RayWorkers(answering, by_label, first, away, threads, in_flight)

    @contextlib.contextmanager
    def _pools(self, parts: Sequence[Part]) -> Iterator[Mapping[int, Pool]]:
        """The pools of those parts that are sent, by their place."""
        if not any(p.sent for p in parts):
            check_names(parts, self._settings)
            yield {}
            return
        connect(self._settings.address)
        dispatcher = Dispatcher()
        pools: dict[int, Pool] = {}
        sent = [(place, p) for place, p in enumerate(parts) if p.sent]
        found = shares(parts, self._settings, resources())
        for (place, p), share in zip(sent, found, strict=True):
            pools[place] = Pool(p, _spec(p), share, dispatcher, self._settings)
        try:
            dispatcher.start(list(pools.values()))
            yield pools
        finally:
            dispatcher.close()


class RayWorkers:
    """A run's components: pools of workers, and threads of this process."""

    def __init__(
        self,
        generator: GuardedGenerator,
        scorers: Mapping[str, GuardedScorer],
        generating: Pool | None,
        scoring: Mapping[str, Pool],
        threads: Threads,
        in_flight: int,
    ) -> None:
        self.generator, self.scorers = generator, scorers
        self._generating, self._scoring, self._threads = generating, scoring, threads
        self.generating = in_flight * generating.share.workers - 1 if generating else 0
        wide = [in_flight * pool.share.workers for pool in scoring.values()]
        self.scoring = max([threads.scoring, *wide])
        self._futures: set[Future[object]] = set()

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> Future[list[Completion]]:
        """Have a worker answer; a generator that stays here answers now."""
        if self._generating is None:
            return generated(self.generator, samples, attempt)
        future = self._sent(self._generating.submit("generate", list(samples), attempt))
        return cast("Future[list[Completion]]", future)

    def score(self, label: str, completions: Sequence[Completion]) -> Future[list[Score]]:
        """Have a worker score, or the thread of a scorer that stays here."""
        if label not in self._scoring:
            return self._threads.score(label, completions)
        future = self._sent(self._scoring[label].submit("score", list(completions)))
        return cast("Future[list[Score]]", future)

    def stop(self) -> None:
        """Keep what comes in a moment, and give up the rest."""
        self._threads.stop()
        pools = [self._generating] if self._generating else []
        for pool in (*pools, *self._scoring.values()):
            pool.stop()
        wait(self._futures.copy(), _GRACE_S)
        for future in self._futures.copy():
            future.cancel()

    def _sent(self, future: Future[object]) -> Future[object]:
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        return future


class _Away:
    """A component that workers have."""

    def __init__(self, pool: Pool, batch_size: int) -> None:
        self._pool, self.batch_size = pool, batch_size

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        made = self._pool.submit("generate", list(samples), attempt)
        return cast(list[Completion], made.result())

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        return cast(list[Score], self._pool.submit("score", list(completions)).result())


def _generator(of: Part, pool: Pool) -> GuardedGenerator:
    """The generator as its first worker has built it."""
    built = pool.built.result()
    component = _Away(pool, built.batch_size)
    return GuardedGenerator(of.label, component, built.description, of.reference)


def _scorer(of: Part, pool: Pool) -> GuardedScorer:
    built = pool.built.result()
    return GuardedScorer(of.label, _Away(pool, 1), built.description, of.reference)


def _spec(of: Part) -> Spec:
    folder, without = str(Path.cwd()), os.environ.get("HARNESS_NO_PLUGIN", "")
    return Spec(of.reference, of.kind, folder, without)
