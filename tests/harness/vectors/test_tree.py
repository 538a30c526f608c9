"""ScaNN as the approximate engine: what it may miss, and what may never go wrong with it."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.datapoints import Datapoint, Query, Restrict
from harness.vectors import VectorIndex, VectorSettings

pytest.importorskip("scann", reason="ScaNN is for Linux")

COUNT, DIMENSIONS = 3000, 16
Vectors = NDArray[np.float32]


def settings(measure: str = "dot_product", **others: object) -> VectorSettings:
    given = {"engine": "scann", "exact_below": 1000, "leaf_size": 50, "leaves_fraction": 0.2}
    return VectorSettings(DIMENSIONS, measure, **{**given, **others})  # type: ignore[arg-type]


def clustered(count: int, seed: int = 0) -> Vectors:
    """Vectors around 40 centres, the same for every seed."""
    centres = np.random.default_rng(99).standard_normal((40, DIMENSIONS))
    rng = np.random.default_rng(seed)
    noise = 0.4 * rng.standard_normal((count, DIMENSIONS))
    return (centres[rng.integers(0, 40, count)] + noise).astype(np.float32)


def numbered(count: int, prefix: str = "") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


@pytest.fixture
def index() -> VectorIndex:
    index = VectorIndex(settings())
    index.load(numbered(COUNT), clustered(COUNT))
    return index


def recall(index: VectorIndex, queries: Vectors, like: Query | None = None, k: int = 10) -> float:
    found, _ = index.nearest(queries, k=k, like=like)
    true, _ = index.nearest(queries, k=k, like=like, exact=True)
    hits = sum(len(set(a) & set(b)) for a, b in zip(found, true, strict=True))
    return hits / sum(map(len, true))


def has_tree(index: VectorIndex) -> bool:
    return index.describe().details["tree"] is not None


@pytest.mark.parametrize("measure", ["dot_product", "cosine", "squared_l2"])
@pytest.mark.parametrize("normalise", ["none", "unit_l2"])
def test_most_neighbours_are_found_at_their_exact_distance(measure: str, normalise: str) -> None:
    index = VectorIndex(settings(measure, normalise=normalise))
    index.load(numbered(COUNT), clustered(COUNT))
    queries = clustered(100, seed=1)
    assert recall(index, queries) > 0.8
    assert has_tree(index)
    found, distances = index.nearest(queries, k=10)
    true, exact = index.nearest(queries, k=COUNT, exact=True)
    for row in range(100):
        at = [true[row].index(key) for key in found[row]]
        assert at == sorted(at)
        np.testing.assert_array_equal(distances[row], exact[row][at])


def test_all_leaves_and_all_candidates_are_exact(index: VectorIndex) -> None:
    like = Query(leaves_fraction=1.0, approximate_count=700)
    assert recall(index, clustered(100, seed=1), like) == 1.0
    few = Query(leaves_fraction=0.02, approximate_count=10)
    assert recall(index, clustered(100, seed=1), few) < 0.9


def test_a_query_that_its_leaves_leave_short_gets_the_rest(index: VectorIndex) -> None:
    like = Query(leaves_fraction=1e-6)
    found, distances = index.nearest(clustered(20, seed=1), k=400, like=like)
    assert {len(set(own)) for own in found} == {400}
    assert not np.isnan(distances).any()


def test_few_datapoints_are_searched_exactly() -> None:
    index = VectorIndex(settings())
    index.load(numbered(999), clustered(999))
    assert recall(index, clustered(100, seed=1), Query(leaves_fraction=0.02)) == 1.0
    assert not has_tree(index)
    index.upsert([Datapoint("one more", (0.0,) * DIMENSIONS)])
    assert has_tree(index)
    index.remove(["one more"])
    assert has_tree(index)  # kept, for there may soon be more again
    assert recall(index, clustered(100, seed=1), Query(leaves_fraction=0.02)) == 1.0
    index.remove(numbered(600))
    assert not has_tree(index)


@pytest.mark.parametrize(("share", "least"), [(0.001, 1.0), (0.01, 1.0), (0.1, 1.0), (0.5, 0.85)])
def test_filters_are_exact_when_few_pass(share: float, least: float) -> None:
    rng = np.random.default_rng(4)
    index = VectorIndex(settings())
    yes = (Restrict("in", ("yes",)),)
    restricts = [yes if flag else () for flag in rng.random(COUNT) < share]
    index.load(numbered(COUNT), clustered(COUNT), restricts=restricts)
    like = Query(restricts=yes)
    assert recall(index, clustered(100, seed=1), like) >= least
    found, _ = index.nearest(clustered(100, seed=1), k=10, like=like)
    eligible = {str(row) for row in range(COUNT) if restricts[row]}
    assert {len(own) for own in found} == {min(10, len(eligible))}
    assert all(set(own) <= eligible for own in found)


def test_neighbours_behind_a_crowd_are_reached() -> None:
    index = VectorIndex(settings())
    tags = ["crowd"] * (COUNT - 20) + numbered(20)
    index.load(numbered(COUNT), clustered(COUNT), crowding_tags=tags)
    found = index.search([Query(vector=tuple(clustered(1)[0]), crowding_limit=1)], k=10)[0]
    assert len({match.crowding_tag or match.id for match in found}) == 10


def test_churn_leaves_recall_and_no_ghosts(index: VectorIndex) -> None:
    queries = clustered(100, seed=1)
    before = recall(index, queries)
    rng = np.random.default_rng(7)
    index.remove([str(row) for row in rng.choice(COUNT, 600, replace=False)])
    index.load(numbered(600, "new"), clustered(600, seed=2))
    kept = index.ids()[:300]
    index.load(kept, clustered(300, seed=3))
    assert has_tree(index)
    found, distances = index.nearest(queries, k=10)
    stored = {point.id: np.array(list(point.vector)) for point in index.read(index.ids())}
    for query, keys, own in zip(queries, found, distances, strict=True):
        true = [float(np.dot(query.astype(float), stored[key])) for key in keys]
        np.testing.assert_allclose(own, true, rtol=1e-9)
    assert recall(index, queries) > before - 0.03
    own_vectors = clustered(300, seed=3)
    [[nearest]] = index.nearest(own_vectors[:1], k=1, like=Query(leaves_fraction=1.0))[0]
    assert np.dot(own_vectors[0], stored[nearest]) >= np.dot(own_vectors[0], stored[kept[0]]) - 1e-5


def test_the_tree_is_built_anew_when_the_index_doubles(index: VectorIndex) -> None:
    queries = clustered(50, seed=1)
    recall(index, queries)
    assert index.describe().details["tree"] == {"leaves": 60, "built_of": 3000}
    index.load(numbered(2900, "a"), clustered(2900, seed=2))
    assert index.describe().details["tree"] == {"leaves": 60, "built_of": 3000}
    index.load(numbered(100, "b"), clustered(100, seed=3))
    assert index.describe().details["tree"] == {"leaves": 120, "built_of": 6000}
    assert recall(index, queries) > 0.8


def test_vectors_that_would_overflow_are_searched_exactly(index: VectorIndex) -> None:
    index.prepare()
    index.upsert([Datapoint("huge", (1e30,) * DIMENSIONS)])
    assert not has_tree(index)
    assert index.search([Query(vector=(1.0,) * DIMENSIONS)], k=1)[0][0].id == "huge"


def test_queries_that_would_overflow_are_searched_exactly(index: VectorIndex) -> None:
    index.prepare()
    query = np.full(DIMENSIONS, 1e38, np.float32)
    [[found]] = index.search([Query(vector=query)], k=1)
    assert has_tree(index)
    assert index.search([Query(vector=query)], k=1, exact=True) == [[found]]


def test_compacting_keeps_the_tree(index: VectorIndex) -> None:
    queries = clustered(50, seed=1)
    index.prepare()
    index.remove(numbered(1500))
    before = index.nearest(queries, k=10)
    index.compact()
    assert has_tree(index)
    after = index.nearest(queries, k=10)
    assert after[0] == before[0]
    np.testing.assert_array_equal(after[1], before[1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An index with its tree, changed after the tree was saved, and then killed (not closed)."""
    with VectorIndex(settings(), folder=tmp_path / "i") as index:
        index.load(numbered(COUNT), clustered(COUNT))
        index.prepare()
    saved = (tmp_path / "i" / "scann-0").rename(tmp_path / "saved")
    with VectorIndex(folder=tmp_path / "i") as index:
        index.remove(numbered(500))
        index.load(numbered(500, "new"), clustered(500, seed=2))
    saved.rename(tmp_path / "i" / "scann-0")
    return tmp_path / "i"


