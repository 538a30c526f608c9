"""The client of Vertex AI Vector Search against the emulator: what the contract does not cover."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

import harness_vertex
from harness import Retriever
from harness.components import Index
from harness.datapoints import Datapoint, NumericRestrict, Query, Restrict
from harness.encoding import load_encoder
from harness.errors import PluginError
from harness.indexing import IndexSpec, ManagedIndex
from harness.loader import default_plugins
from harness.settings import build_settings
from harness.testing.vertex import VertexEmulator, VertexEmulatorSettings
from harness_vertex import VertexError, VertexSettings
from harness_vertex._index import VertexSearchIndex


@pytest.fixture(scope="module")
def emulator() -> Iterator[VertexEmulator]:
    with harness_vertex.emulator(VertexEmulatorSettings()) as running:
        yield running


@pytest.fixture(scope="module")
def made(emulator: VertexEmulator) -> VertexSettings:
    """The settings of an index of three dimensions that is deployed."""
    settings = VertexSettings(address=emulator.address, index="plain", encoder=None)
    with harness_vertex.build(settings) as index:
        index.create(IndexSpec(dimensions=3, measure="squared_l2"))
        index.serve()
    return settings


@pytest.fixture
def index(made: VertexSettings) -> Iterator[VertexSearchIndex]:
    """That index, empty again after the test."""
    with harness_vertex.build(made) as opened:
        yield opened
        left = [match.id for match in opened.search([Query(vector=(0, 0, 0))], k=1000)[0]]
        opened.remove(left)


@contextlib.contextmanager
def faulty(*fail: str, seed: int = 0, **changes: object) -> Iterator[VertexSearchIndex]:
    """A deployed index of two dimensions on an emulator whose calls fail."""
    with harness_vertex.emulator(VertexEmulatorSettings(fail=fail, seed=seed)) as running:
        given = {"address": running.address, "index": "f", "encoder": None, **changes}
        with harness_vertex.build(VertexSettings(**given)) as opened:  # type: ignore[arg-type]
            opened.create(IndexSpec(dimensions=2, measure="squared_l2"))
            opened.serve()
            yield opened


def points(count: int) -> list[Datapoint]:
    return [Datapoint(f"p{i:03}", (float(i), 0.0)) for i in range(count)]


def test_its_module_is_light() -> None:
    heavy = ["grpc", "google.protobuf", "google.api_core", "google.cloud.aiplatform_v1", "numpy"]
    code = f"import harness_vertex, sys; assert not set({heavy}) & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_is_a_retriever_that_can_be_written_to_and_made(made: VertexSettings) -> None:
    reference = f"vertex:address={made.address},index=plain,encoder=none"
    built = default_plugins().build(reference, "retriever").instance
    for protocol in (Retriever, Index, ManagedIndex):
        assert isinstance(built, protocol)
    assert isinstance(built, VertexSearchIndex)
    assert built.identity() == {"service": "emulator"}
    assert built.describe().dimensions == 3
    built.close()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "name an index"),
        ({"index": "i", "address": "localhost"}, "write HOST:PORT"),
        ({"index": "i", "deployed_index": "1a"}, "begins with a letter"),
        ({"index": "i", "timeout_s": 0}, "timeout_s is 0.0; it is above 0"),
        ({"index": "i", "batch_points": 0}, "batch_points is 0; it is at least 1"),
        ({"index": "i", "min_replicas": 3, "max_replicas": 2}, "max_replicas is 2"),
        ({"index": "i", "network": "default"}, "public, psc, or projects/"),
        ({"index": "i", "psc_projects": "p"}, "is for network=psc"),
        ({"index": "i", "private_address": "h", "via": "public"}, "leave one of them out"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        build_settings("vertex", VertexSettings, given)


def test_an_index_is_found_by_any_of_its_names(
    made: VertexSettings, index: VertexSearchIndex
) -> None:
    index.upsert([Datapoint("a", (1, 2, 3))])
    whole = index.describe().location
    deployed = index.describe().details["deployed"]
    assert isinstance(deployed, list)
    endpoint, key = deployed[0]["endpoint"], deployed[0]["deployed_index"]
    ways = [
        {"index": whole},
        {"index": whole.rpartition("/")[2]},
        {"index": "", "endpoint": "plain"},
        {"index": "", "endpoint": endpoint, "deployed_index": key},
        {"endpoint": endpoint.rpartition("/")[2]},
    ]
    for way in ways:
        with harness_vertex.build(replace(made, **way)) as again:
            assert again.search([Query(vector=(1, 2, 3))], k=1)[0][0].id == "a"
            assert again.describe().location == whole


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"index": "plane"}, "NOT_FOUND", "no index 'plane' in projects/emulator"),
        ({"index": "77"}, "NOT_FOUND", "no index '77'"),
        ({"endpoint": "elsewhere"}, "NOT_FOUND", "no endpoint 'elsewhere'"),
        ({"deployed_index": "other"}, "FAILED_PRECONDITION", "not deployed as other"),
        ({"endpoint": "plain", "deployed_index": "x"}, "NOT_FOUND", "'x'; it has: plain"),
        ({"via": "private"}, "FAILED_PRECONDITION", "no private endpoint; use via=public"),
        ({"location": "europe-west4"}, "NOT_FOUND", "locations/europe-west4"),
    ],
)
def test_what_cannot_be_found_is_named(
    made: VertexSettings, changes: dict[str, str], code: str, message: str
) -> None:
    with (
        harness_vertex.build(replace(made, **changes)) as opened,  # type: ignore[arg-type]
        pytest.raises(VertexError, match=message) as caught,
    ):
        opened.search([Query(vector=(0, 0, 0))], k=1)
    assert caught.value.code == code


def test_an_index_that_is_not_deployed_can_be_filled(made: VertexSettings) -> None:
    with harness_vertex.build(replace(made, index="cold")) as cold:
        cold.create(IndexSpec(dimensions=3))
        cold.upsert([Datapoint("a", (1, 2, 3))])
        assert cold.describe().count == 1
        with pytest.raises(VertexError, match=r"index cold .* is not deployed") as caught:
            cold.search([Query(vector=(1, 2, 3))], k=1)
        assert caught.value.code == "FAILED_PRECONDITION"
        cold.delete()


def test_texts_are_found_by_meaning_and_come_with_full_matches(
    emulator: VertexEmulator, minilm: str
) -> None:
    settings = VertexSettings(address=emulator.address, index="texts", full=True)
    passages = {"bread": "A man is eating a piece of bread.", "baby": "A girl carries a baby."}
    with harness_vertex.build(settings) as index:
        index.create(IndexSpec(dimensions=384, measure="cosine"))
        index.serve()
        index.upsert([Datapoint(key, text=text) for key, text in passages.items()])
        found = index.search([Query("Someone has a meal."), Query("an infant")], k=2)
        assert [matches[0].id for matches in found] == ["bread", "baby"]
        assert found[0][0].text == passages["bread"]
        near = index.search([Query(passages["baby"])], k=1, full=False)[0][0]
        assert near.distance == pytest.approx(0, abs=1e-6)
        assert near.datapoint is None
        stored = index.read(["bread"])[0].vector
        assert np.allclose(list(stored), load_encoder().encode([passages["bread"]])[0], atol=1e-6)
        index.delete()


@pytest.mark.parametrize(
    ("point", "message"),
    [
        (Datapoint("x", text="words"), "encoder=none"),
        (Datapoint("x"), "'x' has neither vector nor text"),
        (Datapoint("x", (1, 2, 3), metadata={"text": "mine"}), "set another text_key, or none"),
        (Datapoint("x", (1, 2, 3), metadata={"n": [2**53 + 1]}), "write it as text"),
        (Datapoint("x", (1, 2, 3), metadata={"n": object()}), "metadata is not JSON"),
        (Datapoint("x", (1, 2)), r"plain \(\d+\) cannot take datapoint 1 \(id 'x'\)"),
    ],
)
def test_what_the_service_could_not_hold_is_refused_before_anything_is_sent(
    index: VertexSearchIndex, point: Datapoint, message: str
) -> None:
    with pytest.raises(VertexError, match=message) as caught:
        index.upsert([Datapoint("good", (1, 2, 3)), point])
    assert (caught.value.code, caught.value.id) in [
        ("INVALID_ARGUMENT", "x"),
        ("INVALID_ARGUMENT", ""),
    ]
    assert index.describe().count == 0


def test_without_a_text_key_metadata_is_left_alone(made: VertexSettings) -> None:
    with harness_vertex.build(replace(made, text_key=None)) as index:
        index.upsert([Datapoint("a", (1, 2, 3), "not kept", metadata={"text": "mine"})])
        read = index.read(["a"])[0]
        assert (read.text, dict(read.metadata)) == (None, {"text": "mine"})
        index.remove(["a"])


def test_numbers_can_be_sent_as_32_bit_floats(made: VertexSettings) -> None:
    with harness_vertex.build(replace(made, number_type="float")) as index:
        price = NumericRestrict("price32", 0.1)
        index.upsert([Datapoint("a", (1, 2, 3), numeric_restricts=(price,))])
        value = index.read(["a"])[0].numeric_restricts[0].value
        assert value == float(np.float32(0.1)) != 0.1
        asked = Query(vector=(1, 2, 3), numeric_restricts=(replace(price, op="EQUAL"),))
        assert [match.id for match in index.search([asked], k=1)[0]] == ["a"]
        index.remove(["a"])


def test_a_numpy_vector_is_as_good_as_a_tuple(index: VertexSearchIndex) -> None:
    index.upsert([Datapoint("a", np.array([1, 2, 3], np.float32))])
    asked = Query(vector=np.array([1.0, 2, 3]))
    assert index.search([asked], k=1)[0][0].distance == 0.0


@pytest.mark.parametrize("via", ["public", "private"])
def test_more_queries_than_a_call_takes_are_answered_in_order(
    emulator: VertexEmulator, via: str
) -> None:
    network = "public" if via == "public" else "projects/1/global/networks/net"
    settings = VertexSettings(
        address=emulator.address, index=f"many-{via}", network=network, queries_per_call=7
    )
    with harness_vertex.build(settings) as index:
        index.create(IndexSpec(dimensions=2, measure="squared_l2"))
        index.serve()
        index.upsert(points(30))
        queries = [Query(vector=point.vector) for point in points(30)]
        found = index.search(queries, k=1, full=True)
        assert [m[0].id for m in found] == [point.id for point in points(30)]
        assert [m[0].distance for m in found] == [0.0] * 30
        assert [m[0].datapoint and m[0].datapoint.id for m in found] == [m[0].id for m in found]
        index.delete()


def test_a_private_batch_tells_what_is_wrong_with_a_query(emulator: VertexEmulator) -> None:
    network = "projects/1/global/networks/net"
    settings = VertexSettings(address=emulator.address, index="own", network=network)
    with harness_vertex.build(settings) as index:
        index.create(IndexSpec(dimensions=2))
        index.serve()
        with pytest.raises(VertexError, match="dimensions") as caught:
            index.search([Query(vector=(1, 2)), Query(vector=(1, 2, 3))], k=1)
        assert caught.value.code == "INVALID_ARGUMENT"
        where = emulator.private["own"]
        direct = replace(settings, private_address=where)
        with harness_vertex.build(direct) as again:
            assert again.search([Query(vector=(1, 2))], k=1) == [[]]
        index.delete()


def test_private_service_connect_is_reached_by_the_address_given(
    emulator: VertexEmulator,
) -> None:
    settings = VertexSettings(
        address=emulator.address, index="psc", network="psc", psc_projects=("p",)
    )
    with harness_vertex.build(settings) as index:
        index.create(IndexSpec(dimensions=2))
        index.serve()
        with pytest.raises(VertexError, match=r"forwarding rule: private_address=IP"):
            index.search([Query(vector=(1, 2))], k=1)
        given = replace(settings, private_address=emulator.private["psc"])
        with harness_vertex.build(given) as direct:
            direct.upsert(points(2))
            assert direct.search([Query(vector=(0, 0))], k=1)[0][0].id == "p000"
        index.delete()


def test_a_large_upsert_is_split_by_bytes_and_by_number(made: VertexSettings) -> None:
    """1,000 datapoints of 1,536 dimensions are 6.1 MB."""
    with harness_vertex.build(replace(made, index="wide")) as wide:
        wide.create(IndexSpec(dimensions=1536))
        wide.serve()
        vectors = np.random.default_rng(0).normal(size=(1000, 1536)).astype(np.float32)
        ids = [f"p{i:04}" for i in range(1000)]
        wide.upsert([Datapoint(key, v.tolist()) for key, v in zip(ids, vectors, strict=True)])
        assert wide.describe().count == 1000
        assert wide.search([Query(vector=vectors[7])], k=1)[0][0].id == "p0007"
        wide.delete()


def test_batches_are_no_larger_than_the_settings_allow() -> None:
    ids = [point.id for point in points(100)]
    with harness_vertex.emulator(VertexEmulatorSettings(max_upsert=40)) as running:
        given = VertexSettings(address=running.address, index="b", batch_points=40)
        with harness_vertex.build(given) as index:
            index.create(IndexSpec(dimensions=2))
            index.serve()
            index.upsert(points(100))
            assert [point.id for point in index.read(ids)] == ids
            index.remove(ids)
            assert index.read(ids) == []
        with harness_vertex.build(replace(given, batch_points=41)) as larger:
            with pytest.raises(VertexError, match=r"'p000' to 'p040'.*nothing .* was applied"):
                larger.upsert(points(100))
            assert larger.describe().count == 0


def test_a_message_that_is_too_large_says_which_setting_helps(made: VertexSettings) -> None:
    from harness_vertex._errors import Problem

    said = "Received message larger than max (6150000 vs. 4194304)"
    problem = Problem("RESOURCE_EXHAUSTED", said)
    assert not problem.transient
    assert "batch_mb" in str(problem.error("upserting"))


@pytest.mark.parametrize("code", ["UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"])
def test_calls_that_fail_for_a_while_are_made_again(code: str) -> None:
    methods = "UpsertDatapoints", "RemoveDatapoints", "FindNeighbors", "ReadIndexDatapoints"
    fail = [f"{method}:{code}=0.5" for method in methods]
    with faulty(*fail, batch_points=10, queries_per_call=10) as index:
        index.upsert(points(40))
        found = index.search([Query(vector=p.vector) for p in points(40)], k=1)
        assert [matches[0].id for matches in found] == [p.id for p in points(40)]
        index.remove([p.id for p in points(39)])
        assert [p.id for p in index.read([p.id for p in points(40)])] == ["p039"]


def test_a_call_that_goes_on_failing_is_given_up_after_its_deadline() -> None:
    with (
        faulty("FindNeighbors:UNAVAILABLE=1", deadline_s=0.5) as index,
        pytest.raises(VertexError, match=r"f of f .*tries\): UNAVAILABLE") as caught,
    ):
        index.search([Query(vector=(0, 0))], k=1)
    assert caught.value.code == "UNAVAILABLE"


def test_a_call_that_is_refused_is_not_made_again() -> None:
    with (
        faulty("FindNeighbors:PERMISSION_DENIED=1") as index,
        pytest.raises(VertexError, match=r"PERMISSION_DENIED: .*roles/aiplatform.user") as caught,
    ):
        index.search([Query(vector=(0, 0))], k=1)
    assert "tries" not in str(caught.value)


@pytest.mark.parametrize("seed", range(3))
def test_a_write_that_breaks_off_tells_what_was_applied(seed: int) -> None:
    with faulty("UpsertDatapoints:INTERNAL=0.15", seed=seed, batch_points=2) as index:
        with pytest.raises(VertexError, match="may be made again") as caught:
            index.upsert(points(100))
        applied = [point.id for point in index.read([p.id for p in points(100)])]
        assert list(caught.value.applied) == applied
        assert applied == [p.id for p in points(len(applied))]
        assert f"{len(applied)} of 100 were applied" in str(caught.value) or not applied


def test_a_removal_that_breaks_off_tells_what_was_applied() -> None:
    with faulty("RemoveDatapoints:INTERNAL=0.2", seed=1, batch_points=1) as index:
        index.upsert(points(30))
        ids = [point.id for point in points(30)]
        with pytest.raises(VertexError) as caught:
            index.remove(ids)
        gone = len(caught.value.applied)
        assert [point.id for point in index.read(ids)] == ids[gone:]


def test_nobody_at_the_address_is_told_soon() -> None:
    settings = VertexSettings(address="127.0.0.1:9", index="i", deadline_s=60)
    with (
        harness_vertex.build(settings) as index,
        pytest.raises(VertexError, match=r"127.0.0.1:9\) \(4 tries\): UNAVAILABLE.*run there\?"),
    ):
        index.describe()


def test_without_credentials_it_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    with (
        harness_vertex.build(VertexSettings(index="i", project="p")) as index,
        pytest.raises(VertexError, match=r"gcloud auth application-default login") as caught,
    ):
        index.describe()
    assert caught.value.code == "UNAUTHENTICATED"
    assert "address=HOST:PORT" in str(caught.value)


CLOUD = """
import google.auth, harness_vertex, sys
from google.auth.credentials import AnonymousCredentials
from harness.components import Datapoint, Query
from harness.indexing import IndexSpec
from harness_vertex._service import Service

