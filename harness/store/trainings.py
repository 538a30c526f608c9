"""The part of the store that holds trainings: what was trained, and the metrics of every step."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import sqlalchemy as sa

from harness.clock import now
from harness.components import Completion, Finish, Sample, Score, TrainingStep, Unscored
from harness.data.plain import plain, storable
from harness.processes import this_process
from harness.store.database import Database
from harness.store.schema import as_written, mapping_of, metadata, status_of, to_json

_EXAMPLES = 8  # the most that are kept of a step

trainings = sa.Table(
    "trainings",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("output", sa.Text, nullable=False),
    sa.Column("config", sa.Text, nullable=False),
    sa.Column("provenance", sa.Text, nullable=False),
    sa.Column("started", sa.Float, nullable=False),
    sa.Column("opened", sa.Float, nullable=False),
    sa.Column("finished", sa.Float),
    sa.Column("process", sa.Text),
)
training_steps = sa.Table(
    "training_steps",
    metadata,
    sa.Column("training", sa.Text, sa.ForeignKey("trainings.id"), primary_key=True),
    sa.Column("step", sa.Integer, primary_key=True),
    sa.Column("total", sa.Integer, nullable=False),
    sa.Column("metrics", sa.Text, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("examples", sa.Text),
    sa.Column("created", sa.Float, nullable=False),
    sqlite_with_rowid=False,
)


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """A training as the store knows it; times are seconds since 1970 (UTC).

    `output` is the folder that it writes to; `steps` of `total` are recorded (0 of 0 before the
    first). `opened` is when it started or last went on.
    """

    id: str
    name: str
    status: str
    output: str
    config: Mapping[str, object]
    provenance: Mapping[str, object]
    started: float
    finished: float | None = None
    opened: float = 0.0
    steps: int = 0
    total: int = 0

    @property
    def trainer(self) -> str:
        """The label of the trainer."""
        return str(cast(Mapping[str, object], self.config["trainer"])["label"])

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each scorer, by label."""
        scorers = cast(Mapping[str, Mapping[str, float]], self.config["scorers"])
        return {label: scorer["weight"] for label, scorer in scorers.items()}


class Trainings:
    """The trainings of a store.

    Raises:
        StoreError: from every method, when the database cannot be read or written.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, record: TrainingRecord, *, fresh: bool = False) -> None:
        """Record that a training starts, or goes on; a `fresh` one loses the steps it had."""
        row = _training_row(record)
        changing = ("name", "status", "opened", "finished", "process")
        changed = {name: row[name] for name in changing}
        if fresh:
            changed |= {name: row[name] for name in ("started", "provenance")}
        insert = self._database.insert(trainings)
        with self._database.writing() as connection:
            upsert = insert.on_conflict_do_update(index_elements=["id"], set_=changed)
            connection.execute(upsert, row)
            if fresh:
                mine = training_steps.c.training == record.id
                connection.execute(sa.delete(training_steps).where(mine))

    def add_step(self, training: str, step: TrainingStep) -> None:
        """Record a step, in place of itself and all later ones: those were of before a resume."""
        later = sa.and_(training_steps.c.training == training, training_steps.c.step >= step.step)
        row = {
            "training": training,
            "step": step.step,
            "total": step.total,
            "metrics": to_json(plain(dict(step.metrics))),
            "seconds": step.seconds,
            "examples": _examples_text(step),
            "created": now(),
        }
        with self._database.writing() as connection:
            connection.execute(sa.delete(training_steps).where(later))
            connection.execute(sa.insert(training_steps), row)

    def finish(self, training: str, status: str) -> None:
        """Record how a training ended: `finished`, `failed` or `interrupted`."""
        change = sa.update(trainings).where(trainings.c.id == training)
        with self._database.writing() as connection:
            connection.execute(change.values(status=status, finished=now()))

    def all(self) -> list[TrainingRecord]:
        """Every training, the latest last."""
        query = sa.select(trainings, _of_last_step("step"), _of_last_step("total"))
        query = query.order_by(trainings.c.opened, trainings.c.id)
        with self._database.reading() as connection:
            return [_training_record(row) for row in connection.execute(query)]

    def latest(self, name: str) -> TrainingRecord | None:
        """The latest training of this name."""
        return next((t for t in reversed(self.all()) if t.name == name), None)

    def steps(self, training: str) -> list[TrainingStep]:
        """Every step of a training, in order; a metric that was not finite is NaN."""
        query = sa.select(training_steps).where(training_steps.c.training == training)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(training_steps.c.step))
            return [step_of(row) for row in rows]


def _of_last_step(column: str) -> sa.Label[int]:
    """A column of a training's last step; each is one look-up, however many steps there are."""
    last = (
        sa.select(training_steps.c[column])
        .where(training_steps.c.training == trainings.c.id)
        .order_by(training_steps.c.step.desc())
        .limit(1)
    )
    return sa.func.coalesce(last.scalar_subquery(), 0).label(f"last_{column}")