def test_a_saved_tree_is_brought_up_to_date(folder: Path) -> None:
    saved = (folder / "scann-0" / "manifest.json").read_bytes()
    with VectorIndex(folder=folder) as index:
        queries = clustered(500, seed=2)
        found, _ = index.nearest(queries, k=1, like=Query(leaves_fraction=1.0))
        assert (folder / "scann-0" / "manifest.json").read_bytes() == saved  # not built anew
        assert not {key for own in found for key in own} & set(numbered(500))
        assert recall(index, queries) > 0.8
    assert (folder / "scann-0" / "manifest.json").read_bytes() != saved


@pytest.mark.parametrize("name", ["rows.npy", "dataset.npy", "manifest.json", "scann_config.pb"])
def test_a_damaged_tree_is_built_anew(folder: Path, name: str) -> None:
    path = folder / "scann-0" / name
    data = path.read_bytes()
    path.write_bytes(data[:-40] + bytes(40))
    with VectorIndex(folder=folder) as index:
        assert recall(index, clustered(50, seed=1)) > 0.8
        assert index.describe().details["tree"] == {"leaves": 60, "built_of": COUNT}


def test_readers_beside_a_writer_see_nothing_wrong() -> None:
    index = VectorIndex(settings(exact_below=300))
    start = clustered(1500)
    index.load(numbered(1500), start)
    index.prepare()
    vectors = dict(zip(numbered(1500), start, strict=True))
    gone: set[str] = set()
    stop = threading.Event()
    wrong: list[str] = []
    reads = []

    def read(seed: int) -> None:
        rng = np.random.default_rng(seed)
        while not stop.is_set():
            queries = clustered(8, seed=int(rng.integers(1 << 30)))
            certainly_gone = set(gone)
            found, distances = index.nearest(queries, k=10)
            reads.append(len(found))
            for query, keys, own in zip(queries, found, distances, strict=True):
                true = [float(np.dot(query.astype(float), vectors[key])) for key in keys]
                wrong.extend(["pair"] * int((np.abs(own - true) > 1e-6).sum()))
                wrong.extend(["ghost"] * len(certainly_gone & set(keys)))

    readers = [threading.Thread(target=read, args=(seed,)) for seed in range(2)]
    for reader in readers:
        reader.start()
    rng = np.random.default_rng(5)
    alive = numbered(1500)
    for number in range(250):
        keys = numbered(8, f"n{number}-")
        fresh = 3 * clustered(8, seed=number)
        vectors.update(zip(keys, fresh, strict=True))
        index.load(keys, fresh)
        seen, _ = index.nearest(fresh, k=60, like=Query(leaves_fraction=1.0))
        wrong.extend("missed" for key, own in zip(keys, seen, strict=True) if key not in own)
        old = [alive.pop(int(rng.integers(len(alive)))) for _ in range(8)]
        index.remove(old)
        gone.update(old)
        alive += keys
        if number % 100 == 50:
            index.compact()
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert len(reads) > 50
    assert sorted(index.ids()) == sorted(alive)
    assert has_tree(index)
