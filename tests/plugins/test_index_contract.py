"""One contract for every index: the embedded one, and the service by each way that leads to it.

The service is the emulator, and real Vertex AI where the environment names an index that the tests
may write to (it takes stream updates, and holds nothing else):

    SAMESCORE_VERTEX_INDEX="vertex:project=P,location=L,index=I" pytest test_index_contract.py
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import pytest

import harness_vertex
from harness.datapoints import (
    Datapoint,
    IndexDescription,
    Match,
    NumericOp,
    NumericRestrict,
    Query,
    Restrict,
)
from harness.errors import HarnessError
from harness.indexing import IndexSpec
from harness.loader import default_plugins
from harness.testing.vertex import VertexEmulator, VertexEmulatorSettings
from harness.vectors import Mask, Problem, VectorError, VectorIndex, VectorSettings
from harness_vertex import VertexError, VertexSettings

DIMENSIONS = 8
REAL = "SAMESCORE_VERTEX_INDEX"
BACKENDS = ["embedded", "public-v1", "public-v1beta1", "private", "sdk"]
BACKENDS += ["real"] if os.environ.get(REAL) else []
RESTRICTS: tuple[Mask, ...] = ("restricts",)
METADATA: tuple[Mask, ...] = ("metadata",)


class SdkError(HarnessError):
    """What the SDK raised, by the name of its status code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class SdkIndex:
    """An index by way of `MatchingEngineIndex` and `MatchingEngineIndexEndpoint`."""

    def __init__(self, address: str, ca_file: str, *names: str) -> None:
        pipe, roots = subprocess.PIPE, {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": ca_file}
        command = [
            sys.executable,
            "-W",
            "ignore",
            str(Path(__file__).with_name("vertex_sdk.py")),
            address,
            *names,
        ]
        environment = {**os.environ, **roots, "PYTHONPATH": os.pathsep.join(sys.path)}
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment)

    def search(self, queries: Sequence[Query], *, k: int, full: bool = False) -> list[list[Match]]:
        found = [self._ask("find", query, k, full) for query in queries]
        return cast(list[list[Match]], found)

    def upsert(self, datapoints: Sequence[Datapoint], *, mask: Collection[str] = ()) -> None:
        self._ask("upsert", list(datapoints), list(mask))

    def remove(self, ids: Sequence[str]) -> None:
        self._ask("remove", list(ids))

    def read(self, ids: Sequence[str]) -> list[Datapoint]:
        return cast(list[Datapoint], self._ask("read", list(ids)))

    def describe(self) -> IndexDescription:
        return cast(IndexDescription, self._ask("describe"))

    def close(self) -> None:
        """End the child."""
        self._process.communicate()

    def _ask(self, *call: object) -> object:
        assert self._process.stdin
        assert self._process.stdout
        pickle.dump(call, self._process.stdin)
        self._process.stdin.flush()
        answer: object = pickle.load(self._process.stdout)
        if isinstance(answer, tuple) and answer[:1] == ("error",):
            raise SdkError(answer[1], answer[2])
        return answer


class Contract(Protocol):
    """What the contract is of: an `Index` whose upsert takes a mask."""

    def search(self, queries: Sequence[Query], *, k: int) -> list[list[Match]]: ...

    def upsert(self, datapoints: Sequence[Datapoint], *, mask: Collection[Mask] = ()) -> None: ...

    def remove(self, ids: Sequence[str]) -> object: ...

    def read(self, ids: Sequence[str]) -> list[Datapoint]: ...

    def describe(self) -> IndexDescription: ...


@dataclass
class Subject:
    """An index under test: what is put into it is taken out after the test.

    `patience_s` is how long a write may take to be seen, by the service's own word.
    """

    index: Contract
    name: str
    dimensions: int = DIMENSIONS
    patience_s: float = 0.0
    used: set[str] = field(default_factory=set)

    def vector(self, *head: float) -> tuple[float, ...]:
        return (*head, *[0.0] * (self.dimensions - len(head)))

    def put(self, *points: Datapoint, mask: Collection[Mask] = ()) -> None:
        self.used |= {point.id for point in points}
        self.index.upsert(points, mask=mask)

    def found(self, k: int = 10, **wanted: object) -> list[str]:
        query = Query(**{"vector": self.vector(1.0), **wanted})  # type: ignore[arg-type]
        return [match.id for match in self.index.search([query], k=k)[0]]

    def expect(self, expected: list[str], k: int = 10, **wanted: object) -> None:
        """Assert what a search finds, in order, as soon as the service may know of it."""
        end = time.monotonic() + self.patience_s
        while (found := self.found(k, **wanted)) != expected and time.monotonic() < end:
            time.sleep(1)
        assert found == expected

    def clear(self) -> None:
        if self.used:
            self.index.remove(sorted(self.used))
        self.expect([])


