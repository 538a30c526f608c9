from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import Match
from harness.retrieval import distance_ratio, recall


def matches(*pairs: tuple[str, float]) -> list[Match]:
    return [Match(name, distance) for name, distance in pairs]


EXACT = matches(("a", 1.0), ("b", 2.0), ("c", 3.0), ("d", 4.0))


@pytest.mark.parametrize(
    ("found", "k", "expected"),
    [
        (EXACT, 4, 1.0),
        (EXACT[:1], 4, 0.25),
        (EXACT[::-1], 2, 0.0),
        (EXACT[1:], 2, 0.5),
        ([], 2, 0.0),
        (matches(("a", 1.0), ("a", 1.0)), 2, 0.5),
    ],
    ids=["all", "one", "the-far-ones", "half", "nothing", "one-twice"],
)
def test_the_share_of_the_nearest_that_was_found(
    found: list[Match], k: int, expected: float
) -> None:
    assert recall([found], [EXACT], k=k) == [expected]


def test_ties_and_duplicates_cost_no_recall() -> None:
    exact = matches(("a", 1.0), ("b", 2.0))
    assert recall([matches(("a", 1.0), ("twin", 2.0))], [exact], k=2) == [1.0]
    assert recall([matches(("a", 1.0), ("other", 2.1))], [exact], k=2) == [0.5]


def test_what_is_nearer_than_the_nearest_is_not_eligible() -> None:
    assert recall([matches(("a", 1.0), ("filtered-out", 0.5))], [EXACT], k=2) == [0.5]
    few = matches(("a", 1.0))  # all that is eligible
    assert recall([matches(("a", 1.0), ("same", 1.0))], [few], k=10) == [1.0]
    assert recall([matches(("same", 1.0))], [few], k=10) == [0.0]


def test_where_nothing_is_eligible_nothing_should_be_found() -> None:
    assert recall([[], EXACT], [[], []], k=10) == [1.0, 0.0]


def test_the_sign_of_products_does_not_matter() -> None:
    exact = matches(("a", 0.9), ("b", 0.8), ("c", 0.7))
    negative = matches(("a", -0.9), ("twin", -0.8))
    assert recall([negative], [exact], k=2) == [1.0]
    ratio = distance_ratio([negative], [exact], k=2, measure="dot_product")
    assert ratio == [pytest.approx(1.0)]


@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_recall_is_that_of_sets_where_no_distances_tie(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    distances = rng.permutation(30).astype(float)
    order = np.argsort(distances)
    exact = [Match(str(i), distances[i]) for i in order[:k]]
    chosen = sorted(rng.choice(30, k, replace=False), key=lambda i: distances[i])
    found = [Match(str(i), distances[i]) for i in chosen]
    share = len({m.id for m in exact} & {m.id for m in found}) / k
    assert recall([found], [exact], k=k) == [pytest.approx(share)]


def test_how_much_farther_what_was_found_lies() -> None:
    found = matches(("a", 1.0), ("d", 5.0))
    assert distance_ratio([found], [EXACT], k=2) == [2.0]
    assert distance_ratio([found], [EXACT], k=1) == [1.0]
    assert distance_ratio([[]], [EXACT], k=1) == [None]
    here = matches(("same", 0.0))
    assert distance_ratio([here, found], [here, here], k=1) == [1.0, None]


def test_ratios_of_products_are_of_distances() -> None:
    exact, found = matches(("a", 0.9)), matches(("b", 0.7))
    (ratio,) = distance_ratio([found], [exact], k=1, measure="dot_product")
    assert ratio is not None
    assert math.isclose(ratio, 0.3 / 0.1)


def test_results_must_pair_up() -> None:
    with pytest.raises(ValueError, match="1 results and 0 exact ones"):
        recall([EXACT], [], k=1)
    with pytest.raises(ValueError, match="k is 0"):
        recall([], [], k=0)
