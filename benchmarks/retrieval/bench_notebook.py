"""The flow of Google's notebook on stream updates, step by step, against the emulator.

An index is made from a file in a bucket and deployed to an endpoint in a VPC; a datapoint comes,
gets another restrict, another crowding tag, and goes; and every step changes what is found.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from harness import Datapoint, Query, Restrict, retriever
from harness.indexing import IndexSpec, ManagedIndex
from harness.retrieval import recall
from harness.testing.vertex import vertex_emulator

from . import fidelity
from .vectors import clustered

Vectors = list[list[float]]

_COUNT, _DIMENSIONS, _SECONDS = 101, 100, 10.0
_NETWORKS = {"private": "projects/1/global/networks/vpc", "public": "public"}
_NEW = "101"


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    """The datapoints' vectors, and one more to look for."""
    data = clustered(_COUNT, _DIMENSIONS, queries=1)
    every: Vectors = data.vectors.tolist() + data.queries.tolist()
    return every


def points(vectors: Vectors) -> list[Datapoint]:
    """Each has its own id as a token of the namespace `class`, and one of two crowding tags."""
    return [point(n, vectors[n], str(n), "ab"[n % 2]) for n in range(_COUNT)]


def point(number: int, vector: list[float], token: str, tag: str) -> Datapoint:
    return Datapoint(str(number), vector, None, allowed(token), (), tag)


def allowed(*tokens: str) -> tuple[Restrict, ...]:
    return (Restrict("class", tokens),)


@pytest.fixture
def bucket(vectors: Vectors, tmp_path: Path) -> Path:
    """The folder that the emulator takes for a bucket, with the file of datapoints."""
    lines = [json.dumps(_row(one)) for one in points(vectors)]
    (tmp_path / "datapoints.json").write_text("\n".join(lines), "utf-8")
    return tmp_path


@contextmanager
def deployed(address: str, way: str) -> Iterator[ManagedIndex]:
    """The index, made and deployed; then undeployed and deleted, and the endpoint with it."""
    settings = f"address={address},index=stream,via={way},network={_NETWORKS[way]}"
    index = retriever(f"vertex:{settings}")
    assert isinstance(index, ManagedIndex)
    index.create(
        IndexSpec(
            _DIMENSIONS,
            source="gs://notebook",
            leaf_size=500,
            leaves_fraction=0.07,
            approximate_count=150,
        )
    )
    index.serve()
    yield index
    index.delete()
    assert index.listed() == []


def _row(one: Datapoint) -> dict[str, object]:
    """A datapoint as the notebook writes it."""
    restricts = [{"namespace": r.namespace, "allow": list(r.allow)} for r in one.restricts]
    return {
        "id": one.id,
        "embedding": list(one.vector),
        "restricts": restricts,
        "crowding_tag": one.crowding_tag,
    }


@pytest.mark.parametrize("way", sorted(_NETWORKS))
def bench_notebook(bucket: Path, vectors: Vectors, tell: Callable[[str], None], way: str) -> None:
    """All of the notebook, from the index's making to its end, within ten seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    with (
        vertex_emulator(buckets=(f"notebook={bucket}",)) as emulator,
        deployed(emulator.address, way) as index,
    ):
        steps(index, vectors)
    cpu = time.process_time() - cpu
    tell(f"{time.perf_counter() - wall:.2f} s, {cpu:.2f} s of CPU time, imports included")
    assert cpu < _SECONDS  # on an idle machine all that it takes


def steps(index: ManagedIndex, vectors: Vectors) -> None:
    """Every change of the notebook, and what must be found after it."""
    asked = Query(vector=vectors[_COUNT])

    def found(**wanted: object) -> list[str]:
        query = replace(asked, **wanted)  # type: ignore[arg-type]
        return [match.id for match in index.search([query], k=10)[0]]

    def put(token: str, tag: str) -> None:
        index.upsert([point(_COUNT, vectors[_COUNT], token, tag)])

    tag_of = {one.id: one.crowding_tag for one in points(vectors)}
    before = index.search([asked], k=10)
    true = fidelity.truth(points(vectors)).search([asked], k=10)
    assert recall(before, true, k=10) == [1.0]
    first = [match.id for match in before[0]]

    put(token=_NEW, tag="b")  # it is what is looked for, so nothing is nearer
    assert found() == [_NEW, *first[:9]]
    assert found(restricts=allowed("1", _NEW)) == [_NEW, "1"]

    put(token="102", tag="b")
    assert found(restricts=allowed("1", _NEW)) == ["1"]

    nearest = {tag: next(name for name in first if tag_of[name] == tag) for tag in "ab"}
    assert found(crowding_limit=1) == [_NEW, nearest["a"]]

    put(token=_NEW, tag="a")
    assert found(crowding_limit=1) == [_NEW, nearest["b"]]

    index.remove([_NEW])
    assert found() == first
