"""A run's scores as arrays, and what a page says of them all."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.comparison.sides import NOT_RECORDED
from harness.errors import HarnessError
from harness.evaluation import Summary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.plots import Plot
    from harness.store import Store
    from harness.store.schema import RunRecord

    Array = NDArray[np.float64]
    Places = NDArray[np.int64]
    Codes = NDArray[np.int16]

_BINS = 24


class StoppedError(HarnessError):
    """The viewer ends, so reading does too."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One scorer's column: `values`, NaN where there is none, and then the place of its cause."""

    values: Array
    causes: Codes


@dataclass(frozen=True, slots=True)
class Columns:
    """A run's rows: their places in it, each scorer's column by label, the causes that occur.

    `clusters` has a number for each row's group, or is None where rows stand for themselves.
    """

    ordinals: Places
    scored: Mapping[str, Scored]
    causes: tuple[str, ...]
    clusters: Codes | Places | None


@dataclass(frozen=True, slots=True)
class Bars:
    """How many values lie in each of some equal parts of the range from `low` to `high`."""

    low: float
    high: float
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """What a page says of a run as a whole: by label a summary and bars, and one picture of all.

    `rows` are recorded; `missing` counts by label those that the scorer has not got to.
    """

    rows: int
    summaries: Mapping[str, Summary]
    bars: Mapping[str, Bars]
    missing: Mapping[str, int]
    plot: Plot


def read_columns(store: Store, run: RunRecord, stopping: threading.Event) -> Columns:
    """Read a run's scores, which takes some seconds for a million rows.

    Raises:
        StoppedError: if the viewer ends meanwhile.
    """
    import numpy as np

    reader = _Reader(run)
    for cells in store.columns.scores(run, list(run.scorers.values())):
        if stopping.is_set():
            raise StoppedError("the viewer has ended")
        ordinals = np.array(cells.ordinals, dtype=np.int64)
        codes = np.fromiter(map(reader.code, cells.scorers), np.int16, len(ordinals))
        values = np.array(cells.values, dtype=np.float64)
        reader.add(ordinals, codes, values, cells.unscored)
        reader.add_clusters(ordinals, cells.clusters)
    return reader.columns()


class _Reader:
    """Takes in the cells of a run, in the order of its rows; a row may have several."""

    def __init__(self, run: RunRecord) -> None:
        self._run = run
        self._codes: dict[str | None, int] = {
            name: code for code, name in enumerate(dict.fromkeys(run.scorers.values()))
        }
        self._causes: dict[str, int] = {}
        self._parts: list[tuple[Places, Codes, Array, Codes]] = []
        self._groups: dict[str, int] = {}
        self._clusters: list[Places] = []
        self._last = -1

    def code(self, fingerprint: str | None) -> int:
        """The number of a scorer, -1 for none."""
        return self._codes.get(fingerprint, -1)

    def add(self, ordinals: Places, codes: Codes, values: Array, unscored: object) -> None:
        """Take in some cells."""
        import numpy as np

        causes = np.zeros(len(values), dtype=np.int16)
        told = unscored if isinstance(unscored, tuple) else ()
        for i in np.flatnonzero(np.isnan(values) & (codes >= 0)).tolist():
            causes[i] = self._cause(str(told[i]))
        self._parts.append((ordinals, codes, values, causes))

    def add_clusters(self, ordinals: Places, names: object) -> None:
        """Take in the groups of the rows that begin here."""
        import numpy as np

        first = np.flatnonzero(np.diff(ordinals, prepend=self._last) != 0).tolist()
        self._last = int(ordinals[-1])
        told = names if isinstance(names, tuple) else ()
        groups = self._groups
        found = [groups.setdefault(told[i], len(groups)) for i in first]
        self._clusters.append(np.array(found, dtype=np.int64))

    def columns(self) -> Columns:
        """The whole."""
        import numpy as np

        if not self._parts:
            empty = np.empty(0)
            nothing = Scored(empty, np.empty(0, dtype=np.int16))
            none = np.empty(0, dtype=np.int64)
            return Columns(none, dict.fromkeys(self._run.scorers, nothing), (), None)
        ordinals, codes, values, causes = (
            np.concatenate(column) for column in zip(*self._parts, strict=True)
        )
        fresh = np.diff(ordinals, prepend=-1) != 0
        places, count = np.cumsum(fresh) - 1, int(fresh.sum())
        missing = self._cause(NOT_RECORDED)
        by_code: dict[int, Scored] = {}
        for code in self._codes.values():
            mine = codes == code
            scored = Scored(np.full(count, np.nan), np.full(count, missing, dtype=np.int16))
            scored.values[places[mine]] = values[mine]
            scored.causes[places[mine]] = causes[mine]
            by_code[code] = scored
        by_label = {label: by_code[self._codes[f]] for label, f in self._run.scorers.items()}
        named = any(self._groups)
        clusters = np.concatenate(self._clusters) if named else None
        return Columns(ordinals[fresh], by_label, tuple(self._causes), clusters)

    def _cause(self, name: str) -> int:
        return self._causes.setdefault(name, len(self._causes))


def overview(columns: Columns) -> Overview:
    """Means with intervals, causes, and distributions."""
    from harness.plots import score_histograms

    known = {label: s.values[_known(s)] for label, s in columns.scored.items()}
    return Overview(
        rows=len(columns.ordinals),
        summaries={label: _summary(columns, label) for label in columns.scored},
        bars={label: bars(values) for label, values in known.items() if len(values)},
        missing={label: _counts(columns, label).get(NOT_RECORDED, 0) for label in columns.scored},
        plot=score_histograms({label: v.tolist() for label, v in known.items() if len(v)}),
    )


def bars(values: Array) -> Bars:
    """The values, at least one, counted in equal parts; those of 0 to 1 always over all of it."""
    import numpy as np

    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    high = high if high > low else low + 1
    counts, _ = np.histogram(values, _BINS, (low, high))
    return Bars(low, high, tuple(counts.tolist()))


def _summary(columns: Columns, label: str) -> Summary:
    from harness.stats import mean_interval

    scored = columns.scored[label]
    known = _known(scored)
    causes = {k: n for k, n in _counts(columns, label).items() if k != NOT_RECORDED}
    missing = sum(causes.values()), causes
    values = scored.values[known]
    if not len(values):
        return Summary(label, math.nan, None, None, 0, *missing)
    groups = None if columns.clusters is None else columns.clusters[known].tolist()
    found = mean_interval(values, clusters=groups, method="score")  # type: ignore[arg-type]
    return Summary(label, found.mean, found.low, found.high, found.n, *missing)


def _counts(columns: Columns, label: str) -> dict[str, int]:
    """The unscored by cause, the most frequent first."""
    import numpy as np

    scored = columns.scored[label]
    counts = np.bincount(scored.causes[~_known(scored)], minlength=len(columns.causes))
    found = [(name, int(n)) for name, n in zip(columns.causes, counts, strict=True) if n]
    return dict(sorted(found, key=lambda item: -item[1]))


def _known(scored: Scored) -> NDArray[np.bool_]:
    import numpy as np

    return ~np.isnan(scored.values)
