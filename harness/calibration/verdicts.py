"""A judge's verdicts and the labels as arrays, which everything that is measured starts from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.components import Score
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.calibration.labels import Labels
    from harness.calibration.resampling import Array
    from harness.calibration.scale import Scale
    from harness.store.schema import ScoredRow


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The judge's places on the scale and the labels, NaN where there is none.

    `places` has a row an item and a column a repeat, `labels` a row a rater and a column an item.
    `words` counts those of each answer. `parts` are the judge's by name, shaped as `places`.
    """

    scale: Scale
    places: Array
    labels: Array
    words: Array
    clusters: Sequence[str]
    parts: Mapping[str, Array]

    @property
    def levels(self) -> Array:
        """The level nearest to each place."""
        return self.scale.levels(self.places)

    @property
    def one_level(self) -> bool:
        """Whether all verdicts are the same."""
        import numpy as np

        return bool(np.nanmax(self.levels) - np.nanmin(self.levels) < 1e-9)

    @property
    def known(self) -> list[bool]:
        """Which items have a verdict at all."""
        return [math.isfinite(place) for place in self.mean_places().tolist()]

    def mean_places(self) -> Array:
        """Each item's mean over its repeats; NaN where there is none."""
        import numpy as np

        there = np.isfinite(self.places)
        sums = np.where(there, self.places, 0.0).sum(1)
        return np.asarray(sums / np.where(there.any(1), there.sum(1), np.nan))

    def mean_labels(self) -> Array:
        """Each item's mean label; every item has one."""
        import numpy as np

        return np.asarray(np.nanmean(self.labels, axis=0))


def read_verdicts(
    rows: Iterable[ScoredRow],
    scorer: str,
    labels: Labels,
    *,
    repeats: int,
    part: str,
    value_range: tuple[float, float] | None,
) -> tuple[Verdicts, Mapping[str, int]]:
    """The verdicts of an evaluation's rows, and how many are none, by cause.

    Raises:
        HarnessError: for a part that no score has, and numbers outside `value_range`.
    """
    import numpy as np

    items = {item.sample.id: place for place, item in enumerate(labels.items)}
    shape = len(items), repeats
    numbers, words = np.full(shape, np.nan), np.zeros(len(items))
    parts: dict[str, Array] = {}
    causes: Counter[str] = Counter()
    for row in rows:
        place = items[row.completion.sample.id], row.completion.attempt
        score = row.scores[scorer]
        words[place[0]] = len(row.completion.text.split())
        for name, value in score.parts.items():
            parts.setdefault(name, np.full(shape, np.nan))[place] = value
        numbers[place] = _number(score, part, causes)
    if part and part not in parts:
        there = f"it has {', '.join(sorted(parts))}" if parts else "it has none"
        raise HarnessError(f"no score of {scorer} has a part {part!r}; {there}")
    scale = labels.scale
    low, high = value_range or ((scale.low, scale.high) if part else (0.0, 1.0))
    verdicts = Verdicts(
        scale=scale,
        places=scale.places(numbers, low, high),
        labels=np.array([item.labels for item in labels.items], dtype=np.float64).T,
        words=words,
        clusters=[item.cluster for item in labels.items],
        parts=parts,
    )
    return verdicts, dict(causes)


def _number(score: Score, part: str, causes: Counter[str]) -> float:
    """What is compared; NaN, and a cause more, where there is none."""
    if score.value is None:
        causes[str(score.unscored)] += 1
        return math.nan
    if not part:
        return score.value
    if part not in score.parts:
        causes["no_part"] += 1
    return score.parts.get(part, math.nan)
