"""A training in a TOML file: what `harness train` reads, checks and runs."""

from __future__ import annotations

import contextlib
import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, cast

from harness.api import scorer as build_scorer
from harness.components import Sample
from harness.data.samples import load_samples
from harness.data.split import split
from harness.data.toml import read_toml
from harness.errors import DataError, HarnessError
from harness.guards import GuardedScorer
from harness.references import Reference, as_toml, parse
from harness.settings import build_settings
from harness.training.plan import NamedTrainer, is_weight, named_trainer
from harness.training.run import training_rows
from harness.training.selecting import selection

_TABLES = ("trainer", "scorers", "data")


@dataclass(frozen=True, slots=True)
class TopSettings:
    """The keys of a training's file that stand above its tables."""

    output: str = ""
    """The folder to write to."""
    seed: int = 0
    """Seed of everything random."""
    name: str = ""
    """What the training is called; without it as the file."""
    select: str = ""
    """Keep the checkpoint of the best held-out scores: `watched`, or a label; else the last."""

    def __post_init__(self) -> None:
        """Raise ValueError where there is no output."""
        if not self.output:
            raise ValueError('output is missing; write output = "FOLDER" above the tables')


@dataclass(frozen=True, slots=True)
class DataSettings:
    """The table `[data]`: which files hold the rows, and which columns what."""

    train: tuple[str, ...] = ()
    """The file, or list of files, with the rows to train on."""
    test: tuple[str, ...] = ()
    """The file, or list of files, with rows that are never trained on."""
    holdout: float = 0.0
    """In place of test: the share of rows that are held out, by their prompts; seed or not."""
    prompt: str = ""
    """The column of the prompts."""
    reference: tuple[str, ...] = ()
    """The column, or list of columns, of the references."""
    id: str | None = None
    """The column of the ids; without it they are the numbers of the rows."""
    metadata: tuple[str, ...] = ()
    """The columns to keep; "rest" keeps all that are not named above."""
    overlap: Literal["refuse", "drop"] = "refuse"
    """Where a prompt is on both sides: refuse to train, or drop its rows from training."""
    limit: int | None = None
    """Train on the first rows only, so many."""

    def __post_init__(self) -> None:
        """Raise ValueError for what is missing, out of range, or given twice."""
        for name in ("train", "prompt"):
            if not getattr(self, name):
                raise ValueError(f"{name} is missing; write {name} = …")
        if not 0 <= self.holdout < 1:
            raise ValueError(f"holdout is {self.holdout:g}; it is a share from 0 to below 1")
        if self.test and self.holdout:
            raise ValueError("test and holdout are both given; leave one out")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit is {self.limit}; it must be at least 1")


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """A training as its file has it; each scorer's reference with its weight."""

    file: str
    output: Path
    seed: int
    name: str
    select: str
    trainer: Reference
    scorers: tuple[tuple[Reference, float], ...]
    data: DataSettings


class Prepared(NamedTuple):
    """A training that could start: rows read and kept apart, trainer and scorers built."""

    config: TrainingConfig
    samples: list[Sample]
    held_out: list[Sample]
    left_out: int
    """How many rows are not trained on because their prompts are held out."""
    trainer: NamedTrainer
    scorers: list[tuple[GuardedScorer, float]]


def read_config(file: str | Path, changes: Sequence[str] = ()) -> TrainingConfig:
    """Read a training's file, with changes such as `trainer.learning_rate=1e-5` on top.

    The value of a change is read as TOML, or else is text.

    Raises:
        HarnessError: naming the file and the key, for what is missing, unknown or of a wrong type.
    """
    document = _document(Path(file))
    for change in changes:
        document = _merged(document, _change(change))
    _refuse_unknown(str(file), document)
    above = {key: value for key, value in document.items() if key not in _TABLES}
    top: TopSettings = build_settings(str(file), TopSettings, above)
    return TrainingConfig(
        file=str(file),
        output=Path(top.output),
        seed=top.seed,
        name=top.name or Path(file).stem,
        select=top.select,
        trainer=_reference(f"{file}: [trainer]", _table(file, document, "trainer"), ""),
        scorers=_scorers(file, _table(file, document, "scorers")),
        data=build_settings(f"{file}: [data]", DataSettings, _table(file, document, "data")),
    )


def prepare(config: TrainingConfig) -> Prepared:
    """Do all of a training that comes before it: read the rows, build trainer and scorers.

    Raises:
        HarnessError: naming the file and the table, for what cannot be used.
    """
    with _telling(f"{config.file}: [data]"):
        every, held_out = _rows(config.data)
        samples, held_out = training_rows(every, held_out, config.data.overlap)
        left_out, samples = len(every) - len(samples), samples[: config.data.limit]
    with _telling(f"{config.file}: [trainer]"):
        trainer = named_trainer(config.trainer)
    scorers = []
    for reference, weight in config.scorers:
        with _telling(f"{config.file}: [scorers.{reference.label}]"):
            scorers.append((build_scorer(reference), weight))
    weights = {scorer.label: weight for scorer, weight in scorers}
    count, called = len(held_out), trainer.label
    with _telling(f"{config.file}:"):
        selection(config.select, weights, held_out=count, trainer=trainer.component, called=called)
    return Prepared(config, samples, held_out, left_out, trainer, scorers)