google.auth.default = lambda **_: (AnonymousCredentials(), "default-project")
Service.where = property(lambda service: sys.argv[1])
with harness_vertex.build(harness_vertex.VertexSettings(index="cloud", encoder=None)) as index:
    index.create(IndexSpec(dimensions=2))
    index.serve()
    index.upsert([Datapoint("a", (1, 2))])
    print(index.search([Query(vector=(1, 2))], k=1)[0][0].id, index.describe().location)
"""


def test_without_an_address_channels_have_credentials_and_are_encrypted() -> None:
    """All of the way to the cloud but its name and its credentials, to the emulator's TLS port."""
    with harness_vertex.emulator(VertexEmulatorSettings(tls=True)) as running:
        roots = {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": running.ca_file}
        path = {"PYTHONPATH": os.pathsep.join(sys.path)}
        told = subprocess.run(
            [sys.executable, "-c", CLOUD, running.tls_address],
            env={**os.environ, **roots, **path},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
    assert told.startswith("a projects/default-project/locations/us-central1/indexes/")


def test_one_object_serves_many_threads(index: VertexSearchIndex) -> None:
    index.upsert([Datapoint(f"p{i}", (i, 0, 0)) for i in range(100)])

    def nearest(place: int) -> str:
        return index.search([Query(vector=(place, 0, 0))], k=1)[0][0].id

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(nearest, range(100))) == [f"p{i}" for i in range(100)]


def test_the_description_is_json(index: VertexSearchIndex) -> None:
    tags = (Restrict("colour", ("red",)),)
    index.upsert([Datapoint("a", (1, 2, 3), restricts=tags)])
    described = index.describe()
    assert (described.count, described.dimensions, described.measure) == (1, 3, "squared_l2")
    assert json.loads(json.dumps(dict(described.details)))["updates"] == "stream"
    assert index.listed().count("plain") == 1
