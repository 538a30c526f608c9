"""What a training leaves in the store, and what its observers are told."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator

from harness.clock import now
from harness.components import Completion, Run, Score, TrainingResult, TrainingStep
from harness.errors import PluginError
from harness.fingerprint import differences
from harness.loader import default_plugins
from harness.provenance import provenance
from harness.store import Store
from harness.store.schema import to_json
from harness.store.trainings import TrainingRecord
from harness.training.plan import TrainingPlan, bare


def first_process() -> bool:
    """Whether this process is the one that records: of several that train together, rank 0."""
    world, rank = os.environ.get("WORLD_SIZE", ""), os.environ.get("RANK", "")
    return world in ("", "1") or rank in ("", "0")


class Journal:
    """Records one training."""

    def __init__(self, plan: TrainingPlan, store: Store) -> None:
        self._plan, self._store = plan, store
        self._plugins = default_plugins()
        self._run = Run(
            id=plan.id,
            name=plan.name,
            generator=plan.trainer.label,
            scorers={label: s.fingerprint for label, s in plan.scorers.items()},
            total=len(plan.samples),
            store=store.shown,
            changes=self._changes(),
            kind="training",
        )
        self._observed = self._plugins.observed("harness_completion_scored")

    @contextlib.contextmanager
    def recording(self, *, fresh: bool) -> Iterator[None]:
        """Record that the training starts, and how it ends."""
        self._store.trainings.begin(self._record(), fresh=fresh)
        status = "failed"
        try:
            self._plugins.tell("harness_run_started", run=self._run)
            yield
            status = "finished"
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        finally:
            self._store.trainings.finish(self._plan.id, status)

    def step(self, step: TrainingStep) -> None:
        """Record a step, and tell it."""
        step = _plain(step, self._plan.trainer.label)
        self._store.trainings.add_step(self._plan.id, step)
        self._plugins.tell("harness_training_step", run=self._run, step=step)

    def scored(self, scorer: str, completion: Completion, score: Score) -> None:
        """Tell one score."""
        if self._observed:
            self._plugins.tell(
                "harness_completion_scored",
                run=self._run,
                scorer=scorer,
                completion=completion,
                score=score,
            )

    def finished(self, result: TrainingResult) -> None:
        """Tell the result."""
        self._plugins.tell("harness_training_finished", run=self._run, result=result)

    def _record(self) -> TrainingRecord:
        plan = self._plan
        origin = provenance(p.distribution for p in self._plugins.loaded if p.distribution)
        output = str(plan.output.absolute())
        return TrainingRecord(plan.id, plan.name, "running", output, plan.config, origin, now())

    def _changes(self) -> tuple[str, ...]:
        plan = self._plan
        before = self._store.trainings.latest(plan.name) if plan.name else None
        planned = json.loads(to_json(plan.config))
        return tuple(differences(bare(before.config), bare(planned))) if before else ()


def _plain(step: TrainingStep, trainer: str) -> TrainingStep:
    """The step with plain numbers, as a tensor would keep its graph alive."""
    try:
        metrics = {str(name): float(value) for name, value in step.metrics.items()}
        return TrainingStep(
            int(step.step), int(step.total), metrics, float(step.seconds), tuple(step.examples)
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise PluginError(f"the trainer {trainer} reported {str(step)[:200]}: {error}") from error