def _document(file: Path) -> dict[str, object]:
    try:
        return read_toml(file.read_text("utf-8"))
    except FileNotFoundError as error:
        names = [p.name for p in file.parent.glob("*.toml")]
        near = difflib.get_close_matches(file.name, names, 1)
        hint = f"; did you mean {file.with_name(near[0])}?" if near else ""
        raise DataError(f"there is no file {file}{hint}") from error
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{file} is no TOML: {error}") from error


def _change(text: str) -> dict[str, object]:
    """A change as a document of its own."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise DataError(f"--set {text}: write KEY=VALUE, as trainer.learning_rate=1e-5")
    for written in (text, f"{key}={json.dumps(value)}"):
        with contextlib.suppress(ValueError):
            return read_toml(written)
    raise DataError(f"--set {text}: {key.strip()!r} is no key; write TABLE.KEY")


def _merged(old: Mapping[str, object], new: Mapping[str, object]) -> dict[str, object]:
    merged = dict(old)
    for key, value in new.items():
        before = merged.get(key)
        both = isinstance(before, dict) and isinstance(value, dict)
        merged[key] = _merged(cast(dict[str, object], before), value) if both else value  # type: ignore[arg-type]
    return merged


def _refuse_unknown(file: str, document: Mapping[str, object]) -> None:
    known = [*TopSettings.__dataclass_fields__, *_TABLES]
    for key in document:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise DataError(f"{file} has a key {key!r}{hint} It may have: {', '.join(known)}")


def _table(file: str | Path, document: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = document.get(name, {})
    if not isinstance(found, dict):
        raise DataError(f"{file}: {name} is {found!r}; write a table, [{name}]")
    return found


def _scorers(file: str | Path, tables: Mapping[str, object]) -> tuple[tuple[Reference, float], ...]:
    found = []
    for label, table in tables.items():
        where = f"{file}: [scorers.{label}]"
        if not isinstance(table, dict):
            raise DataError(
                f"{file}: [scorers] {label} is {table!r}; write a table, [scorers.{label}]"
            )
        weight = table.get("weight", 1.0)
        if not is_weight(weight):
            raise DataError(f"{where} weight is {weight!r}; it must be a number")
        settings = {key: value for key, value in table.items() if key != "weight"}
        found.append((_reference(where, settings, label), float(cast(float, weight))))
    return tuple(found)


def _reference(where: str, table: Mapping[str, object], label: str) -> Reference:
    name = table.get("use")
    if not isinstance(name, str) or not name:
        raise DataError(f'{where} needs use = "NAME"; harness plugins lists the names')
    settings = {
        key: _as_written(f"{where} {key}", value) for key, value in table.items() if key != "use"
    }
    with _telling(where):
        named = parse(name)  # `use` may bring settings of its own, as "contrast:weight=0.5"
    return Reference(named.name, {**named.settings, **settings}, label or name)


def _as_written(where: str, value: object) -> str:
    """A value as a reference has it, so that both give one object."""
    if isinstance(value, dict):
        raise DataError(f"{where} is a table; it must be text, a number, true, false or a list")
    return as_toml(value) if isinstance(value, bool | list) else str(value)


def _rows(data: DataSettings) -> tuple[list[Sample], list[Sample]]:
    every = _load(data, data.train)
    if not data.holdout:
        return every, _load(data, data.test)
    kept, held_out = split(every, data.holdout)
    if not kept or not held_out:
        raise DataError(
            f"holdout = {data.holdout:g} holds out {len(held_out)} of {len(every)} rows; "
            "give a test file, or another share"
        )
    return kept, held_out


def _load(data: DataSettings, files: Sequence[str]) -> list[Sample]:
    metadata = "rest" if data.metadata == ("rest",) else data.metadata
    found: list[Sample] = []
    for file in files:
        samples = load_samples(
            file, prompt=data.prompt, references=data.reference, id=data.id, metadata=metadata
        )
        # The numbers of rows are ids within one file alone.
        numbered = data.id is None and len(files) > 1
        found += [replace(s, id=f"{file}:{s.id}") for s in samples] if numbered else samples
    return found


@contextlib.contextmanager
def _telling(where: str) -> Iterator[None]:
    """Name the place in an error that comes from within."""
    try:
        yield
    except HarnessError as error:
        raise type(error)(f"{where} {error}") from error
