"""Filters, crowding and writes against a slow reference that looks at every datapoint."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.datapoints import Datapoint, NumericOp, NumericRestrict, Query, Restrict
from harness.vectors import VectorIndex, VectorSettings

COMPARE: dict[NumericOp, Callable[[float, float], bool]] = {
    "LESS": operator.lt,
    "LESS_EQUAL": operator.le,
    "EQUAL": operator.eq,
    "GREATER_EQUAL": operator.ge,
    "GREATER": operator.gt,
    "NOT_EQUAL": operator.ne,
}

tokens = st.lists(st.sampled_from("abc"), max_size=2).map(tuple)
names = st.sampled_from(["p", "q"])
whole = st.integers(-3, 3) | st.sampled_from([2**53 + 1, -(2**63), 2**63 - 1])
broken = st.sampled_from([-1.5, -1.0, 0.0, 0.5, 2.0, 1e300])


@st.composite
def restricts(draw: st.DrawFn) -> tuple[Restrict, ...]:
    chosen = draw(st.lists(names, unique=True, max_size=2))
    return tuple(Restrict(name, draw(tokens), draw(tokens)) for name in chosen)


@st.composite
def numbers(draw: st.DrawFn) -> tuple[NumericRestrict, ...]:
    own = []
    if draw(st.booleans()):
        own.append(NumericRestrict("whole", draw(whole)))
    if draw(st.booleans()):
        own.append(NumericRestrict("broken", draw(broken)))
    return tuple(own)


@st.composite
def datapoints(draw: st.DrawFn) -> Datapoint:
    return Datapoint(
        draw(st.sampled_from("uvwxyz")),
        (draw(st.integers(-4, 4)), draw(st.integers(-4, 4))),
        restricts=draw(restricts()),
        numeric_restricts=draw(numbers()),
        crowding_tag=draw(st.sampled_from(["", "k", "l"])),
    )


@st.composite
def queries(draw: st.DrawFn) -> Query:
    compared = st.builds(
        NumericRestrict, st.just("whole"), whole | broken, st.sampled_from(get_args(NumericOp))
    ) | st.builds(NumericRestrict, st.just("broken"), broken, st.sampled_from(get_args(NumericOp)))
    return Query(
        vector=(draw(st.integers(-4, 4)), draw(st.integers(-4, 4))),
        restricts=draw(restricts()),
        numeric_restricts=tuple(draw(st.lists(compared, max_size=2))),
        crowding_limit=draw(st.none() | st.integers(1, 2)),
    )


writes = st.lists(
    st.lists(datapoints(), max_size=4, unique_by=lambda point: point.id)
    | st.lists(st.sampled_from("uvwxyz"), max_size=3).map(tuple),
    max_size=6,
)


def passes(point: Datapoint, query: Query) -> bool:
    own = {restrict.namespace: restrict for restrict in point.restricts}
    values = {number.namespace: number.value for number in point.numeric_restricts}
    for restrict in query.restricts:
        mine = own.get(restrict.namespace, Restrict(restrict.namespace))
        if restrict.allow and not set(restrict.allow) & set(mine.allow):
            return False
        if set(restrict.deny) & set(mine.allow) or set(restrict.allow) & set(mine.deny):
            return False
    return all(
        number.namespace in values
        and number.op is not None
        and COMPARE[number.op](values[number.namespace], number.value)
        for number in query.numeric_restricts
    )


def slow_search(stored: Mapping[str, Datapoint], query: Query, k: int) -> list[str]:
    """All datapoints in the order of their last write, filtered, sorted, and limited."""
    x, y = query.vector
    eligible = [point for point in stored.values() if passes(point, query)]
    eligible.sort(key=lambda point: sum((a - b) ** 2 for a, b in zip((x, y), point.vector)))  # noqa: B905
    found: list[str] = []
    seen: Counter[str] = Counter()
    for point in eligible:
        seen[point.crowding_tag] += 1
        limit = query.crowding_limit if point.crowding_tag else None
        if limit is None or seen[point.crowding_tag] <= limit:
            found.append(point.id)
    return found[:k]


@settings(max_examples=80, deadline=None)
@given(writes, st.lists(queries(), min_size=1, max_size=4), st.integers(1, 4))
def test_searches_agree_with_the_slow_reference(
    written: list[list[Datapoint] | tuple[str, ...]], asked: list[Query], k: int
) -> None:
    with TemporaryDirectory() as folder:
        index = VectorIndex(VectorSettings(2, "squared_l2"), folder=Path(folder) / "i")
        stored: dict[str, Datapoint] = {}
        for write in written:
            if isinstance(write, tuple):
                index.remove(write)
            else:
                index.upsert(write)
            for item in write:
                stored.pop(item if isinstance(item, str) else item.id, None)
            stored |= {item.id: item for item in write if isinstance(item, Datapoint)}
            check(index, stored, asked, k)
        before = index.digest()
        index.close()
        with VectorIndex(folder=Path(folder) / "i") as again:
            check(again, stored, asked, k)
            again.compact()
            check(again, stored, asked, k)
            assert again.digest() == before


def check(index: VectorIndex, stored: Mapping[str, Datapoint], asked: list[Query], k: int) -> None:
    found = index.search(asked, k=k)
    expected = [slow_search(stored, query, k) for query in asked]
    assert [[match.id for match in matches] for matches in found] == expected
    assert index.read(list(stored)) == list(stored.values())
    assert index.ids() == list(stored)


@pytest.mark.parametrize("share", [0.0002, 0.01, 0.1, 0.5, 1.0])
def test_filters_of_any_share_miss_nothing_on_the_exact_path(share: float) -> None:
    rng = np.random.default_rng(5)
    vectors = rng.standard_normal((5000, 6)).astype(np.float32)
    eligible = rng.random(5000) < share
    index = VectorIndex(VectorSettings(6, engine="exact"))
    index.load(
        [str(row) for row in range(5000)],
        vectors,
        restricts=[(Restrict("in", ("yes",)),) if flag else () for flag in eligible],
    )
    queries = rng.standard_normal((10, 6)).astype(np.float32)
    like = Query(restricts=(Restrict("in", ("yes",)),))
    for _ in range(2):  # the second time from the cache
        found, _ = index.nearest(queries, k=10, like=like)
        products = queries.astype(np.float64) @ vectors.astype(np.float64).T
        products[:, ~eligible] = -np.inf
        order = np.argsort(-products, axis=1)[:, : min(10, eligible.sum())]
        assert found == [[str(row) for row in rows] for rows in order]


def test_a_write_is_seen_by_a_filter_that_was_asked_before() -> None:
    index = VectorIndex(VectorSettings(1))
    like = Query(vector=(1,), restricts=(Restrict("n", ("t",)),))
    tagged = Datapoint("a", (1,), restricts=(Restrict("n", ("t",)),))
    assert index.search([like], k=5) == [[]]
    index.upsert([tagged])
    assert [match.id for match in index.search([like], k=5)[0]] == ["a"]
    index.upsert([Datapoint("a")], mask=["restricts"])
    assert index.search([like], k=5) == [[]]
    index.upsert([tagged])
    index.remove(["a"])
    assert index.search([like], k=5) == [[]]
