"""What is compared: one side's scores by sample, wherever they come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from harness.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.store.columns import Texts
    from harness.store.trainings import TrainingRecord

    Array = NDArray[np.float64]
    Places = NDArray[np.int64]

NOT_RECORDED = "not_recorded"
"""The cause where the run has a completion that the scorer did not get to."""


class Lookup(Protocol):
    """What is read of a side only where it is needed; places are those of `Side.ids`."""

    def contents(self) -> Sequence[str]:
        """A digest of each sample's prompt and references; "" where it is not known."""

    def texts(self, places: Sequence[int]) -> Mapping[int, Texts]:
        """What was asked and first answered, where that is recorded."""

    def trainings(self) -> Sequence[TrainingRecord]:
        """The trainings that the side's store knows."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One scorer's verdicts on a side.

    `values` has the mean over a sample's scored attempts, NaN where none was scored; `unscored`
    counts the other attempts by cause. `description` is the scorer's, fingerprint included, and
    empty where it is not known.
    """

    values: Array
    unscored: Mapping[str, int]
    description: Mapping[str, object] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """The scorer's fingerprint; "" where it is not known."""
        return str(self.description.get("fingerprint", ""))


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: a run, a part of one, a file of scores, or a saved baseline.

    `scored` has each scorer's verdicts by label, in the order of `ids`; `rows` counts the
    completions behind them. `samples` is the digest of the data set and `generator` the
    description of what answered; they and `clusters` are empty where they are not known. `graded`
    has the fingerprints of scorers that are not read.
    """

    name: str
    source: str
    suite: str
    ids: Sequence[str]
    scored: Mapping[str, Scored]
    rows: int
    clusters: Sequence[str] = ()
    samples: str = ""
    generator: Mapping[str, object] = field(default_factory=dict)
    started: float = 0.0
    graded: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    lookup: Lookup | None = field(default=None, compare=False, repr=False)

    def label_of(self, wanted: str) -> str:
        """The label of a scorer, or the one label of a component of that name.

        Raises:
            DataError: if there is no such one; names those there are.
        """
        if wanted in self.scored:
            return wanted
        return chosen_label(wanted, list(self.scored), self.source)


def chosen_label(wanted: str, labels: Sequence[str], source: str) -> str:
    """The label itself, or the only one of a component that is called so."""
    if wanted in labels:
        return wanted
    named = [label for label in labels if label.partition(":")[0] == wanted]
    if len(named) == 1:
        return named[0]
    known = ", ".join(labels) or "none"
    raise DataError(f"{source} has no one scorer {wanted!r}; it has: {known}")


class Rows:
    """Sides from rows that come one at a time; those of one id are attempts at one sample."""

    def __init__(self, labels: Iterable[str]) -> None:
        self._places: dict[str, int] = {}
        self._clusters: list[str] = []
        self._sums: dict[str, list[float]] = {label: [] for label in labels}
        self._counts: dict[str, list[int]] = {label: [] for label in self._sums}
        self._causes: dict[str, Counter[str]] = {label: Counter() for label in self._sums}
        self.count = 0

    def add(self, sample: str, cluster: str, verdicts: Mapping[str, float | str]) -> None:
        """Add an attempt: for each label its value, or the cause why there is none."""
        place = self._places.setdefault(sample, len(self._places))
        self.count += 1
        if place == len(self._clusters):
            self._clusters.append(cluster)
            for label in self._sums:
                self._sums[label].append(0.0)
                self._counts[label].append(0)
        for label, verdict in verdicts.items():
            if isinstance(verdict, str):
                self._causes[label][verdict] += 1
            else:
                self._sums[label][place] += verdict
                self._counts[label][place] += 1

    def ids(self) -> list[str]:
        """The samples, in the order in which they came."""
        return list(self._places)

    def clusters(self) -> list[str]:
        """Their clusters; none where no row named one."""
        return self._clusters if any(self._clusters) else []

    def scored(self, label: str, description: Mapping[str, object] | None = None) -> Scored:
        """What a scorer said of them."""
        import numpy as np

        sums, counts = np.array(self._sums[label]), np.array(self._counts[label])
        return Scored(mean_of(sums, counts), dict(self._causes[label]), description or {})


def mean_of(sums: Array, counts: Places) -> Array:
    """The means of what was scored; NaN where nothing was."""
    import numpy as np

    means = np.full(len(sums), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means