@pytest.fixture(scope="module")
def emulator() -> Iterator[VertexEmulator]:
    with harness_vertex.emulator(VertexEmulatorSettings(tls=True)) as running:
        yield running


@contextlib.contextmanager
def opened(backend: str, emulator: VertexEmulator) -> Iterator[Subject]:
    """A subject over a backend; indexes, endpoints and deployments are made on the emulator."""
    if backend == "embedded":
        with VectorIndex(VectorSettings(DIMENSIONS, "squared_l2")) as embedded:
            yield Subject(embedded, backend)
        return
    if backend == "real":
        yield from real()
        return
    way, _, version = backend.partition("-")
    network = "projects/1/global/networks/default" if way == "private" else "public"
    settings = VertexSettings(
        address=emulator.address,
        index=backend,
        network=network,
        api_version="v1beta1" if version == "v1beta1" else "v1",
        encoder=None,
    )
    with harness_vertex.build(settings) as vertex:
        vertex.create(IndexSpec(dimensions=DIMENSIONS, measure="squared_l2"))
        vertex.serve()
        if way != "sdk":
            yield Subject(vertex, backend)
            return
        details = vertex.describe()
        deployed = details.details["deployed"]
        assert isinstance(deployed, list)
        names = details.location, deployed[0]["endpoint"], deployed[0]["deployed_index"]
        with contextlib.closing(SdkIndex(emulator.tls_address, emulator.ca_file, *names)) as sdk:
            yield Subject(sdk, backend)


def real() -> Iterator[Subject]:
    """The index of Vertex AI that the environment names."""
    index = default_plugins().build(os.environ[REAL], "retriever").instance
    yield Subject(index, "real", index.describe().dimensions, patience_s=90)


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest, emulator: VertexEmulator) -> Iterator[Subject]:
    with opened(request.param, emulator) as subject:
        yield subject


@pytest.fixture
def subject(backend: Subject) -> Iterator[Subject]:
    backend.used.clear()
    yield backend
    backend.clear()


def point(subject: Subject, name: str, x: float, **more: object) -> Datapoint:
    """A datapoint at a distance of `x` from where searches look."""
    return Datapoint(name, subject.vector(1.0, x), **more)  # type: ignore[arg-type]


def test_nearest_come_first_and_a_distance_of_zero_is_one(subject: Subject) -> None:
    subject.put(point(subject, "far", 2), point(subject, "here", 0), point(subject, "near", 1))
    subject.expect(["here", "near", "far"])
    subject.expect(["here", "near"], k=2)
    matches = subject.index.search([Query(vector=subject.vector(1.0))], k=3)[0]
    if subject.name != "real":  # which may be of another measure
        assert [match.distance for match in matches] == [0.0, 1.0, 4.0]


def test_queries_are_answered_in_order(subject: Subject) -> None:
    subject.put(*(point(subject, f"p{x}", x) for x in range(5)))
    subject.expect(["p0", "p1", "p2", "p3", "p4"])
    queries = [Query(vector=subject.vector(1.0, x)) for x in (4.0, 0.0, 2.0)]
    assert [m[0].id for m in subject.index.search(queries, k=1)] == ["p4", "p0", "p2"]
    assert subject.index.search([], k=1) == []


def test_an_upsert_replaces_all_of_a_datapoint(subject: Subject) -> None:
    tags = (Restrict("colour", ("red",)),)
    subject.put(point(subject, "a", 0, restricts=tags), point(subject, "b", 1))
    subject.expect(["a", "b"])
    subject.put(point(subject, "a", 2))
    subject.expect(["b", "a"])
    subject.expect([], restricts=tags)


def test_what_is_removed_is_gone_and_what_is_missing_is_no_error(subject: Subject) -> None:
    subject.put(point(subject, "a", 0), point(subject, "b", 1))
    subject.expect(["a", "b"])
    subject.index.remove(["a", "never-there"])
    subject.expect(["b"])
    assert subject.index.read(["a"]) == []


