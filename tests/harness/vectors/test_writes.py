"""Writes: whole or not at all, with the datapoint and the problem named."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.datapoints import Datapoint, NumericRestrict, Query, Restrict
from harness.vectors import Problem, VectorError, VectorIndex, VectorSettings

GOOD = Datapoint("good", (1, 2), numeric_restricts=(NumericRestrict("n", 1),))


@pytest.fixture
def index() -> VectorIndex:
    index = VectorIndex(VectorSettings(2))
    index.upsert([Datapoint("old", (1, 1), numeric_restricts=(NumericRestrict("n", 5),))])
    return index


WRONG = [
    (Datapoint("x"), Problem.DIMENSIONS),
    (Datapoint("x", (1, 2, 3)), Problem.DIMENSIONS),
    (Datapoint("x", (1, math.nan)), Problem.NOT_FINITE),
    (Datapoint("x", (1, -math.inf)), Problem.NOT_FINITE),
    (Datapoint("x", (1, 1e39)), Problem.NOT_FINITE),
    (Datapoint("x", ("one", "two")), Problem.DIMENSIONS),  # type: ignore[arg-type]
    (Datapoint("", (1, 2)), Problem.EMPTY_ID),
    (Datapoint(7, (1, 2)), Problem.EMPTY_ID),  # type: ignore[arg-type]
    (Datapoint("\ud800", (1, 2)), Problem.BAD_TEXT),
    (Datapoint("good", (1, 2)), Problem.DUPLICATE_ID),
    (Datapoint("x", (1, 2), restricts=(Restrict("a"), Restrict("a"))), Problem.DUPLICATE_NAMESPACE),
    (
        Datapoint("x", (1, 2), numeric_restricts=(NumericRestrict("a", 1),) * 2),
        Problem.DUPLICATE_NAMESPACE,
    ),
    (
        Datapoint("x", (1, 2), numeric_restricts=(NumericRestrict("a", 1, "LESS"),)),
        Problem.OPERATOR_IN_DATAPOINT,
    ),
    (
        Datapoint("x", (1, 2), numeric_restricts=(NumericRestrict("n", 1.0),)),
        Problem.VALUE_TYPES,
    ),
    (
        Datapoint("x", (1, 2), numeric_restricts=(NumericRestrict("a", math.nan),)),
        Problem.BAD_NUMBER,
    ),
    (
        Datapoint("x", (1, 2), numeric_restricts=(NumericRestrict("a", 2**63),)),
        Problem.BAD_NUMBER,
    ),
    (Datapoint("x", (1, 2), numeric_restricts=(NumericRestrict("a", True),)), Problem.BAD_NUMBER),
    (Datapoint("x", (1, 2), metadata={"a": object()}), Problem.BAD_METADATA),
    (Datapoint("x", (1, 2), metadata={"a": math.nan}), Problem.BAD_METADATA),
    (Datapoint("x", (1, 2), text=b"x"), Problem.BAD_TEXT),  # type: ignore[arg-type]
    (Datapoint("x", (1, 2), restricts=(Restrict("a", "bc"),)), Problem.BAD_TEXT),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("wrong", "problem"), WRONG)
def test_one_wrong_datapoint_and_nothing_is_applied(
    index: VectorIndex, wrong: Datapoint, problem: Problem
) -> None:
    before = index.digest()
    with pytest.raises(VectorError, match=r"datapoint 1 \(id ") as caught:
        index.upsert([GOOD, wrong, Datapoint("later", (1, math.nan))])
    assert (caught.value.problem, caught.value.position) == (problem, 1)
    assert caught.value.id == (wrong.id if isinstance(wrong.id, str) else "")
    assert index.digest() == before
    index.upsert([GOOD])  # and the index goes on


def test_check_names_every_wrong_datapoint_once(index: VectorIndex) -> None:
    batch = [GOOD, Datapoint("x", (1,), metadata={"a": {1}}), GOOD, Datapoint("y", (1, math.nan))]
    errors = index.check(batch)
    assert [(error.position, error.problem) for error in errors] == [
        (1, Problem.DIMENSIONS),
        (2, Problem.DUPLICATE_ID),
        (3, Problem.NOT_FINITE),
    ]
    assert index.check([GOOD]) == []
    assert index.ids() == ["old"]


def test_an_upsert_replaces_all_of_a_datapoint(index: VectorIndex) -> None:
    index.upsert([Datapoint("old", (3, 4), text="new", crowding_tag="c")])
    assert index.read(["old"]) == [Datapoint("old", (3.0, 4.0), text="new", crowding_tag="c")]


def test_masks_replace_what_they_name(index: VectorIndex) -> None:
    full = Datapoint(
        "full", (1.0, 2.0), "text", (Restrict("a", ("b",)),), (NumericRestrict("n", 1),), "crowd",
        {"m": 1},
    )  # fmt: skip
    index.upsert([full])
    other = Datapoint("full", restricts=(Restrict("z", ("y",)),), metadata={"m": 2})
    index.upsert([other], mask=["restricts"])
    [now] = index.read(["full"])
    assert (now.restricts, now.numeric_restricts, now.metadata) == (other.restricts, (), {"m": 1})
    index.upsert([other], mask={"metadata"})
    [now] = index.read(["full"])
    assert (now.metadata, now.restricts, now.text) == ({"m": 2}, other.restricts, "text")
    assert (now.vector, now.crowding_tag) == ((1.0, 2.0), "crowd")
    index.upsert([Datapoint("full")], mask=("restricts", "metadata"))
    assert index.read(["full"]) == [Datapoint("full", (1.0, 2.0), "text", crowding_tag="crowd")]


def test_a_mask_wants_ids_that_are_there(index: VectorIndex) -> None:
    before = index.digest()
    with pytest.raises(VectorError, match="not in the index") as caught:
        index.upsert([Datapoint("old"), Datapoint("new", (1, 2))], mask=["restricts"])
    assert (caught.value.problem, caught.value.id) == (Problem.UNKNOWN_ID, "new")
    with pytest.raises(VectorError, match="no mask"):
        index.upsert([Datapoint("old")], mask=["vector"])  # type: ignore[list-item]
    assert index.digest() == before


def test_columns_make_the_same_datapoints(index: VectorIndex) -> None:
    points = [
        Datapoint(
            f"p{row}",
            (float(row), 1.0),
            text=None if row % 2 else f"text {row}",
            restricts=(Restrict("parity", (str(row % 2),)),),
            numeric_restricts=(NumericRestrict("row", row),),
            crowding_tag="c" * (row % 3),
        )
        for row in range(9)
    ]
    index.upsert(points)
    other = VectorIndex(VectorSettings(2))
    other.upsert(index.read(["old"]))
    other.load(
        [point.id for point in points],
        np.array([point.vector for point in points]),
        restricts=[point.restricts for point in points],
        numeric_restricts=[point.numeric_restricts for point in points],
        crowding_tags=[point.crowding_tag for point in points],
        texts=[point.text for point in points],
    )
    assert other.digest() == index.digest()
    assert other.read(["p4"]) == [points[4]]


@pytest.mark.parametrize(
    ("ids", "vectors", "restricts", "problem"),
    [
        (["a", "b"], [[1, 2]], None, Problem.DIMENSIONS),
        (["a"], [[1, 2, 3]], None, Problem.DIMENSIONS),
        (["a"], [["x", "y"]], None, Problem.DIMENSIONS),
        (["a", "b"], [[1, 2], [1, math.nan]], None, Problem.NOT_FINITE),
        (["a", "a"], [[1, 2], [1, 2]], None, Problem.DUPLICATE_ID),
        (["a"], [[1, 2]], [()] * 2, Problem.DIMENSIONS),
        (["a"], [[1, 2]], [(Restrict("n"), Restrict("n"))], Problem.DUPLICATE_NAMESPACE),
    ],
)
def test_wrong_columns_are_refused_whole(
    index: VectorIndex,
    ids: list[str],
    vectors: list[list[float]],
    restricts: list[tuple[Restrict, ...]] | None,
    problem: Problem,
) -> None:
    with pytest.raises(VectorError) as caught:
        index.load(ids, vectors, restricts=restricts)
    assert caught.value.problem is problem
    assert index.ids() == ["old"]


def test_equal_content_has_an_equal_digest_whatever_the_way(index: VectorIndex) -> None:
    start = index.digest()
    index.upsert([GOOD])
    assert index.digest() != start
    index.upsert([Datapoint("old", (9, 9))])
    index.remove(["good"])
    index.upsert([Datapoint("old", (1, 1), numeric_restricts=(NumericRestrict("n", 5),))])
    assert index.digest() == start


def test_deleted_rows_are_given_back_by_themselves() -> None:
    index = VectorIndex(VectorSettings(4, engine="exact"))
    vectors = np.random.default_rng(1).standard_normal((2000, 4)).astype(np.float32)
    names = [str(row) for row in range(2000)]
    most = 0
    for _ in range(15):
        index.load(names, vectors)
        dead = index.describe().details["dead_rows"]
        assert isinstance(dead, int)
        most = max(most, dead)
    assert most <= 10_000
    assert index.ids() == names
    assert (
        index.search([Query(vector=tuple(vectors[3]))], k=1)[0][0].id
        == index.nearest(vectors[3:4], k=1)[0][0][0]
    )