def _training_row(record: TrainingRecord) -> dict[str, object]:
    return {
        "id": record.id,
        "name": record.name,
        "status": record.status,
        "output": record.output,
        "config": to_json(record.config),
        "provenance": to_json(record.provenance),
        "started": record.started,
        "opened": record.started,
        "finished": None,
        "process": this_process(),
    }


@as_written
def _training_record(row: sa.Row[tuple[object, ...]]) -> TrainingRecord:
    record = TrainingRecord(
        id=row.id,
        name=row.name,
        status=status_of(row),
        output=row.output,
        config=mapping_of(json.loads(row.config)),
        provenance=mapping_of(json.loads(row.provenance)),
        started=float(row.started),
        finished=row.finished,
        opened=float(row.opened),
        steps=row.last_step,
        total=row.last_total,
    )
    _ = record.trainer, record.weights  # they are read of the configuration
    return record


def _examples_text(step: TrainingStep) -> str | None:
    """Some examples as JSON: what was asked and answered, and the verdicts without their credit."""
    examples = [
        {
            "id": completion.sample.id,
            "prompt": completion.sample.prompt,
            "references": list(completion.sample.references),
            "text": completion.text,
            "finish": completion.finish,
            "scores": {label: _verdict(score) for label, score in scores.items()},
        }
        for completion, scores in step.examples[:_EXAMPLES]
    ]
    return storable(to_json(examples)) if examples else None


def _verdict(score: Score) -> dict[str, object]:
    told = {
        "value": score.value,
        "parts": dict(score.parts),
        "reason": score.reason,
        "unscored": score.unscored,
    }
    return {name: value for name, value in told.items() if value not in (None, "", {})}


@as_written
def step_of(row: sa.Row[tuple[object, ...]]) -> TrainingStep:
    """A row as a step with its examples; a metric that was not finite is NaN."""
    metrics = {
        name: math.nan if value is None else float(value)
        for name, value in json.loads(row.metrics).items()
    }
    examples = tuple(_example(found) for found in json.loads(row.examples or "[]"))
    return TrainingStep(row.step, row.total, metrics, row.seconds, examples)


def _example(found: Mapping[str, object]) -> tuple[Completion, Mapping[str, Score]]:
    references = tuple(cast(list[str], found["references"]))
    sample = Sample(str(found["id"]), str(found["prompt"]), references)
    completion = Completion(sample, str(found["text"]), cast(Finish, found["finish"]))
    verdicts = cast(Mapping[str, Mapping[str, object]], found["scores"])
    return completion, {label: _score(verdict) for label, verdict in verdicts.items()}


def _score(verdict: Mapping[str, object]) -> Score:
    cause = verdict.get("unscored")
    return Score(
        value=cast("float | None", verdict.get("value")),
        parts=cast(Mapping[str, float], verdict.get("parts", {})),
        reason=str(verdict.get("reason", "")),
        unscored=None if cause is None else Unscored(str(cause)),
    )
