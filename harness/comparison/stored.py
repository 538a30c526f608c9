"""Sides from runs of a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from harness.comparison.sides import NOT_RECORDED, Rows, Scored, Side, chosen_label, mean_of
from harness.errors import DataError
from harness.fingerprint import digest
from harness.store import Store
from harness.store.schema import RunRecord, ScoredRow

if TYPE_CHECKING:
    from harness.comparison.sides import Array, Places
    from harness.store.columns import Cells, Texts
    from harness.store.trainings import TrainingRecord


def stored(store: Store, run: RunRecord, wanted: Sequence[str] = ()) -> Side:
    """A run as a side, with the scorers that are `wanted`: labels or names; all without any.

    Raises:
        DataError: if a scorer is not there, or the run has no row yet.
    """
    labels = _labels(run, wanted)
    columns = _Columns(run, [run.scorers[label] for label in labels])
    for cells in store.columns.scores(run, list(columns.codes)):
        columns.add(cells)
    if not columns.ids:
        raise DataError(f"{_source(run)} has no rows yet")
    described = _mapping(run.config["scorers"])
    return Side(
        name=run.generator,
        source=_source(run),
        suite=_suite(run),
        ids=columns.ids,
        scored={
            label: columns.scored(run.scorers[label], _mapping(described[label]))
            for label in labels
        },
        rows=columns.rows,
        clusters=columns.clusters,
        samples=str(run.config.get("samples", "")),
        generator=_mapping(run.config["generator"]),
        started=run.started,
        graded=tuple(run.scorers.values()),
        notes=_unfinished(run, columns.rows),
        lookup=_StoreLookup(store, run, columns),
    )


def split(
    store: Store, run: RunRecord, key: str, match: str | None, wanted: Sequence[str] = ()
) -> list[Side]:
    """The parts of a run by a key of its samples' metadata, such as which model answered.

    Samples are matched by the metadata key `match`, or by what was asked: prompt and references.

    Raises:
        DataError: if a sample lacks a key, or all of them are of one part.
    """
    labels = _labels(run, wanted)
    parts: dict[str, Rows] = {}
    for row in store.rows(run):
        sample = row.completion.sample
        part = str(_of_metadata(row, key))
        asked = (sample.prompt, sample.references)
        matched = str(_of_metadata(row, match)) if match else digest(asked)
        rows = parts.setdefault(part, Rows(labels))
        rows.add(matched, _cluster(row, run), {label: _verdict(row, label) for label in labels})
    if len(parts) < 2:
        raise DataError(f"{_source(run)} has one {key} only: {', '.join(parts) or 'no rows yet'}")
    described = _mapping(run.config["scorers"])
    total = sum(rows.count for rows in parts.values())
    return [
        Side(
            name=part,
            source=f"{key}={part} of {_source(run)}",
            suite=_suite(run),
            ids=rows.ids(),
            scored={label: rows.scored(label, _mapping(described[label])) for label in labels},
            rows=rows.count,
            clusters=rows.clusters(),
            notes=_unfinished(run, total),
        )
        for part, rows in parts.items()
    ]


class _Columns:
    """What is read of a run, as arrays."""

    def __init__(self, run: RunRecord, fingerprints: Sequence[str]) -> None:
        self._repeats = int(cast(int, run.config.get("repeats", 1)))
        self._clustered = bool(run.config.get("cluster"))
        self.codes = {name: code for code, name in enumerate(dict.fromkeys(fingerprints))}
        self.ids: list[str] = []
        self.clusters: list[str] = []
        self.rows = 0
        self._last = self._last_row = -1
        self._causes: dict[int, Counter[str]] = {code: Counter() for code in self.codes.values()}
        self._parts: list[tuple[Places, Places, Array]] = []
        self._samples: list[Places] = []

    def add(self, cells: Cells) -> None:
        """Take in the next rows."""
        import numpy as np

        ordinals = np.array(cells.ordinals, dtype=np.int64)
        samples = ordinals // self._repeats
        fresh = np.diff(samples, prepend=self._last) != 0
        places = len(self.ids) - 1 + np.cumsum(fresh)
        first = np.flatnonzero(fresh).tolist()
        self.ids += [cells.sample_ids[i] for i in first]
        self.clusters += [cells.clusters[i] for i in first] if self._clustered else []
        self.rows += int(np.count_nonzero(np.diff(ordinals, prepend=self._last_row)))
        self._last, self._last_row = int(samples[-1]), int(ordinals[-1])
        self._samples.append(samples[fresh])
        codes = np.array([self.codes.get(s or "", -1) for s in cells.scorers], dtype=np.int64)
        values = np.array(cells.values, dtype=np.float64)
        for i in np.flatnonzero(np.isnan(values) & (codes >= 0)).tolist():
            self._causes[int(codes[i])][str(cells.unscored[i])] += 1
        self._parts.append((places, codes, values))

    def scored(self, fingerprint: str, description: Mapping[str, object]) -> Scored:
        """One scorer's verdicts."""
        import numpy as np

        code, count = self.codes[fingerprint], len(self.ids)
        sums, counts = np.zeros(count), np.zeros(count, dtype=np.int64)
        judged = 0
        for places, codes, values in self._parts:
            mine = codes == code
            judged += int(mine.sum())
            mine &= ~np.isnan(values)
            np.add.at(sums, places[mine], values[mine])
            np.add.at(counts, places[mine], 1)
        causes = Counter(self._causes[code])
        if self.rows > judged:
            causes[NOT_RECORDED] += self.rows - judged
        return Scored(mean_of(sums, counts), dict(causes), description)

    def ordinals(self, places: Sequence[int]) -> list[int]:
        """The rows of the first attempts at these samples."""
        import numpy as np

        samples = np.concatenate(self._samples)
        return [int(samples[place]) * self._repeats for place in places]


