"""How much of what is nearest an index finds: recall, and how much farther the rest lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.datapoints import Match

Matches = Sequence[Match]


def recall(
    found: Sequence[Matches], exact: Sequence[Matches], *, k: int, tolerance: float = 1e-5
) -> list[float]:
    """The share of each query's `k` nearest that was found, 0 to 1.

    A match counts if it is one of the exact `k`, or as far as the last of them within
    `tolerance`: of equally near datapoints it is chance which are found. One that is nearer than
    that and not among the exact is none of the eligible, and does not count; nor does an id that
    stands there twice. Where exact search finds fewer than `k`, their number is the whole; where
    it finds none, an empty result is 1 and any other 0.

    Args:
        found: what the index gave for each query, nearest first; all after the first `k` is left.
        exact: what exact search gives for the same queries under the same filters.
        k: at least 1.
        tolerance: relative to the distance, or absolute where that is below 1.

    Raises:
        ValueError: if the two differ in length, or `k` is below 1.
    """
    _check(found, exact, k)
    sign = _sign(found, exact, tolerance)
    pairs = zip(found, exact, strict=True)
    return [_share(ours, theirs, k, tolerance, sign) for ours, theirs in pairs]


def distance_ratio(
    found: Sequence[Matches], exact: Sequence[Matches], *, k: int, measure: str = "squared_l2"
) -> list[float | None]:
    """How many times farther what was found lies than what is nearest: 1 at best.

    The ratio of the sums of both distances over the ranks that both have, at most `k`. A dot
    product is taken as 1 - product, so vectors should have length 1. None where there is nothing
    to compare, or the nearest lie at no distance at all and what was found does not.

    Raises:
        ValueError: as `recall`.
    """
    _check(found, exact, k)
    dot = measure == "dot_product"
    sign = _sign(found, exact, 1e-5) if dot else 1
    return [
        _ratio(_distances(ours[:k], sign, dot), _distances(theirs[:k], 1, dot))
        for ours, theirs in zip(found, exact, strict=True)
    ]


def _check(found: Sequence[Matches], exact: Sequence[Matches], k: int) -> None:
    if len(found) != len(exact):
        raise ValueError(f"{len(found)} results and {len(exact)} exact ones; give one a query")
    if k < 1:
        raise ValueError(f"k is {k}; it must be 1 or more")


def _share(found: Matches, exact: Matches, k: int, tolerance: float, sign: int) -> float:
    wanted = exact[:k]
    if not wanted:
        return float(not found)
    known = {match.id: match.distance for match in exact}
    own = {match.id for match in wanted}
    last = wanted[-1].distance

    def hit(match: Match) -> bool:
        distance = known.get(match.id, sign * match.distance)
        full = len(wanted) == k  # with fewer, all that are eligible are there
        return match.id in own or (full and _close(distance, last, tolerance))

    seen = {match.id: match for match in found[:k]}
    return min(sum(map(hit, seen.values())), len(wanted)) / len(wanted)


def _close(one: float, other: float, tolerance: float) -> bool:
    return abs(one - other) <= tolerance * max(1.0, abs(other))


def _sign(found: Sequence[Matches], exact: Sequence[Matches], tolerance: float) -> int:
    """-1 if the index gives its distances with the other sign, as services do with products."""
    votes = 0
    for ours, theirs in zip(found, exact, strict=True):
        known: Mapping[str, float] = {match.id: match.distance for match in theirs}
        for match in ours:
            distance = known.get(match.id, 0.0)
            if not _close(distance, -distance, tolerance):
                votes += _close(match.distance, distance, tolerance)
                votes -= _close(match.distance, -distance, tolerance)
    return -1 if votes < 0 else 1


def _distances(matches: Matches, sign: int, dot: bool) -> list[float]:
    if dot:
        return [1 - sign * match.distance for match in matches]
    return [match.distance for match in matches]


def _ratio(found: Sequence[float], exact: Sequence[float]) -> float | None:
    both = min(len(found), len(exact))
    ours, theirs = sum(found[:both]), sum(exact[:both])
    if not both or (theirs <= 0 < ours):
        return None
    return ours / theirs if theirs > 0 else 1.0
