"""Exact search: every measure against numpy in float64, ties, limits, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.datapoints import Datapoint, Match, NumericRestrict, Query, Restrict
from harness.vectors import (
    Measure,
    Normalise,
    Problem,
    VectorError,
    VectorIndex,
    VectorSettings,
    crowding_number,
)

MEASURES: list[Measure] = ["dot_product", "cosine", "squared_l2", "l1"]
NORMALISES: list[Normalise] = ["none", "unit_l2"]


def index_of(
    vectors: NDArray[np.float32], measure: Measure = "dot_product", normalise: Normalise = "none"
) -> VectorIndex:
    index = VectorIndex(VectorSettings(vectors.shape[1], measure, normalise, engine="exact"))
    index.load([str(row) for row in range(len(vectors))], vectors)
    return index


def true_distances(
    queries: NDArray[np.float32],
    vectors: NDArray[np.float32],
    measure: Measure,
    normalise: Normalise,
) -> NDArray[np.float64]:
    wide, stored = queries.astype(np.float64), vectors.astype(np.float64)
    if normalise == "unit_l2" or measure == "cosine":
        wide = wide / np.linalg.norm(wide, axis=1, keepdims=True)
        stored = stored / np.linalg.norm(stored, axis=1, keepdims=True)
    if measure == "dot_product":
        return wide @ stored.T
    if measure == "cosine":
        return 1 - wide @ stored.T
    apart = wide[:, None, :] - stored[None, :, :]
    power = apart**2 if measure == "squared_l2" else np.abs(apart)
    return np.asarray(power.sum(axis=2))


def ids(matches: Sequence[Match]) -> list[str]:
    return [match.id for match in matches]


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("normalise", NORMALISES)
@pytest.mark.parametrize(
    ("count", "dimensions", "offset", "length"),
    [
        pytest.param(9, 1, 0, 1, id="few"),
        pytest.param(9000, 12, 0, 1, id="many"),
        pytest.param(6000, 6, 500, 1, id="far from the origin"),
        pytest.param(3000, 6, 0, 1e25, id="squares overflow float32"),
        pytest.param(3000, 6, 0, 1e-25, id="squares underflow float32"),
    ],
)
def test_neighbours_are_those_of_float64(
    measure: Measure,
    normalise: Normalise,
    count: int,
    dimensions: int,
    offset: float,
    length: float,
) -> None:
    rng = np.random.default_rng(count + dimensions)
    stored = (length * (rng.standard_normal((count, dimensions)) + offset)).astype(np.float32)
    queries = (length * (rng.standard_normal((5, dimensions)) + offset)).astype(np.float32)
    names, distances = index_of(stored, measure, normalise).nearest(queries, k=7)
    true = true_distances(queries, stored, measure, normalise)
    nearest = np.sort(-true if measure == "dot_product" else true, axis=1)[:, :7]
    nearest = -nearest if measure == "dot_product" else nearest
    np.testing.assert_allclose(distances, nearest, rtol=1e-6, atol=1e-12 * length)
    own = np.take_along_axis(true, np.array(names).astype(int), axis=1)
    np.testing.assert_allclose(distances, own, rtol=1e-6, atol=1e-12 * length)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    ("stored", "asked"),
    [(1, 1), (1e10, 1e30), (1, 1e37), (1e-10, 1e-30), (1e-14, 1e-37), (1e25, 1)],
)
@pytest.mark.parametrize("count", [40, 2000])
def test_a_query_finds_alone_what_it_finds_among_others(
    measure: Measure, stored: float, asked: float, count: int
) -> None:
    rng = np.random.default_rng(count)
    vectors = (stored * rng.standard_normal((count, 9))).astype(np.float32)
    queries = (asked * rng.standard_normal((4, 9))).astype(np.float32)
    index = index_of(vectors, measure)
    index.remove([str(row) for row in range(0, count, 7)])
    true = true_distances(queries, vectors, measure, "none")
    true[:, ::7] = -np.inf if measure == "dot_product" else np.inf
    nearest = np.sort(-true if measure == "dot_product" else true, axis=1)[:, :7]
    together = index.search([Query(vector=query) for query in queries], k=7)
    for query, matches, expected in zip(queries, together, np.abs(nearest), strict=True):
        assert index.search([Query(vector=query)], k=7) == [matches]
        found = [abs(match.distance) for match in matches]
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("count", [20, 5000])
@pytest.mark.parametrize("measure", MEASURES)
def test_equal_distances_come_in_the_order_of_their_last_write(
    measure: Measure, count: int
) -> None:
    index = index_of(np.tile(np.array([3, 4], np.float32), (count, 1)), measure)
    query = Query(vector=(3, 4))
    assert ids(index.search([query], k=4)[0]) == ["0", "1", "2", "3"]
    index.upsert([Datapoint("1", (3, 4))])
    assert ids(index.search([query], k=4)[0]) == ["0", "2", "3", "4"]
    assert ids(index.search([query], k=count)[0])[-1] == "1"


@pytest.mark.parametrize("measure", ["cosine", "squared_l2", "l1"])
def test_the_distance_to_itself_is_exactly_zero(measure: Measure) -> None:
    vectors = np.random.default_rng(1).standard_normal((300, 37)).astype(np.float32)
    names, distances = index_of(vectors, measure).nearest(vectors, k=1)
    assert [key for [key] in names] == [str(row) for row in range(300)]
    assert (distances == 0.0).all()


def test_a_null_vector_has_no_direction() -> None:
    index = index_of(np.array([[0, 0], [2, 0]], np.float32), "cosine")
    [[near, far]] = index.search([Query(vector=(5, 0))], k=2)
    assert (near.id, near.distance, far.id, far.distance) == ("1", 0.0, "0", 1.0)
    assert {match.distance for match in index.search([Query(vector=(0, 0))], k=2)[0]} == {1.0}


def test_what_was_deleted_or_replaced_is_never_found() -> None:
    rng = np.random.default_rng(2)
    vectors = rng.standard_normal((6000, 8)).astype(np.float32)
    index = index_of(vectors, "squared_l2")
    gone = [str(row) for row in range(0, 6000, 2)]
    assert index.remove([*gone, "no such id", gone[0]]) == 3000
    index.upsert([Datapoint("1", tuple(vectors[0]))])
    names, distances = index.nearest(vectors[:50], k=6000)
    assert all(set(own) == {str(row) for row in range(1, 6000, 2)} for own in names)
    assert names[0][0] == "1"
    assert distances[0][0] == 0.0
    assert np.isnan(distances[:, 3000:]).all()
    assert len(index) == 3000


def test_an_empty_index_finds_nothing() -> None:
    index = VectorIndex(VectorSettings(3))
    assert index.search([Query(vector=(1, 2, 3))] * 2, k=5) == [[], []]
    assert index.search([], k=5) == []
    index.upsert([])
    assert (index.ids(), len(index), "x" in index) == ([], 0, False)


def test_the_crowding_limit_looks_as_far_as_it_must() -> None:
    count = 3000
    vectors = np.linspace(1, 0, count, dtype=np.float32)[:, None]
    index = VectorIndex(VectorSettings(1, engine="exact"))
    tags = ["crowd"] * 2900 + ["other"] * 50 + [""] * 50
    index.load([str(row) for row in range(count)], vectors, crowding_tags=tags)
    [found] = index.search([Query(vector=(1,), crowding_limit=2)], k=6)
    assert ids(found) == ["0", "1", "2900", "2901", "2950", "2951"]
    assert [match.crowding_tag for match in found] == ["crowd"] * 2 + ["other"] * 2 + [None] * 2


def test_full_matches_have_the_datapoint_as_it_was_written() -> None:
    point = Datapoint(
        "a",
        (0.5, 2.0),
        text="ein Text",
        restricts=(Restrict("colour", ("red",), ("blue",)),),
        numeric_restricts=(NumericRestrict("year", 2001), NumericRestrict("price", 0.1)),
        crowding_tag="shop",
        metadata={"nested": {"list": [1, None, "x"]}},
    )
    index = VectorIndex(VectorSettings(2, normalise="unit_l2"))
    index.upsert([point])
    [[match]] = index.search([Query(vector=(1, 4))], k=3, full=True)
    assert (match.datapoint, match.text, match.crowding_tag) == (point, "ein Text", "shop")
    assert index.read(["a", "b", "a"]) == [point, point]
    assert index.search([Query(vector=(1, 4))], k=3)[0][0].datapoint is None


def test_queries_of_one_call_may_differ_in_everything() -> None:
    index = index_of(np.eye(4, dtype=np.float32))
    index.upsert([Datapoint("1", (0, 1, 0, 0), restricts=(Restrict("n", ("odd",)),))])
    odd = Query(vector=(1, 0.5, 0, 0), restricts=(Restrict("n", ("odd",)),))
    plain = Query(vector=(1, 0.5, 0, 0), leaves_fraction=0.5, approximate_count=3)
    found = index.search([odd, plain, odd], k=2)
    assert [ids(matches) for matches in found] == [["1"], ["0", "1"], ["1"]]


@pytest.mark.parametrize(
    ("query", "problem", "says"),
    [
        (Query(), Problem.NO_VECTOR, "no vector"),
        (Query(vector=(1,)), Problem.DIMENSIONS, "1 dimensions, the index 2"),
        (Query(vector=(1, math.nan)), Problem.NOT_FINITE, "NaN"),
        (Query(vector=(1, 1e39)), Problem.NOT_FINITE, "float32"),
        (Query(vector=("a", "b")), Problem.DIMENSIONS, "no collection"),  # type: ignore[arg-type]
        (Query(vector=(1, 2), crowding_limit=0), Problem.BAD_COUNT, "crowding_limit is 0"),
        (Query(vector=(1, 2), approximate_count=-1), Problem.BAD_COUNT, "approximate_count"),
        (Query(vector=(1, 2), leaves_fraction=0.0), Problem.BAD_FRACTION, "leaves_fraction is 0.0"),
        (Query(vector=(1, 2), leaves_fraction=1.1), Problem.BAD_FRACTION, "at most 1"),
        (
            Query(vector=(1, 2), numeric_restricts=(NumericRestrict("n", 1),)),
            Problem.OPERATOR_MISSING,
            "needs an operator",
        ),
        (
            Query(vector=(1, 2), numeric_restricts=(NumericRestrict("n", math.inf, "LESS"),)),
            Problem.BAD_NUMBER,
            "inf",
        ),
        (Query(vector=(1, 2), restricts=(Restrict("n", "red"),)), Problem.BAD_TEXT, "tuple"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_query_is_named(query: Query, problem: Problem, says: str) -> None:
    index = index_of(np.array([[1, 2]], np.float32))
    with pytest.raises(VectorError, match=f"query 1: .*{says}") as caught:
        index.search([Query(vector=(1, 2)), query], k=1)
    assert (caught.value.problem, caught.value.position) == (problem, 1)


@pytest.mark.parametrize("k", [0, -1, True, 1.5])
def test_k_must_be_a_count(k: int) -> None:
    with pytest.raises(VectorError, match="k is") as caught:
        index_of(np.array([[1, 2]], np.float32)).search([Query(vector=(1, 2))], k=k)
    assert caught.value.problem is Problem.BAD_COUNT


def test_arrays_of_queries_are_looked_at_too() -> None:
    index = index_of(np.array([[1, 2]], np.float32))
    with pytest.raises(VectorError, match=r"\(n, 2\)"):
        index.nearest(np.array([[1, 2, 3]], np.float32), k=1)
    with pytest.raises(VectorError, match=r"query 1: .*NaN"):
        index.nearest(np.array([[1, 2], [1, math.nan]], np.float32), k=1)


def test_vectors_may_be_any_collection_of_numbers() -> None:
    index = VectorIndex(VectorSettings(2))
    index.upsert([Datapoint("dict", {1.0: "x", 2.0: "y"}), Datapoint("array", np.array([2, 1]))])
    assert ids(index.search([Query(vector={1.0, 3.0})], k=2)[0]) == ["dict", "array"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"dimensions": 0}, "dimensions is 0"),
        ({"dimensions": 3.0}, "an integer"),
        ({"measure": "manhattan"}, "one of dot_product, cosine, squared_l2, l1"),
        ({"leaves_fraction": 0}, "above 0"),
        ({"exact_below": -1}, "at least 0"),
        ({"engine": "scann", "measure": "l1"}, "no measure l1"),
    ],
)
def test_settings_out_of_range_are_named(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(VectorError, match=says) as caught:
        VectorIndex(VectorSettings(**{"dimensions": 3, **wrong}))  # type: ignore[arg-type]
    assert caught.value.problem is Problem.SETTINGS


def test_a_closed_index_says_so() -> None:
    index = index_of(np.array([[1, 2]], np.float32))
    index.close()
    index.close()
    for call in (index.ids, index.describe, index.compact, index.prepare, index.digest):
        with pytest.raises(VectorError, match="closed") as caught:
            call()
        assert caught.value.problem is Problem.CLOSED
    with pytest.raises(VectorError, match="closed"):
        index.search([Query(vector=(1, 2))], k=1)


def test_crowding_numbers_are_the_same_everywhere() -> None:
    numbers = [crowding_number(tag) for tag in ("", "a", "b", "\udc80")]
    assert numbers[0] == 0
    assert len(set(numbers)) == 4
    assert all(0 <= number < 2**63 for number in numbers)
    # blake2b-64("a") = 0x40f89e395b66422f (RFC 7693's function at 8 bytes), halved.
    assert numbers[1] == 0x40F89E395B66422F >> 1
