"""The tables of the store, and how values become rows and come back.

A completion's key stands for (generator, sample content, attempt); a score's for (completion,
scorer). Runs only refer to them, so two runs share what they have in common.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, astuple, dataclass
from typing import NamedTuple, ParamSpec, TypeVar, cast

import sqlalchemy as sa

from harness.clock import now
from harness.components import Call, Completion, Credit, Finish, Sample, Score, Unscored, Usage
from harness.data.plain import storable
from harness.errors import StoreError
from harness.processes import is_gone, this_process

SCHEMA_VERSION = "3"
FIRST_RELEASED = "3"  # from here on every schema can be brought to the current one

P = ParamSpec("P")
T = TypeVar("T")
_DAMAGE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)

metadata = sa.MetaData()
meta = sa.Table(
    "meta",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("total", sa.Integer, nullable=False),
    sa.Column("config", sa.Text, nullable=False),
    sa.Column("provenance", sa.Text, nullable=False),
    sa.Column("started", sa.Float, nullable=False),
    sa.Column("opened", sa.Float, nullable=False),
    sa.Column("finished", sa.Float),
    sa.Column("process", sa.Text),
)
components = sa.Table(
    "components",
    metadata,
    sa.Column("fingerprint", sa.Text, primary_key=True),
    sa.Column("description", sa.Text, nullable=False),
)
samples = sa.Table(
    "samples",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("prompt", sa.Text, nullable=False),
    sa.Column("refs", sa.Text, nullable=False),
    sa.Column("metadata", sa.Text),
    sqlite_with_rowid=False,
)
completions = sa.Table(
    "completions",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("sample", sa.Text, sa.ForeignKey("samples.digest"), nullable=False),
    sa.Column("generator", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("finish", sa.Text, nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("usage", sa.Text),
    sa.Column("latency_s", sa.Float),
    sa.Column("details", sa.Text),
    sa.Column("created", sa.Float, nullable=False),
    sqlite_with_rowid=False,
)
scores = sa.Table(
    "scores",
    metadata,
    sa.Column("completion", sa.Text, sa.ForeignKey("completions.key"), primary_key=True),
    sa.Column("scorer", sa.Text, primary_key=True),
    sa.Column("value", sa.Float),
    sa.Column("parts", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("unscored", sa.Text),
    sa.Column("usage", sa.Text),
    sa.Column("credit", sa.Text),
    sa.Column("calls", sa.Text),
    sa.Column("created", sa.Float, nullable=False),
    sqlite_with_rowid=False,
)
run_rows = sa.Table(
    "run_rows",
    metadata,
    sa.Column("run", sa.Text, sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("ordinal", sa.Integer, primary_key=True),
    sa.Column("sample_id", sa.Text, nullable=False),
    sa.Column("cluster", sa.Text, nullable=False),
    sa.Column("completion", sa.Text, sa.ForeignKey("completions.key"), nullable=False),
    sqlite_with_rowid=False,
)


# Written out, as statements for many rows have no room for a parameter of their own.
FAILED: sa.ColumnElement[str] = sa.literal_column("'error'")


class Placed(NamedTuple):
    """A completion under its key, at its place in a run; `cluster` names the sample's group."""

    key: str
    ordinal: int
    sample_id: str
    digest: str
    cluster: str
    completion: Completion


class ScoredRow(NamedTuple):
    """One completion of a run with its scores by label; `created` is when it was recorded.

    In seconds since 1970 (UTC); None where that is not known.
    """

    ordinal: int
    completion: Completion
    scores: Mapping[str, Score]
    created: float | None = None


class DamagedError(StoreError):
    """A row that no samescore wrote."""


