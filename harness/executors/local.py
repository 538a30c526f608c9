"""The work of a run in this process: generation where it is asked for, a thread a scorer.

So a scorer is never called twice at a time, and one that waits on a network does not hold up the
others. Judges alone are given several batches at once: they wait on a network, and one slow
judgement in each batch must not leave them idle.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from harness.api import generator as build_generator
from harness.api import scorer as build_scorer
from harness.components import Completion, Sample, Score
from harness.executors.threads import Pool
from harness.guards import GuardedGenerator, GuardedScorer
from harness.judging import JudgeScorer
from harness.plan import labelled

if TYPE_CHECKING:
    from harness.executors import GivenGenerator, GivenScorer

_IN_FLIGHT, _IN_FLIGHT_OF_JUDGES = 2, 8


class Local:
    """The default executor."""

    @contextlib.contextmanager
    def open(
        self, generator: GivenGenerator, scorers: Sequence[GivenScorer]
    ) -> Iterator[LocalWorkers]:
        """The components, built here."""
        answering = build_generator(generator)
        with scorers_at_work([build_scorer(s) for s in scorers]) as threads:
            yield LocalWorkers(answering, threads)


class Threads:
    """Scorers by label, each with its thread."""

    def __init__(self, pools: Mapping[str, tuple[GuardedScorer, Pool]]) -> None:
        self._pools = pools
        self.scorers = {label: scorer for label, (scorer, _) in pools.items()}
        judges = any(_judges(scorer) for scorer in self.scorers.values())
        self.scoring = _IN_FLIGHT_OF_JUDGES if judges else _IN_FLIGHT

    def score(self, label: str, completions: Sequence[Completion]) -> Future[list[Score]]:
        """Have a scorer score; what it calls belongs to the caller's run."""
        scorer, thread = self._pools[label]
        return thread.submit(contextvars.copy_context().run, scorer.score, completions)

    def stop(self) -> None:
        """Start nothing more; what a scorer is busy with ends with its work."""
        for _, thread in self._pools.values():
            thread.stop()


class LocalWorkers:
    """Threads, and a generator in the calling one, so that an interrupt reaches it."""

    generating = 0

    def __init__(self, generator: GuardedGenerator, threads: Threads) -> None:
        self.generator, self._threads = generator, threads
        self.scorers, self.scoring = threads.scorers, threads.scoring
        self.score, self.stop = threads.score, threads.stop

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> Future[list[Completion]]:
        """Completions that are there when this returns."""
        return generated(self.generator, samples, attempt)


def generated(
    generator: GuardedGenerator, samples: Sequence[Sample], attempt: int
) -> Future[list[Completion]]:
    """What a generator answers here and now."""
    done: Future[list[Completion]] = Future()
    done.set_result(generator.generate(samples, attempt=attempt))
    return done


@contextlib.contextmanager
def scorers_at_work(scorers: Sequence[GuardedScorer]) -> Iterator[Threads]:
    """A thread for each scorer; two labels may stand for one object, which has one all the same.

    Raises:
        HarnessError: if two have one label.
    """
    by_label = labelled(scorers)
    with contextlib.ExitStack() as stack:
        pools = {
            id(s.component): stack.enter_context(_threads_for(s))
            for s in {id(s.component): s for s in by_label.values()}.values()
        }
        yield Threads({label: (s, pools[id(s.component)]) for label, s in by_label.items()})


def _threads_for(scorer: GuardedScorer) -> Pool:
    count = _IN_FLIGHT_OF_JUDGES + 1 if _judges(scorer) else 1
    return Pool(count, "harness-scorer")


def _judges(scorer: GuardedScorer) -> bool:
    return isinstance(scorer.component, JudgeScorer)
