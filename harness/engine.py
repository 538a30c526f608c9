"""Running an evaluation: generate in batches, score in batches, record each batch at once.

While a batch is scored, the next one is generated. Where that happens, and how many batches may be
under way, is an executor's affair; this module alone reads the store and writes it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

from harness.calls.sessions import Session, session
from harness.clock import now
from harness.components import Completion, Generator, Judge, Rewarder, Run, Sample, Score
from harness.errors import HarnessError, UnscoredError
from harness.evaluation import Evaluation
from harness.executors import Executor, Workers
from harness.executors import executor as build_executor
from harness.executors.local import Local
from harness.fingerprint import differences
from harness.guards import GuardedGenerator, GuardedScorer
from harness.loader import default_plugins
from harness.plan import Plan, Work, select
from harness.provenance import provenance
from harness.store import Store
from harness.store.schema import Placed, RunRecord, to_json

T = TypeVar("T")

_GRACE_S = 5.0  # that scorers have, after an interruption, to end what they are busy with


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
    executor: str | Executor | None = None,
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
        executor: Where the work is done: a reference such as `ray:address=HOST:PORT`, or an
            executor of your own; None for this process. It decides no result.

    Raises:
        UnscoredError: if a scorer leaves more than that share unscored, or scores nothing.
        DataError: if no samples are left, or two have one id.
        HarnessError: for a component that cannot be built, or a store that cannot be used.
    """
    _check_options(scorers, repeats, max_unscored)
    chosen = select(samples, rows=rows, limit=limit)
    doing = Local() if executor is None else build_executor(executor)
    salt = "" if resume else str(time.time_ns())
    with _in_this_folder(), doing.open(generator, scorers) as workers:
        parts = workers.generator, dict(workers.scorers)
        plan = Plan(chosen, *parts, repeats, cluster, name, salt)
        database = store if isinstance(store, Store) else Store(store)
        try:
            return Pipeline(plan, database, max_unscored, workers).run()
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


class _Generating(NamedTuple):
    """A batch with the generator: what the store had of it, and what is being made."""

    batch: list[Work]
    done: dict[str, Completion]
    missing: list[Work]
    made: Future[list[Completion]]


class _Batch(NamedTuple):
    """Completions by key, and what each scorer owes: the keys it was given, and its answer.

    A key has a completion for each row of the run that it stands for: samples of equal content
    share one answer and one score.
    """

    completions: Mapping[str, list[Completion]]
    owed: dict[str, tuple[list[str], Future[list[Score]]]]