def coloured(subject: Subject) -> None:
    both = Restrict("colour", ("red",)), Restrict("size", ("big",))
    subject.put(
        point(subject, "red", 1, restricts=(Restrict("colour", ("red",)),)),
        point(subject, "blue", 2, restricts=(Restrict("colour", ("blue", "sky")),)),
        point(subject, "shy", 3, restricts=(Restrict("colour", ("red",), ("blue",)),)),
        point(subject, "big", 4, restricts=(Restrict("size", ("big",)),)),
        point(subject, "both", 5, restricts=both),
    )
    subject.expect(["red", "blue", "shy", "big", "both"])


@pytest.mark.parametrize(
    ("restricts", "expected"),
    [
        ([Restrict("colour", ("red",))], ["red", "shy", "both"]),
        ([Restrict("colour", ("red", "sky"))], ["red", "blue", "shy", "both"]),
        ([Restrict("colour", ("red", "blue"))], ["red", "blue", "both"]),
        ([Restrict("colour", ("red",)), Restrict("size", ("big",))], ["both"]),
        ([Restrict("colour", (), ("red",))], ["blue", "big"]),
        ([Restrict("size", ("big",), ("huge",))], ["big", "both"]),
        ([Restrict("shape", ("round",))], []),
        ([Restrict("shape", (), ("round",))], ["red", "blue", "shy", "big", "both"]),
    ],
    ids=[
        "token",
        "any-of",
        "denied-by-datapoint",
        "and",
        "denied-by-query",
        "both",
        "none",
        "free",
    ],
)
def test_token_restricts(subject: Subject, restricts: list[Restrict], expected: list[str]) -> None:
    coloured(subject)
    subject.expect(expected, restricts=tuple(restricts))


def test_restricts_are_replaced_under_a_mask_and_nothing_else(subject: Subject) -> None:
    old, new = (Restrict("colour", ("red",)),), (Restrict("colour", ("blue",)),)
    number = (NumericRestrict("price", 3),)
    kept = {"owner": "me"}
    subject.put(point(subject, "a", 1, restricts=old, numeric_restricts=number, metadata=kept))
    subject.expect(["a"], restricts=old)
    subject.put(Datapoint("a", subject.vector(9.0), restricts=new), mask=RESTRICTS)
    subject.expect(["a"], restricts=new)
    subject.expect([], restricts=old)
    subject.expect([], numeric_restricts=(NumericRestrict("price", 3, "EQUAL"),))
    read = subject.index.read(["a"])[0]
    assert (read.vector, dict(read.metadata)) == (subject.vector(1.0, 1.0), kept)


def test_metadata_is_replaced_under_a_mask_and_nothing_else(subject: Subject) -> None:
    tags = (Restrict("colour", ("red",)),)
    subject.put(point(subject, "a", 1, restricts=tags, metadata={"owner": "me"}))
    subject.expect(["a"])
    new = {"owner": "you", "seen": [1.5, None, {"by": True}]}
    subject.put(Datapoint("a", subject.vector(9.0), metadata=new), mask=METADATA)
    subject.expect(["a"], restricts=tags)
    read = subject.index.read(["a"])[0]
    assert (read.vector, dict(read.metadata)) == (subject.vector(1.0, 1.0), new)


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        ("LESS", ["p1"]),
        ("LESS_EQUAL", ["p1", "p2"]),
        ("EQUAL", ["p2"]),
        ("GREATER_EQUAL", ["p2", "p3"]),
        ("GREATER", ["p3"]),
        ("NOT_EQUAL", ["p1", "p3"]),
    ],
)
def test_numeric_restricts(subject: Subject, op: NumericOp, expected: list[str]) -> None:
    numbers = {x: (NumericRestrict("count", x), NumericRestrict("share", x / 4)) for x in (1, 2, 3)}
    subject.put(*(point(subject, f"p{x}", x, numeric_restricts=n) for x, n in numbers.items()))
    subject.put(point(subject, "plain", 4))
    subject.expect(["p1", "p2", "p3", "plain"])
    subject.expect(expected, numeric_restricts=(NumericRestrict("count", 2, op),))
    subject.expect(expected, numeric_restricts=(NumericRestrict("share", 0.5, op),))
    both = NumericRestrict("count", 2, op), NumericRestrict("share", 0.5, "NOT_EQUAL")
    subject.expect([name for name in expected if name != "p2"], numeric_restricts=both)