def as_written(read: Callable[P, T]) -> Callable[P, T]:
    """A reader of rows that raises DamagedError for what is not as samescore writes it."""

    @functools.wraps(read)
    def reading(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(*args, **kwargs)
        except _DAMAGE as error:
            what = " ".join(f"{type(error).__name__}: {error}".split())
            raise DamagedError(f"a row is not as samescore wrote it ({what[:200]})") from error

    return reading


class Value(NamedTuple):
    """One score as statistics need it."""

    sample_id: str
    cluster: str
    value: float | None
    unscored: str | None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as the store knows it; times are seconds since 1970 (UTC).

    `opened` is when it started or last went on.
    """

    id: str
    name: str
    status: str
    total: int
    config: Mapping[str, object]
    provenance: Mapping[str, object]
    started: float
    finished: float | None = None
    opened: float = 0.0

    @property
    def generator(self) -> str:
        """The label of the run's generator."""
        return str(mapping_of(self.config["generator"]).get("label", ""))

    @property
    def scorers(self) -> dict[str, str]:
        """The fingerprint of each scorer, by label."""
        every = mapping_of(self.config["scorers"])
        return {label: str(mapping_of(s)["fingerprint"]) for label, s in every.items()}


def status_of(row: sa.Row[tuple[object, ...]]) -> str:
    """How a run or a training stands; one whose process was killed is `interrupted`."""
    killed = row.status == "running" and row.process and is_gone(row.process)
    return "interrupted" if killed else str(row.status)


to_json = json.JSONEncoder(ensure_ascii=False, default=str, separators=(",", ":")).encode
"""Compact JSON; what JSON does not know becomes text."""


def run_row(record: RunRecord) -> dict[str, object]:
    """A run as a row; it is under way, so not finished."""
    return {
        "id": record.id,
        "name": record.name,
        "status": record.status,
        "total": record.total,
        "config": to_json(record.config),
        "provenance": to_json(record.provenance),
        "started": record.started,
        "opened": record.started,
        "finished": None,
        "process": this_process(),
    }


@as_written
def run_record(row: sa.Row[tuple[object, ...]]) -> RunRecord:
    """A row as a run."""
    record = RunRecord(
        id=row.id,
        name=row.name,
        status=status_of(row),
        total=int(row.total),
        config=mapping_of(json.loads(row.config)),
        provenance=mapping_of(json.loads(row.provenance)),
        started=float(row.started),
        finished=row.finished,
        opened=float(row.opened),
    )
    _ = record.generator, record.scorers  # they are read of the configuration
    return record


def sample_row(placed: Placed) -> dict[str, object]:
    """A sample's content as a row."""
    sample = placed.completion.sample
    return {
        "digest": placed.digest,
        "prompt": sample.prompt,
        "refs": to_json(sample.references),
        "metadata": storable(to_json(dict(sample.metadata))) if sample.metadata else None,
    }


@as_written
def sample_of(row: sa.Row[tuple[object, ...]]) -> Sample:
    """A row with a sample's content and its id in the run."""
    extra = mapping_of(json.loads(row.metadata)) if row.metadata else {}
    return Sample(row.sample_id, _text(row.prompt), tuple(map(_text, json.loads(row.refs))), extra)


def completion_row(placed: Placed, generator: str) -> dict[str, object]:
    """A completion as a row."""
    completion = placed.completion
    return {
        "key": placed.key,
        "sample": placed.digest,
        "generator": generator,
        "attempt": completion.attempt,
        "text": completion.text,
        "finish": completion.finish,
        "error": completion.error or None,
        "usage": to_json(asdict(completion.usage)) if completion.usage else None,
        "latency_s": completion.latency_s,
        "details": to_json(completion.details) if completion.details else None,
        "created": now(),
    }


@as_written
def completion_of(row: sa.Row[tuple[object, ...]], sample: Sample) -> Completion:
    """A row as a completion of a sample."""
    return Completion(
        sample=sample,
        text=_text(row.text),
        finish=cast(Finish, row.finish),
        usage=_usage(row.usage),
        latency_s=row.latency_s,
        attempt=row.attempt,
        error=row.error or "",
        details=mapping_of(json.loads(row.details)) if row.details else {},
    )


def score_row(scorer: str, key: str, score: Score) -> dict[str, object]:
    """A score as a row."""
    return {
        "completion": key,
        "scorer": scorer,
        "value": score.value,
        "parts": to_json(dict(score.parts)) if score.parts else None,
        "reason": score.reason or None,
        "unscored": score.unscored,
        "usage": to_json(asdict(score.usage)) if score.usage else None,
        "credit": to_json([[c.start, c.end, c.value] for c in score.credit])
        if score.credit
        else None,
        "calls": to_json([astuple(c) for c in score.calls]) if score.calls else None,
        "created": now(),
    }


@as_written
def score_of(row: sa.Row[tuple[object, ...]]) -> Score:
    """A row as a score."""
    return Score(
        value=None if row.value is None else float(row.value),
        parts=cast(Mapping[str, float], mapping_of(json.loads(row.parts))) if row.parts else {},
        reason=row.reason or "",
        unscored=Unscored(row.unscored) if row.unscored else None,
        usage=_usage(row.usage),
        credit=tuple(Credit(*c) for c in json.loads(row.credit)) if row.credit else (),
        calls=tuple(Call(*c) for c in json.loads(row.calls)) if row.calls else (),
    )


def _usage(text: str | None) -> Usage | None:
    return Usage(**json.loads(text)) if text else None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def mapping_of(value: object) -> Mapping[str, object]:
    """The value, if it is a mapping; raises TypeError."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{value!r} is no mapping")
    return value
