"""Running a training: samples checked, scorers guarded, every step recorded."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterable
from pathlib import Path

from harness.calls.sessions import session
from harness.components import Sample, Trainer, TrainingResult, TrainingTask
from harness.data.split import Overlap, apart
from harness.data.writing import not_written
from harness.errors import DataError, PluginError
from harness.judging import JudgeScorer
from harness.loader import default_plugins
from harness.references import Reference
from harness.store import Store
from harness.training import card
from harness.training.journal import Journal, first_process
from harness.training.locking import locked
from harness.training.plan import (
    TrainingPlan,
    Weighted,
    checked_samples,
    named_trainer,
    weighted_scorers,
)
from harness.training.rewards import ScorerRewards
from harness.training.stopping import stopping


def train(
    samples: Iterable[Sample],
    *,
    trainer: str | Reference | Trainer,
    scorers: Weighted,
    output: str | Path,
    held_out: Iterable[Sample] = (),
    seed: int = 0,
    resume: bool = True,
    overlap: Overlap = "refuse",
    name: str = "",
    select: str = "",
    store: str | Path | Store | None = None,
) -> TrainingResult:
    """Train a model on samples, rewarded by the scorers that evaluation uses, and record it.

    Ctrl-C stops after the step that is under way, with what the trainer saves then; a second
    one stops at once. The same call goes on from there. `samescore.json` in the model's folder
    says what it was trained on and by.

    Args:
        samples: What to train on; ids must be unique.
        trainer: A reference such as `ppo:model=runs/sft`, or a trainer of your own.
        scorers: References such as `bertscore:model=minilm`, or scorers of your own: a mapping to
            weights, a list of pairs with weights, or a list, where each weighs 1. A weight of 0
            means watched only. May be empty, for a trainer that needs no rewards.
        output: The folder to write to; made where it is missing.
        held_out: What is never trained on, and may be evaluated under way.
        seed: Of everything random.
        resume: Go on from what lies in `output`. False starts over, and replaces it.
        overlap: What to do where a held-out prompt is among `samples` too, whatever its case and
            white space: `refuse` raises, `drop` leaves its rows out of training.
        name: What the training is called.
        select: Keep the checkpoint at which scorers peak on the held-out rows: `watched` for the
            mean of those with weight 0, each in its own deviations, or a scorer's label. Without
            it the last one is kept.
        store: A file or a database URL; None for SAMESCORE_STORE or `.samescore/store.db`.

    Returns:
        Where the model lies, and the last value of each metric.

    Raises:
        DataError: for no samples, an id that occurs twice, prompts on both sides, or a folder
            that cannot be written.
        HarnessError: for a component that cannot be built, a store that cannot be used, or a
            folder that holds the model of another training or is written to by one; for `select`
            without such scorers or held-out rows, or with a trainer that cannot.
        KeyboardInterrupt: when it was interrupted.
    """
    kept, test = training_rows(samples, held_out, overlap)
    named, weighted = named_trainer(trainer), weighted_scorers(scorers)
    plan = TrainingPlan(kept, test, named, weighted, Path(output), seed, name, select)
    if resume:
        card.refuse_another(plan)
    _make_folder(plan.output)
    if not first_process():
        return _run(plan, None, resume)
    return _recorded(plan, store, resume)


def _recorded(plan: TrainingPlan, store: str | Path | Store | None, resume: bool) -> TrainingResult:
    """Train while the folder is ours; a store that is opened here is closed again."""
    database = store if isinstance(store, Store) else Store(store)
    try:
        with locked(plan.output), session(database, "" if resume else str(time.time_ns())):
            return _record(plan, Journal(plan, database), resume)
    finally:
        if not database.in_memory and database is not store:
            database.close()


def training_rows(
    samples: Iterable[Sample], held_out: Iterable[Sample], overlap: Overlap
) -> tuple[list[Sample], list[Sample]]:
    """The samples to train on, and those to hold out, checked and kept apart.

    Raises:
        DataError: as `train` does.
    """
    every, test = checked_samples(samples, "to train on"), list(held_out)
    test = checked_samples(test, "to hold out") if test else []
    kept = apart(every, test, overlap)
    if len(kept) < len(every) and first_process():
        logging.getLogger("harness").warning(
            f"harness: {len(every) - len(kept)} of {len(every)} rows are left out of training: "
            "their prompts are held out"
        )
    return kept, test


def _record(plan: TrainingPlan, journal: Journal, resume: bool) -> TrainingResult:
    with journal.recording(fresh=not resume):
        result = _run(plan, journal, resume)
        card.write(plan, result)
    journal.finished(result)
    return result


def _run(plan: TrainingPlan, journal: Journal | None, resume: bool) -> TrainingResult:
    """Let the trainer work; without a journal nothing is recorded or told."""
    told = journal.scored if journal else None
    rewards = ScorerRewards(plan.scorers, plan.weights, told)
    with contextlib.closing(rewards), stopping(told=journal is not None) as interrupted:
        task = TrainingTask(
            samples=plan.samples,
            rewards=rewards,
            output=plan.output,
            seed=plan.seed,
            resume=resume,
            held_out=plan.held_out,
            report=journal.step if journal else lambda step: None,
            interrupted=interrupted,
            select=plan.select,
        )
        try:
            return _checked(plan, plan.trainer.component.train(task))
        except Exception as error:
            if why := not_written(error):
                raise DataError(
                    f"the training cannot write to {plan.output}: {why}; make room on its disk, "
                    "and the same command goes on"
                ) from error
            raise
        finally:
            default_plugins().forget(keep=_scorers_of(plan))


def _scorers_of(plan: TrainingPlan) -> list[object]:
    """The objects that score, which a training does not change."""
    components = [scorer.component for scorer in plan.scorers.values()]
    return [c.judge if isinstance(c, JudgeScorer) else c for c in components]


def _checked(plan: TrainingPlan, result: TrainingResult) -> TrainingResult:
    if not isinstance(result, TrainingResult):
        raise PluginError(f"the trainer {plan.trainer.label} gave {result!r}, no TrainingResult")
    model = Path(result.model)
    if not model.is_dir():
        raise PluginError(f"the trainer {plan.trainer.label} left no folder at {model}")
    metrics = {name: float(value) for name, value in result.metrics.items()}
    if plan.select and result.selected is None:
        raise PluginError(f"the trainer {plan.trainer.label} does not say which step it selected")
    return TrainingResult(model, metrics, result.use, result.selected)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make the folder {folder}: {error.strerror}") from error