def test_crowding_limits_how_many_share_a_tag_and_the_tag_may_change(subject: Subject) -> None:
    tags = {"a1": "a", "a2": "a", "b1": "b", "a3": "a", "free1": "", "free2": ""}
    points = [point(subject, n, x, crowding_tag=t) for x, (n, t) in enumerate(tags.items())]
    subject.put(*points)
    subject.expect(list(tags))
    subject.expect(["a1", "b1", "free1", "free2"], crowding_limit=1)
    subject.expect(["a1", "a2", "b1"], k=3, crowding_limit=2)
    subject.put(point(subject, "a2", 1, crowding_tag="c"))
    subject.expect(["a1", "a2", "b1", "free1", "free2"], crowding_limit=1)


def test_a_datapoint_is_read_as_it_was_written(subject: Subject) -> None:
    written = Datapoint(
        "a",
        subject.vector(1.0, 0.25, -3.5),
        restricts=(Restrict("colour", ("red", "blue"), ("green",)), Restrict("ü", ("日本",))),
        numeric_restricts=(NumericRestrict("count", -(2**62)), NumericRestrict("share", 0.1)),
        crowding_tag="shop 7",
        metadata={"title": "a title", "pages": 12, "tags": ["x", "y"]},
    )
    subject.put(written, point(subject, "b", 0))
    subject.expect(["b", "a"])
    read = subject.index.read(["b", "never-there", "a"])
    assert [one.id for one in read] == ["b", "a"]
    assert read[1].vector == written.vector
    assert read[1].restricts == written.restricts
    assert read[1].numeric_restricts == written.numeric_restricts
    assert dict(read[1].metadata) == dict(written.metadata)
    if subject.name != "private":  # which tells a number in its place
        assert read[1].crowding_tag == "shop 7"


def test_a_text_comes_back_with_its_datapoint(subject: Subject) -> None:
    if subject.name == "sdk":
        pytest.skip("the SDK has no field for a text")
    subject.put(point(subject, "a", 0, text="Où est-ce ?\n", metadata={"n": 1}))
    subject.put(point(subject, "b", 1, text=""), point(subject, "c", 2))
    subject.expect(["a", "b", "c"])
    assert [one.text for one in subject.index.read(["a", "b", "c"])] == ["Où est-ce ?\n", "", None]
    subject.put(Datapoint("a", subject.vector(9.0), metadata={"n": 2}), mask=METADATA)
    read = subject.index.read(["a"])[0]
    assert (read.text, dict(read.metadata)) == ("Où est-ce ?\n", {"n": 2})


def test_overrides_of_approximate_search_are_taken(subject: Subject) -> None:
    subject.put(*(point(subject, f"p{x}", x) for x in range(5)))
    subject.expect(["p0", "p1"], k=2, approximate_count=5, leaves_fraction=1.0)


def test_recall_of_a_thousand_is_that_of_an_exact_search(subject: Subject) -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(1000, subject.dimensions)).astype(np.float32)
    queries = random.normal(size=(20, subject.dimensions)).astype(np.float32)
    subject.put(*(Datapoint(f"p{i:04}", v.tolist()) for i, v in enumerate(vectors)))
    distances = ((queries[:, None] - vectors[None]) ** 2).sum(2)
    truth = [{f"p{i:04}" for i in row[:10]} for row in distances.argsort(1)]
    subject.expect([f"p{distances[0].argmin():04}"], k=1, vector=queries[0])
    found = subject.index.search([Query(vector=q) for q in queries], k=10)
    hits = sum(match.id in own for own, row in zip(truth, found, strict=True) for match in row)
    assert hits / 200 >= (0.9 if subject.name == "real" else 1.0)


