"""Running an evaluation: generate in batches, score in batches, record each batch at once.

While a batch is scored, the next one is generated. Each scorer has a thread of its own, so it
is never called twice at a time, and one that waits on a network does not hold up the others. Judges
alone are given several batches at once: a slow judgement does not hold up the next batch.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from harness.api import generator as build_generator
from harness.api import scorer as build_scorer
from harness.calls.sessions import Session, session
from harness.components import Completion, Generator, Judge, Rewarder, Run, Sample, Score
from harness.errors import HarnessError, UnscoredError
from harness.evaluation import Evaluation
from harness.fingerprint import differences
from harness.guards import GuardedGenerator, GuardedScorer
from harness.judging import JudgeScorer
from harness.loader import default_plugins
from harness.plan import Plan, Work, labelled, select
from harness.provenance import provenance
from harness.store import Store
from harness.store.schema import Placed, RunRecord, to_json

# Batches that may wait for their scores while the next one is generated: judges wait on a network,
# and one slow judgement in each batch must not leave them idle.
_IN_FLIGHT, _IN_FLIGHT_OF_JUDGES = 2, 8


def evaluate(
    samples: Iterable[Sample],
    *,
    generator: str | Generator | GuardedGenerator,
    scorers: Sequence[str | Rewarder | Judge | GuardedScorer],
    repeats: int = 1,
    limit: int | None = None,
    rows: str | Sequence[str] | None = None,
    store: str | Path | Store | None = None,
    resume: bool = True,
    max_unscored: float = 0.1,
    cluster: str | None = None,
    name: str = "",
) -> Evaluation:
    """Answer samples with a generator, score the answers, and record everything.

    Args:
        samples: The questions; ids must be unique.
        generator: A reference such as `gpt2:model=smollm2`, or a generator of your own.
        scorers: References such as `bertscore:model=minilm`, or scorers of your own.
        repeats: Independent attempts at each sample.
        limit: Take only so many samples, after `rows`.
        rows: Take only samples whose ids match this pattern, or one of these (`*`, `?`, `[…]`).
        store: A file or a database URL; None for SAMESCORE_STORE or `.samescore/store.db`;
            `sqlite://` keeps nothing.
        resume: Use what the store has. A run that is the same in every respect continues;
            False makes a new run that asks for everything again.
        max_unscored: The share of completions that may stay unscored, for each scorer.
        cluster: The metadata key of the group that a sample belongs to, for cluster-robust
            intervals; repeats of a sample are a cluster without it.
        name: What the run is called; a pytest benchmark gives its id.

    Raises:
        UnscoredError: if a scorer leaves more than that share unscored, or scores nothing.
        DataError: if no samples are left, or two have one id.
        HarnessError: for a component that cannot be built, or a store that cannot be used.
    """
    _check_options(scorers, repeats, max_unscored)
    chosen = select(samples, rows=rows, limit=limit)
    answering = build_generator(generator)
    scoring = labelled(build_scorer(s) for s in scorers)
    database = store if isinstance(store, Store) else Store(store)
    salt = "" if resume else str(time.time_ns())
    plan = Plan(chosen, answering, scoring, repeats, cluster, name, salt)
    try:
        return Pipeline(plan, database, max_unscored).run()
    finally:
        if not database.in_memory and database is not store:
            database.close()


def _check_options(scorers: object, repeats: int, max_unscored: float) -> None:
    if isinstance(scorers, str) or not scorers:
        raise HarnessError(f"scorers is {scorers!r}; give a list with at least one scorer")
    if repeats < 1:
        raise HarnessError(f"repeats is {repeats}; it must be at least 1")
    if not 0 <= max_unscored <= 1:
        raise HarnessError(f"max_unscored is {max_unscored}; it is a share between 0 and 1")


class _Batch(NamedTuple):
    """Completions by key, and what each scorer owes: the keys it was given, and its answer.

    A key has a completion for each row of the run that it stands for: samples of equal content
    share one answer and one score.
    """

    completions: Mapping[str, list[Completion]]
    owed: dict[str, tuple[list[str], Future[list[Score]]]]


class Pipeline:
    """One run under way."""

    def __init__(self, plan: Plan, store: Store, max_unscored: float) -> None:
        self._plan, self._store, self._max_unscored = plan, store, max_unscored
        self._plugins = default_plugins()
        origin = provenance(p.distribution for p in self._plugins.loaded if p.distribution)
        self._record = RunRecord(
            plan.id, plan.name, "running", plan.total, plan.config, origin, time.time()
        )
        labels = self._record.scorers
        label = plan.generator.label
        changes = tuple(_changes(store.latest(plan.name), plan)) if plan.name else ()
        self._run = Run(plan.id, plan.name, label, labels, plan.total, store.shown, changes)
        self._observed = self._plugins.observed("harness_completion_scored")
        self._waiting: deque[_Batch] = deque()
        self._scored: Counter[str] = Counter()
        self._causes: dict[str, Counter[str]] = {label: Counter() for label in labels}
        self._reasons: dict[str, str] = {}

    def run(self) -> Evaluation:
        """Do the work that the store does not have yet."""
        parts: list[GuardedGenerator | GuardedScorer] = [self._plan.generator]
        parts += self._plan.scorers.values()
        self._store.begin(self._record, {p.fingerprint: p.description for p in parts})
        self._plugins.tell("harness_run_started", run=self._run)
        with self._recording_the_end(), session(self._store, self._plan.salt) as calls:
            self._work(calls)
            self._check_scored()
        record = replace(self._record, status="finished", finished=time.time())
        evaluation = Evaluation(record, self._store)
        self._plugins.tell("harness_run_finished", run=self._run, evaluation=evaluation)
        return evaluation

    @contextlib.contextmanager
    def _recording_the_end(self) -> Iterator[None]:
        status = "interrupted"
        try:
            yield
            status = "finished"
        except UnscoredError:
            status = "failed"
            raise
        finally:
            self._store.finish(self._plan.id, status)

    def _work(self, calls: Session) -> None:
        with contextlib.ExitStack() as stack:
            # Two labels may stand for one object, which has one thread all the same.
            pools = {
                id(scorer.component): stack.enter_context(_threads_for(scorer))
                for scorer in {id(s.component): s for s in self._plan.scorers.values()}.values()
            }
            threads = {label: pools[id(s.component)] for label, s in self._plan.scorers.items()}
            try:
                for batch in self._plan.batches():
                    self._start_scoring(self._complete(batch), threads)
                    self._settle(_IN_FLIGHT_OF_JUDGES if self._judges() else _IN_FLIGHT)
                self._settle(0)
            except BaseException:
                calls.stop()
                self._keep_what_is_paid_for(threads)
                raise

    def _judges(self) -> bool:
        return any(isinstance(s.component, JudgeScorer) for s in self._plan.scorers.values())

    def _complete(self, batch: list[Work]) -> dict[str, list[Completion]]:
        """The completions of a batch by key: found in the store, or generated and recorded."""
        generator = self._plan.generator
        work = {w.key: w for w in batch}
        done = self._store.completions({key: w.sample for key, w in work.items()})
        missing = [w for key, w in work.items() if key not in done]
        made = generator.generate([w.sample for w in missing], attempt=batch[0].attempt)
        done.update(zip((w.key for w in missing), made, strict=True))
        placed = [
            Placed(w.key, w.ordinal, w.sample.id, w.digest, w.cluster, done[w.key]) for w in batch
        ]
        new = {w.key for w in missing}
        if not self._store.add_completions(self._plan.id, generator.fingerprint, placed, new):
            # Another process was first; what it recorded is what scores belong to.
            done.update(self._store.completions({key: work[key].sample for key in new}))
        rows: dict[str, list[Completion]] = {key: [] for key in work}
        for w in batch:
            found = done[w.key]
            same = found.sample is w.sample
            rows[w.key].append(found if same else replace(found, sample=w.sample))
        return rows

    def _start_scoring(
        self, completions: dict[str, list[Completion]], threads: Mapping[str, ThreadPoolExecutor]
    ) -> None:
        """Hand each scorer what it has no recorded score for."""
        if any(key in batch.completions for batch in self._waiting for key in completions):
            self._settle(0)
        scorers = self._plan.scorers
        found = self._store.scores(list(completions), [s.fingerprint for s in scorers.values()])
        batch = _Batch(completions, {})
        self._waiting.append(batch)
        for label, scorer in scorers.items():
            known = {
                key: score
                for key in completions
                if (score := found.get((key, scorer.fingerprint))) and not _again(score)
            }
            self._tell(label, completions, known)
            missing = [key for key in completions if key not in known]
            if missing:
                items = [completions[key][0] for key in missing]
                context = contextvars.copy_context()
                future = threads[label].submit(context.run, scorer.score, items)
                batch.owed[label] = missing, future

    def _settle(self, leave: int) -> None:
        """Record the scores of the oldest batches, until `leave` of them wait."""
        while len(self._waiting) > leave:
            batch = self._waiting[0]
            for label in list(batch.owed):
                self._record_scores(label, batch)
            self._waiting.popleft()
            self._check_share()

    def _record_scores(self, label: str, batch: _Batch) -> None:
        """Wait for a scorer's answer, and record it; until then it stays owed."""
        keys, future = batch.owed[label]
        scored = dict(zip(keys, future.result(), strict=True))
        self._store.add_scores(self._plan.scorers[label].fingerprint, scored)
        del batch.owed[label]
        self._tell(label, batch.completions, scored)

    def _keep_what_is_paid_for(self, threads: Mapping[str, ThreadPoolExecutor]) -> None:
        """After an interruption: start nothing more, and record what scorers are busy with."""
        for thread in threads.values():
            thread.shutdown(wait=False, cancel_futures=True)
        for batch in self._waiting:
            for label, (_, future) in list(batch.owed.items()):
                if not future.cancelled() and future.exception() is None:
                    self._record_scores(label, batch)

    def _tell(
        self, label: str, completions: Mapping[str, list[Completion]], scored: Mapping[str, Score]
    ) -> None:
        """Count scores, a row each, and tell those who observe."""
        for key, score in scored.items():
            if score.unscored:
                self._causes[label][str(score.unscored)] += len(completions[key])
                self._reasons.setdefault(label, score.reason)
            else:
                self._scored[label] += len(completions[key])
            for completion in completions[key] if self._observed else ():
                self._plugins.tell(
                    "harness_completion_scored",
                    run=self._run,
                    scorer=label,
                    completion=completion,
                    score=score,
                )

    def _check_share(self) -> None:
        """Stop as soon as the share of unscored completions cannot come down again."""
        for label, causes in self._causes.items():
            if causes.total() > self._max_unscored * self._plan.total + 1e-9:
                self._refuse(label, f"max_unscored allows a share of {self._max_unscored:g}")

    def _check_scored(self) -> None:
        for label in self._plan.scorers:
            if not self._scored[label]:
                self._refuse(label, "nothing was scored")

    def _refuse(self, label: str, why: str) -> None:
        causes = ", ".join(f"{n} {cause}" for cause, n in self._causes[label].most_common())
        first = " ".join(self._reasons.get(label, "").split())
        raise UnscoredError(
            f"{label} left {self._causes[label].total()} of {self._plan.total} unscored "
            f"({causes}{first and f'; the first: {first}'}); {why}. "
            f"See: harness show {self._plan.id} --store {self._store.shown}"
        )


def _threads_for(scorer: GuardedScorer) -> ThreadPoolExecutor:
    judges = isinstance(scorer.component, JudgeScorer)
    return ThreadPoolExecutor(_IN_FLIGHT_OF_JUDGES + 1 if judges else 1, "harness-scorer")


def _changes(before: RunRecord | None, plan: Plan) -> list[str]:
    """Which settings differ; as the store has them, where a tuple is a list."""
    return differences(before.config, json.loads(to_json(plan.config))) if before else []


def _again(score: Score) -> bool:
    return score.unscored is not None and score.unscored.transient