class Pipeline:
    """One run under way."""

    def __init__(self, plan: Plan, store: Store, max_unscored: float, workers: Workers) -> None:
        self._plan, self._store, self._max_unscored = plan, store, max_unscored
        self._workers = workers
        self._plugins = default_plugins()
        origin = provenance(p.distribution for p in self._plugins.loaded if p.distribution)
        self._record = RunRecord(
            plan.id, plan.name, "running", plan.total, plan.config, origin, now()
        )
        labels = self._record.scorers
        label = plan.generator.label
        changes = tuple(_changes(store.latest(plan.name), plan)) if plan.name else ()
        self._run = Run(plan.id, plan.name, label, labels, plan.total, store.shown, changes)
        self._observed = self._plugins.observed("harness_completion_scored")
        self._generating: list[_Generating] = []
        self._waiting: list[_Batch] = []
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
        record = replace(self._record, status="finished", finished=now())
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
        workers = self._workers
        try:
            for batch in self._plan.batches():
                if self._under_way({w.key for w in batch}):  # samples of equal content
                    self._settle(0, 0)
                self._start_generating(batch)
                self._settle(workers.generating, workers.scoring)
            self._settle(0, 0)
        except BaseException:
            calls.stop()
            workers.stop()
            self._keep_what_is_paid_for()
            raise

    def _under_way(self, keys: set[str]) -> bool:
        generating = (w.key in keys for g in self._generating for w in g.batch)
        return any(generating) or any(not keys.isdisjoint(b.completions) for b in self._waiting)

    def _start_generating(self, batch: list[Work]) -> None:
        """Have the completions made that the store does not have."""
        work = {w.key: w for w in batch}
        done = self._store.completions({key: w.sample for key, w in work.items()})
        missing = [w for key, w in work.items() if key not in done]
        made: Future[list[Completion]] = Future()
        if missing:
            samples = [w.sample for w in missing]
            made = self._workers.generate(samples, attempt=batch[0].attempt)
        else:
            made.set_result([])
        self._generating.append(_Generating(batch, done, missing, made))

    def _completed(self, generating: _Generating) -> dict[str, list[Completion]]:
        """The completions of a batch by key: found in the store, or made and recorded now."""
        batch, done, missing, made = generating
        done.update(zip((w.key for w in missing), made.result(), strict=True))
        placed = [
            Placed(w.key, w.ordinal, w.sample.id, w.digest, w.cluster, done[w.key]) for w in batch
        ]
        new = {w.key: w.sample for w in missing}
        fingerprint = self._plan.generator.fingerprint
        if not self._store.add_completions(self._plan.id, fingerprint, placed, set(new)):
            # Another process was first; what it recorded is what scores belong to.
            done.update(self._store.completions(new))
        rows: dict[str, list[Completion]] = {w.key: [] for w in batch}
        for w in batch:
            found = done[w.key]
            same = found.sample is w.sample
            rows[w.key].append(found if same else replace(found, sample=w.sample))
        return rows

    def _start_scoring(self, completions: dict[str, list[Completion]]) -> None:
        """Hand each scorer what it has no recorded score for."""
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
                batch.owed[label] = missing, self._workers.score(label, items)

    def _settle(self, generating: int, scoring: int) -> None:
        """Record what comes, until so many batches are being made, and so many wait for scores."""
        while True:
            self._record_what_came()
            if len(self._generating) <= generating and len(self._waiting) <= scoring:
                return
            self._await_any()

    def _await_any(self) -> None:
        futures = [cast("Future[object]", generating.made) for generating in self._generating]
        for batch in self._waiting:
            futures += [cast("Future[object]", future) for _, future in batch.owed.values()]
        wait(futures, return_when=FIRST_COMPLETED)

    def _record_what_came(self) -> None:
        for generating in [g for g in self._generating if g.made.done()]:
            self._start_scoring(self._completed(generating))
            self._generating.remove(generating)
        for batch in list(self._waiting):
            for label in [label for label, (_, future) in batch.owed.items() if future.done()]:
                self._record_scores(label, batch)
            if not batch.owed:
                self._waiting.remove(batch)
                self._check_share()

    def _record_scores(self, label: str, batch: _Batch) -> None:
        """Record a scorer's answer; until then it stays owed."""
        keys, future = batch.owed[label]
        scored = dict(zip(keys, future.result(), strict=True))
        self._store.add_scores(self._plan.scorers[label].fingerprint, scored)
        del batch.owed[label]
        self._tell(label, batch.completions, scored)

    def _keep_what_is_paid_for(self) -> None:
        """After an interruption: record what generator and scorers were busy with."""
        until = time.monotonic() + _GRACE_S
        for generating in self._generating:
            if _came(generating.made, until):
                self._completed(generating)
        busy: Counter[str] = Counter()
        for batch in self._waiting:
            for label in list(batch.owed):
                if _came(batch.owed[label][1], until):
                    self._record_scores(label, batch)
                elif batch.owed[label][1].running():
                    busy[label] += len(batch.owed[label][0])
        for label, count in busy.items():
            logging.getLogger("harness").warning(
                f"harness: {label} is still busy with {count} completions; nobody waits for it"
            )

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


def _came(future: Future[T], until: float) -> bool:
    """Wait for what was not cancelled; whether it ended well and in time."""
    done, _ = wait([future], timeout=max(0.0, until - time.monotonic()))
    return bool(done) and not future.cancelled() and future.exception() is None


@contextlib.contextmanager
def _in_this_folder() -> Iterator[None]:
    """A component may change the current folder; files of the user's belong into this one."""
    folder = Path.cwd()
    try:
        yield
    finally:
        os.chdir(folder)


def _changes(before: RunRecord | None, plan: Plan) -> list[str]:
    """Which settings differ; as the store has them, where a tuple is a list."""
    return differences(before.config, json.loads(to_json(plan.config))) if before else []


def _again(score: Score) -> bool:
    return score.unscored is not None and score.unscored.transient