class _StoreLookup:
    """What else the store has of a run."""

    def __init__(self, store: Store, run: RunRecord, columns: _Columns) -> None:
        self._store, self._run, self._columns = store, run, columns

    def contents(self) -> Sequence[str]:
        """See `Lookup`."""
        known = self._store.columns.contents(self._run)
        return [known.get(sample, "") for sample in self._columns.ids]

    def texts(self, places: Sequence[int]) -> Mapping[int, Texts]:
        """See `Lookup`."""
        ordinals = self._columns.ordinals(places)
        found = self._store.columns.texts(self._run, ordinals)
        pairs = zip(places, ordinals, strict=True)
        return {place: found[ordinal] for place, ordinal in pairs if ordinal in found}

    def trainings(self) -> Sequence[TrainingRecord]:
        """See `Lookup`."""
        return self._store.trainings.all()


def _labels(run: RunRecord, wanted: Sequence[str]) -> list[str]:
    every = list(run.scorers)
    chosen = (chosen_label(name, every, _source(run)) for name in wanted)
    return list(dict.fromkeys(chosen)) if wanted else every


def _source(run: RunRecord) -> str:
    return f"run {run.id}"


def _suite(run: RunRecord) -> str:
    """The benchmark that a run is named after, without its file and its parameters."""
    return run.name.partition("[")[0].rpartition("::")[2]


def _unfinished(run: RunRecord, rows: int) -> tuple[str, ...]:
    if run.status == "finished" and rows == run.total:
        return ()
    return (f"{_source(run)} is {run.status}: {rows} of {run.total} rows are recorded",)


def _verdict(row: ScoredRow, label: str) -> float | str:
    score = row.scores.get(label)
    if score is None:
        return NOT_RECORDED
    return str(score.unscored) if score.value is None else score.value


def _cluster(row: ScoredRow, run: RunRecord) -> str:
    return str(row.completion.sample.metadata.get(str(run.config.get("cluster")), ""))


def _of_metadata(row: ScoredRow, key: str) -> object:
    sample = row.completion.sample
    if sample.metadata.get(key) in (None, ""):
        known = ", ".join(map(str, sample.metadata)) or "nothing"
        raise DataError(f"sample {sample.id!r} has no {key!r} in its metadata; it has: {known}")
    return sample.metadata[key]


def _mapping(value: object) -> Mapping[str, object]:
    return cast(Mapping[str, object], value)
