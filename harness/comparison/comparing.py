"""Comparing sides: paired differences over scorers, pairs and suites, adjusted for one another."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from harness.comparison.baseline import names_of
from harness.comparison.matching import Matched, match, scorers_of
from harness.comparison.measuring import codes, measure
from harness.comparison.notes import notes
from harness.comparison.results import ALPHA, POWER, Comparison, Moved, Options, Result, Suite
from harness.comparison.sides import Side
from harness.errors import DataError, HarnessError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.comparison.measuring import Codes
    from harness.comparison.sides import Array
    from harness.evaluation import Evaluation
    from harness.stats import Difference
    from harness.store.columns import Texts


def compare(
    *sides: Side | Evaluation, options: Options | None = None, **changed: object
) -> Comparison:
    """Compare sides: each other one with the first, or all pairs.

    A sample's attempts are one value, their mean: attempts of two runs have nothing in common but
    the sample. A sample that either side has no score for is left out of that scorer's result,
    and counted. Where a side names clusters, intervals and p are robust to them.

    Args:
        sides: Evaluations, or what `stored`, `read_scores` and `read_baseline` give.
        options: How to compare.
        changed: Fields of `Options`, as `method="bootstrap"`.

    Raises:
        DataError: if two sides have no sample or scorer in common, or different contents.
        HarnessError: if a scorer is another one on one side than on the other.
    """
    return compare_suites([sides], replace(options or Options(), **changed))  # type: ignore[arg-type]


def compare_suites(
    suites: Sequence[Sequence[Side | Evaluation]], options: Options | None = None
) -> Comparison:
    """Compare several suites at once, each with sides in the same order; see `compare`.

    Raises:
        HarnessError: as `compare`, and if a suite has fewer sides than two or than the first.
    """
    from harness.comparison.certificate import certificates

    chosen = options or Options()
    every = [[_side(side) for side in sides] for sides in suites]
    names = _names(every)
    built = [_suite(name, sides, chosen) for name, sides in zip(names, every, strict=True)]
    results = [result for _, found in built for result in found]
    return Comparison(
        suites=tuple(suite for suite, _ in built),
        results=tuple(_adjusted(results)),
        certificates=tuple(c for suite, _ in built for c in certificates(suite)),
        notes=tuple(notes([suite for suite, _ in built], results)),
        options=chosen,
    )


def _side(side: Side | Evaluation) -> Side:
    if isinstance(side, Side):
        return side
    from harness.comparison.stored import stored

    with side.reading() as store:  # opened again by what reads texts
        return stored(store, side.run)


def _names(suites: Sequence[Sequence[Side]]) -> list[str]:
    """What the suites are called: different names, also where two are alike."""
    counts = {len(sides) for sides in suites}
    if len(counts) != 1 or counts < {2}:
        raise HarnessError("a comparison needs two sides or more, and every suite as many")
    return names_of([next((s for s in sides if s.suite), sides[-1]) for sides in suites])


def _suite(name: str, sides: Sequence[Side], options: Options) -> tuple[Suite, list[Result]]:
    twice = [s.source for i, s in enumerate(sides) if s.source in [o.source for o in sides[:i]]]
    if twice:
        raise HarnessError(f"{twice[0]} is named twice; compare it with another one")
    lettered = {letter(place): side for place, side in enumerate(sides)}
    pairs = itertools.combinations(lettered, 2)
    matched: dict[tuple[str, str], Matched] = {}
    results: list[Result] = []
    for first, other in pairs:
        if first != letter(0) and not options.all_pairs:
            continue
        one, two = lettered[first], lettered[other]
        found = match(one, two, allow_different_samples=options.allow_different_samples)
        matched[first, other] = found
        allow = options.allow_different_scorers
        for label, same in scorers_of(one, two, options.scorers, allow_different=allow):
            pair = _Pair(name, first, other, one, two, label, same)
            results.append(_result(pair, found, options))
    return Suite(name, lettered, matched), results


def letter(place: int) -> str:
    """A, B, …, Z, A1, B1, … for a side."""
    return chr(ord("A") + place % 26) + (str(place // 26) if place >= 26 else "")


@dataclass(frozen=True, slots=True)
class _Pair:
    """A scorer of two sides: `label` in the first is `same` in the other."""

    suite: str
    first: str
    other: str
    one: Side
    two: Side
    label: str
    same: str


def _result(pair: _Pair, matched: Matched, options: Options) -> Result:
    import numpy as np

    one = pair.one.scored[pair.label].values[matched.first]
    two = pair.two.scored[pair.same].values[matched.other]
    lacks = np.isnan(one), np.isnan(two)
    both = ~(lacks[0] | lacks[1])
    lacking = int(lacks[0].sum()), int(lacks[1].sum())
    if not both.any():
        raise DataError(
            f"{pair.label} scored no sample of both {pair.one.source} and {pair.two.source}: of "
            f"{len(both)} common ones, {lacking[0]} and {lacking[1]} have no score"
        )
    first, other = one[both], two[both]
    clusters = _clusters(pair, matched, both)
    difference, test = measure(other, first, clusters, options.method, options.seed)
    return Result(
        suite=pair.suite,
        scorer=pair.label,
        first=pair.first,
        other=pair.other,
        mean_first=float(first.mean()),
        mean_other=float(other.mean()),
        difference=difference,
        test=test,
        detectable=_detectable(difference),
        lacking=lacking,
        moved=_moved(pair, matched, one, two, options.moved),
        values=(first, other),
        clusters=clusters,
        common=len(both),
    )


def _clusters(pair: _Pair, matched: Matched, both: NDArray[np.bool_]) -> Codes | None:
    """The clusters of the first side that names some; none where all stand for themselves."""
    import numpy as np

    side, places = (pair.one, matched.first) if pair.one.clusters else (pair.two, matched.other)
    if not side.clusters:
        return None
    found = codes([side.clusters[place] for place in places[both].tolist()])
    return found if len(np.unique(found)) < len(found) else None


def _detectable(difference: Difference) -> float | None:
    from harness.significance import detectable

    units = difference.n if difference.clusters is None else difference.clusters
    if not difference.se or units < 2:
        return None
    return detectable(difference.se, units - 1, power=POWER, alpha=ALPHA)


def _moved(pair: _Pair, matched: Matched, one: Array, two: Array, count: int) -> tuple[Moved, ...]:
    """The samples that moved most, the furthest first; of equal ones those that come first."""
    import numpy as np

    distance = np.nan_to_num(np.abs(two - one), nan=0.0)
    count = min(count, int(np.count_nonzero(distance)))
    if not count:
        return ()
    least = np.partition(distance, -count)[-count]
    candidates = np.flatnonzero(distance >= least)
    furthest = candidates[np.argsort(-distance[candidates], kind="stable")][:count].tolist()
    ours, theirs = matched.first[furthest].tolist(), matched.other[furthest].tolist()
    asked, answered = (_texts(pair.one, ours), _texts(pair.two, theirs))
    return tuple(
        Moved(pair.one.ids[a], float(one[i]), float(two[i]), (asked.get(a), answered.get(b)))
        for i, a, b in zip(furthest, ours, theirs, strict=True)
    )


def _texts(side: Side, places: Sequence[int]) -> Mapping[int, Texts]:
    return side.lookup.texts(places) if side.lookup else {}


def _adjusted(results: Sequence[Result]) -> list[Result]:
    from harness.significance import holm

    known = [r for r in results if r.difference.p is not None]
    adjusted = iter(holm([cast(float, r.difference.p) for r in known]))
    return [r if r.difference.p is None else replace(r, p_holm=next(adjusted)) for r in results]