def bad_datapoints() -> dict[str, Callable[[Subject], list[Datapoint]]]:
    twice = (Restrict("colour", ("red",)), Restrict("colour", ("blue",)))
    mixed = (NumericRestrict("mixed", 1),), (NumericRestrict("mixed", 1.5),)
    operator = (NumericRestrict("price", 1, "LESS"),)
    return {
        "dimensions": lambda s: [Datapoint("bad", s.vector(1.0)[:-1])],
        "no-vector": lambda s: [Datapoint("bad")],
        "not-finite": lambda s: [Datapoint("bad", s.vector(float("nan")))],
        "infinite": lambda s: [Datapoint("bad", s.vector(1e300))],
        "twice": lambda s: [point(s, "bad", 1), point(s, "bad", 2)],
        "namespace-twice": lambda s: [point(s, "bad", 1, restricts=twice)],
        "operator": lambda s: [point(s, "bad", 1, numeric_restricts=operator)],
        "types": lambda s: [
            point(s, f"bad{i}", 1, numeric_restricts=n) for i, n in enumerate(mixed)
        ],
        "empty-id": lambda s: [point(s, "", 1)],
    }


@pytest.mark.parametrize("kind", bad_datapoints())
def test_a_bad_datapoint_is_refused_and_nothing_of_its_batch_applied(
    subject: Subject, kind: str
) -> None:
    points = bad_datapoints()[kind](subject)
    with pytest.raises(HarnessError) as caught:
        subject.put(point(subject, "good", 1), *points)
    assert code(caught.value) == "INVALID_ARGUMENT"
    subject.used -= {""}
    assert subject.index.read(["good"]) == []
    assert subject.found() == []


def test_a_mask_is_for_what_is_there(subject: Subject) -> None:
    subject.put(point(subject, "a", 0))
    subject.expect(["a"])
    tags = (Restrict("colour", ("red",)),)
    with pytest.raises(HarnessError) as caught:
        subject.put(
            *(Datapoint(n, subject.vector(1.0), restricts=tags) for n in ("a", "b")),
            mask=RESTRICTS,
        )
    assert code(caught.value) == "NOT_FOUND"
    assert subject.index.read(["a"])[0].restricts == ()


@pytest.mark.parametrize(
    "wanted",
    [
        {"vector": (1.0,)},
        {"vector": (float("nan"), *[0.0] * 7)},
        {"crowding_limit": -1},
        {"approximate_count": -1},
        {"leaves_fraction": 1.5},
    ],
    ids=["dimensions", "not-finite", "crowding", "approximate", "leaves"],
)
def test_a_bad_query_is_refused(subject: Subject, wanted: dict[str, object]) -> None:
    query = Query(**{"vector": subject.vector(1.0), **wanted})  # type: ignore[arg-type]
    with pytest.raises(HarnessError) as caught:
        subject.index.search([query], k=1)
    assert code(caught.value) == "INVALID_ARGUMENT"


def test_k_is_at_least_one(subject: Subject) -> None:
    with pytest.raises(HarnessError) as caught:
        subject.index.search([Query(vector=subject.vector(1.0))], k=-1)
    assert code(caught.value) == "INVALID_ARGUMENT"


def test_the_index_is_described(subject: Subject) -> None:
    subject.put(point(subject, "a", 0), point(subject, "b", 1))
    subject.expect(["a", "b"])
    described = subject.index.describe()
    assert described.dimensions == subject.dimensions
    if subject.name != "real":  # whose count lags behind
        assert described.count == 2
        assert described.measure.lower().removesuffix("_distance") == "squared_l2"


def code(error: HarnessError) -> str:
    """The status code that an error stands for; the embedded index has problems in their place."""
    if isinstance(error, VertexError | SdkError):
        return error.code
    assert isinstance(error, VectorError)
    return "NOT_FOUND" if error.problem is Problem.UNKNOWN_ID else "INVALID_ARGUMENT"


@pytest.mark.parametrize("sign", [1, -1])
def test_order_counts_and_not_the_sign_of_a_dot_product(sign: int) -> None:
    """The same matches, in the same order, whichever sign the service gives a dot product."""
    settings = VertexEmulatorSettings(dot_sign=1 if sign == 1 else -1)
    with harness_vertex.emulator(settings) as running:
        chosen = VertexSettings(address=running.address, index="dot", encoder=None)
        with harness_vertex.build(chosen) as index:
            index.create(IndexSpec(dimensions=2, measure="dot_product"))
            index.serve()
            index.upsert([Datapoint(f"p{x}", (float(x), 1.0)) for x in (-1, 0, 1, 2)])
            matches: list[Match] = index.search([Query(vector=(1.0, 0.0))], k=4)[0]
    assert [match.id for match in matches] == ["p2", "p1", "p0", "p-1"]
    assert [match.distance for match in matches] == [sign * x for x in (2, 1, 0, -1)]
