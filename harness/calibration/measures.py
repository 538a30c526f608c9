"""How far a judge agrees with people, people with each other, and the judge with itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

from harness.calibration.agreement import (
    krippendorff_alpha,
    mean_of,
    quadratic_kappa,
    remembering,
    share_within,
    spearman,
)
from harness.calibration.resampling import Estimate, Resampler
from harness.calibration.shares import share

if TYPE_CHECKING:
    from harness.calibration.resampling import Array, Codes, Statistic
    from harness.calibration.verdicts import Verdicts

Estimates = Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of the judge with the raters, of the raters, and of the judge with each rater.

    With one rater `people` is None and `raters` is empty.
    """

    judge: Estimates
    people: Estimates | None
    raters: Mapping[str, Estimates]


def agreement(verdicts: Verdicts, raters: Sequence[str], *, ordinal: bool) -> Agreement:
    """Kappa, alpha, Spearman, exact agreement and agreement within one step, by these names.

    A repeat is a verdict of its own, in its item's cluster. With several raters each measure is
    the mean over pairs in which it is defined; but alpha of the raters is one of them all, which
    labels missing here and there do not hurt. Spearman is of the places, the others of levels.
    """
    units = _Units(verdicts)

    def pair(levels: Array, places: Array, labels: Array) -> dict[str, Statistic]:
        measures = _measures(levels, places, labels, verdicts.scale.step, ordinal)
        return {name: remembering(of) for name, of in measures.items()}

    with_each = [pair(units.levels, units.places, labels) for labels in units.labels]
    among = [pair(one, one, other) for one, other in combinations(units.once, 2)]
    groups = {"judge": _means(with_each, len(units.items))}
    counts = {"judge": units.judged(units.labels)}
    if among:
        every = krippendorff_alpha(list(units.once), ordinal=ordinal)
        groups["people"] = {**_means(among, len(units.items)), "alpha": every}
        counts["people"] = units.labelled_twice()
        for number, measures in enumerate(with_each):
            groups[str(number)] = measures
            counts[str(number)] = units.judged(units.labels[number : number + 1])
    found = _estimated(Resampler(units.clusters), groups, counts)
    by_rater = {rater: found[str(i)] for i, rater in enumerate(raters)} if among else {}
    return Agreement(found["judge"], found.get("people"), by_rater)


class _Units:
    """Items and repeats as one list: a row a verdict, beside the labels of its item."""

    def __init__(self, verdicts: Verdicts) -> None:
        import numpy as np

        count, repeats = verdicts.places.shape
        self.places, self.levels = verdicts.places.ravel(), verdicts.levels.ravel()
        self.items: Codes = np.repeat(np.arange(count), repeats)
        self.clusters = [cluster for cluster in verdicts.clusters for _ in range(repeats)]
        self.labels = np.repeat(verdicts.labels, repeats, axis=1)
        # People judged an item once, however often the judge is asked.
        self.once = np.where(np.arange(count * repeats) % repeats == 0, self.labels, np.nan)

    def judged(self, labels: Array) -> int:
        """How many items have a verdict and one of these labels."""
        import numpy as np

        known = np.isfinite(self.places) & np.isfinite(labels).any(0)
        return len(np.unique(self.items[known]))

    def labelled_twice(self) -> int:
        """How many items have two labels or more."""
        import numpy as np

        return int((np.isfinite(self.once).sum(0) >= 2).sum())


def _measures(
    levels: Array, places: Array, labels: Array, step: float, ordinal: bool
) -> dict[str, Statistic]:
    measures = {
        "kappa": quadratic_kappa(levels, labels),
        "alpha": krippendorff_alpha([levels, labels], ordinal=ordinal),
        "spearman": spearman(places, labels),
    }
    if step:  # without levels two numbers are hardly ever the same
        measures["exact"] = share_within(levels, labels, 0)
        measures["within_1"] = share_within(levels, labels, step)
    return measures


def _means(pairs: Sequence[Mapping[str, Statistic]], items: int) -> dict[str, Statistic]:
    """The mean of each measure over the pairs in which it is defined for all the data."""
    import numpy as np

    whole = np.ones((1, items))

    def mean(measure: str) -> Statistic:
        every = [pair[measure] for pair in pairs]
        return mean_of([of for of in every if np.isfinite(of(whole)[0])] or every)

    return {measure: mean(measure) for measure in pairs[0]}


def _estimated(
    resampler: Resampler,
    groups: Mapping[str, Mapping[str, Statistic]],
    counts: Mapping[str, int],
) -> dict[str, dict[str, Estimate]]:
    """The estimates of each group, all from the same resamples."""
    flat = {f"{g} {m}": of for g, measures in groups.items() for m, of in measures.items()}
    found = resampler.estimates(flat)
    return {
        group: {m: replace(found[f"{group} {m}"], n=counts[group]) for m in measures}
        for group, measures in groups.items()
    }


@dataclass(frozen=True, slots=True)
class Consistency:
    """How alike repeated verdicts on an item are; items judged once only do not count.

    `identical` is the share of items whose levels are all the same, `sd` the standard deviation
    within an item in points of the scale, `alpha` Krippendorff's with repeats as raters.
    `constant` says that every repeat of every item gave the very same number.
    """

    identical: Estimate
    sd: Estimate
    alpha: Estimate
    constant: bool


def consistency(verdicts: Verdicts, *, ordinal: bool) -> Consistency:
    """Agreement of the judge with itself."""
    import numpy as np

    several = np.isfinite(verdicts.places).sum(1) >= 2
    places, levels = verdicts.places[several], verdicts.levels[several]
    clusters = [c for c, there in zip(verdicts.clusters, several, strict=True) if there]
    if not clusters:
        none = Estimate(None, None, None, 0)
        return Consistency(none, none, none, constant=False)
    variances = np.nanvar(places, axis=1, ddof=1)

    def within(weights: Array) -> Array:
        return np.asarray(np.sqrt(weights @ variances / weights.sum(1)))

    alpha = krippendorff_alpha(list(levels.T), ordinal=ordinal)
    found = Resampler(clusters).estimates({"sd": within, "alpha": alpha})
    sd, alpha_found = (replace(found[name], n=len(clusters)) for name in ("sd", "alpha"))
    same = np.nanmax(levels, axis=1) - np.nanmin(levels, axis=1) < 1e-9
    constant = bool(np.all(np.nanmax(places, axis=1) == np.nanmin(places, axis=1)))
    return Consistency(share(same.tolist(), clusters), sd, alpha_found, constant)
