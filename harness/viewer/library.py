"""What all pages share: the store, the work behind them, and finding what an address names."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar, cast

from harness.errors import HarnessError
from harness.store.measurements import MeasurementRecord
from harness.store.schema import RunRecord
from harness.store.trainings import TrainingRecord
from harness.viewer.columns import Columns, Overview, overview, read_columns
from harness.viewer.jobs import Answer, Jobs, Memory
from harness.viewer.reading import Reading

if TYPE_CHECKING:
    from harness.comparison import Comparison

Kind = Literal["evaluation", "training", "measurement"]
Record: TypeAlias = RunRecord | TrainingRecord | MeasurementRecord
R = TypeVar("R", bound=Record)
RUNNING = "running"
_PATHS: Mapping[type, tuple[Kind, str]] = {
    RunRecord: ("evaluation", "/runs/"),
    TrainingRecord: ("training", "/trainings/"),
    MeasurementRecord: ("measurement", "/measurements/"),
}
_NEAR = 5


@dataclass(frozen=True, slots=True)
class Near:
    """Something that may have been meant."""

    id: str
    name: str
    kind: Kind
    path: str


class NotHereError(HarnessError):
    """There is no such thing in the store; `near` may have been meant."""

    def __init__(self, message: str, near: Sequence[Near] = ()) -> None:
        super().__init__(message)
        self.near = tuple(near)


class AskedWrongError(HarnessError):
    """An address whose parameters cannot be used."""


def kind_of(record: Record) -> Kind:
    """What a record is of."""
    return _PATHS[type(record)][0]


def path_of(record: Record) -> str:
    """Where its page is."""
    return _PATHS[type(record)][1] + record.id


class Library:
    """A store, open to read from, with what was read of it so far.

    Raises:
        StoreError: from every method, when the store cannot be read.
    """

    def __init__(self, url: str | None) -> None:
        self.reading = Reading(url)
        self.store = self.reading.store
        self.jobs = Jobs()
        self._records: tuple[str, list[Record]] = ("", [])
        self._columns: Memory[Columns] = Memory(6)
        self.selections: Memory[object] = Memory(32)

    def close(self) -> None:
        """End what is under way, and give the connections back."""
        self.jobs.close()
        self.reading.close()

    def token(self) -> str:
        """A text that changes whenever a page may look different."""
        return f"{self.reading.version()}-{self.jobs.done}"

    def records(self) -> list[Record]:
        """Everything in the store, the latest last."""
        version = self.reading.version()
        known, records = self._records
        if known != version or not version:
            every: list[Record] = [*self.store.everything(), *self.store.measurements.all()]
            records = sorted(every, key=lambda record: (record.opened, record.id))
            self._records = (version, records)
        return records

    def evaluation(self, text: str) -> RunRecord:
        """The run of this id, or whose id starts so; `last` is the latest.

        Raises:
            NotHereError: if there is none, or more than one.
        """
        return self._find(text, RunRecord)

    def training(self, text: str) -> TrainingRecord:
        """The training of this id; otherwise as `evaluation`."""
        return self._find(text, TrainingRecord)

    def measurement(self, text: str) -> MeasurementRecord:
        """The measurement of this id; otherwise as `evaluation`."""
        return self._find(text, MeasurementRecord)

    def version(self, record: RunRecord) -> tuple[object, ...]:
        """What decides a run's results: nothing changes them any more once it has ended."""
        ended = record.status != RUNNING
        return (record.opened, record.finished, "" if ended else self.reading.version())

    def overview(self, run: RunRecord, patience: float | None = None) -> Answer[Overview]:
        """What a page says of a run as a whole."""
        version = self.version(run)

        def work() -> Overview:
            return overview(self._columns_of(run, version))

        return self.jobs.answer(("overview", run.id), version, work, patience=patience)

    def columns(self, run: RunRecord) -> Answer[Columns]:
        """A run's scores."""
        version = self.version(run)
        known = self._columns.peek((run.id, version))
        if known is not None:
            return Answer(known, pending=False)
        work = partial(self._columns_of, run, version)
        answer = self.jobs.answer(("columns", run.id), version, work)
        if answer.value is not None and not answer.pending:
            self._columns.get((run.id, version), lambda: cast(Columns, answer.value))
        return answer

    def comparison(self, first: RunRecord, other: RunRecord, allow: bool) -> Answer[Comparison]:
        """Two runs compared; `allow` compares other scorers and other samples all the same."""
        version = (self.version(first), self.version(other))
        work = partial(self._compared, first, other, allow)
        return self.jobs.answer(("comparison", first.id, other.id, allow), version, work)

    def _compared(self, first: RunRecord, other: RunRecord, allow: bool) -> Comparison:
        from harness.comparison import compare, stored
        from harness.viewer.pairs import warm

        sides = stored(self.store, first), stored(self.store, other)
        found = compare(
            *sides, moved=0, allow_different_scorers=allow, allow_different_samples=allow
        )
        warm(self, found)
        return found

    def _columns_of(self, run: RunRecord, version: tuple[object, ...]) -> Columns:
        make = partial(read_columns, self.store, run, self.jobs.stopping)
        return self._columns.get((run.id, version), make)

    def _find(self, text: str, kind: type[R]) -> R:
        every = self.records()
        mine = [record for record in every if isinstance(record, kind)]
        if text == "last" and mine:
            return mine[-1]
        found = [r for r in mine if r.id == text] or [r for r in mine if r.id.startswith(text)]
        if len(found) == 1:
            return found[0]
        what = {RunRecord: "run", TrainingRecord: "training"}.get(kind, "measurement")
        if len(found) > 1:
            near = [_near(r) for r in found[-_NEAR:]]
            raise NotHereError(f"{len(found)} {what}s start with {text!r}", near)
        raise NotHereError(f"There is no {what} {text!r} in this store", _alike(text, every))


def _alike(text: str, records: Sequence[Record]) -> list[Near]:
    """What may have been meant: it starts so, is called so, or is spelt nearly so."""
    names: dict[str, Record] = {}
    for record in records:
        short = record.name.rpartition("::")[2]
        names |= {key: record for key in (record.id, record.name, short) if key}
    starting = [r for r in reversed(records) if text and r.id.startswith(text)]
    close = [names[key] for key in difflib.get_close_matches(text, names, _NEAR, 0.5)]
    wanted = {record.id: record for record in (*starting, *close)}
    return [_near(record) for record in list(wanted.values())[:_NEAR]]


def _near(record: Record) -> Near:
    return Near(record.id, record.name, kind_of(record), path_of(record))
