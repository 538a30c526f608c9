"""The emulator over the wire, as the SDK's own low-level clients see it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.testing.vertex import VertexEmulator

pytest.importorskip("grpc")
pytest.importorskip("google.cloud.aiplatform_v1")

import grpc
from google.cloud.aiplatform.matching_engine._protos import (
    match_service_pb2 as private,
)

from .vertex_wire import NETWORK, PARENT, Asked, Deployed, Wire, point, refused, write

Start = Callable[..., VertexEmulator]


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bucket")


@pytest.fixture(scope="module")
def emulator(bucket: Path) -> Iterator[VertexEmulator]:
    from harness.testing.vertex import vertex_emulator

    with vertex_emulator(buckets=(f"data={bucket}",), max_upsert=50, max_neighbors=20) as one:
        yield one


@pytest.fixture(scope="module", params=["v1", "v1beta1"])
def wire(emulator: VertexEmulator, request: pytest.FixtureRequest) -> Iterator[Wire]:
    clients = Wire(emulator, request.param)
    yield clients
    clients.close()


@pytest.fixture(params=["public", "private"])
def deployed(wire: Wire, request: pytest.FixtureRequest) -> Deployed:
    return Deployed(wire, request.param)


def test_the_whole_life_of_an_index(wire: Wire, bucket: Path) -> None:
    """Files, deployment, stream updates, every filter, and the way back."""
    folder = bucket / "life"
    folder.mkdir(exist_ok=True)
    rows = [
        {
            "id": str(n),
            "embedding": [str(x) if n % 2 else x for x in (n, 0.0, 1.0)],
            "restricts": [{"namespace": "class", "allow": [str(n)]}],
            "crowding_tag": "ab"[n % 2],
        }
        for n in range(20)
    ]
    (folder / "rows.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tree = {"treeAhConfig": {"leafNodeEmbeddingCount": 500, "leafNodesToSearchPercent": 7}}
    config = {"algorithmConfig": tree, "approximateNeighborsCount": 150}
    own = Deployed(wire, "private", "gs://data/life", **config)
    assert wire.indexes.get_index(name=own.index).index_stats.vectors_count == 20
    query = [10.2, 0.0, 1.0]

    plain = Asked(query, 2)
    crowded = replace(plain, crowding=1)
    only = replace(plain, allow={"class": "101"})

    assert own.ids(plain) == ["10", "11"]
    own.upsert(point("new", *query, tag="b", **{"class": "101"}))
    assert own.find(plain) == [("new", 0.0), ("10", pytest.approx(0.04, abs=1e-4))]
    assert own.ids(only) == ["new"]
    own.upsert(point("new", *query, tag="b", **{"class": "102"}))
    assert own.ids(only) == []
    assert own.ids(crowded) == ["new", "10"]
    own.upsert(point("new", *query, tag="a"))
    assert own.ids(crowded) == ["new", "11"]
    wire.remove(own.index, "new", "never there")
    assert own.ids(plain) == ["10", "11"]

    text = refused("FAILED_PRECONDITION", lambda: wire.indexes.delete_index(name=own.index))
    assert "undeployed" in text
    deployments = wire.indexes.get_index(name=own.index).deployed_indexes
    assert [(d.index_endpoint, d.deployed_index_id) for d in deployments] == [
        (own.endpoint, own.id)
    ]
    refused(
        "FAILED_PRECONDITION",
        lambda: wire.endpoints.delete_index_endpoint(name=own.endpoint),
    )
    wire.endpoints.undeploy_index(index_endpoint=own.endpoint, deployed_index_id=own.id).result()
    refused("UNAVAILABLE", lambda: own.find(plain))
    wire.endpoints.delete_index_endpoint(name=own.endpoint).result()
    wire.indexes.delete_index(name=own.index).result()
    refused("NOT_FOUND", lambda: wire.indexes.get_index(name=own.index))


def test_restricts_let_through_what_the_service_says(deployed: Deployed) -> None:
    deployed.upsert(
        point("red", 1, 0, 0, colour="red"),
        point("blue", 2, 0, 0, colour="blue", shape="round"),
        {
            **point("shy", 3, 0, 0),
            "restricts": [{"namespace": "colour", "allow_list": ["red"], "deny_list": ["blue"]}],
        },
        point("plain", 4, 0, 0),
    )
    origin = [0.0, 0.0, 0.0]

    assert deployed.ids(Asked(origin, allow={"colour": "red"})) == ["red", "shy"]
    assert deployed.ids(Asked(origin, deny={"colour": "red"})) == ["blue", "plain"]
    assert deployed.ids(Asked(origin, allow={"colour": "blue", "shape": "round"})) == ["blue"]
    assert deployed.ids(Asked(origin, allow={"size": "any"})) == []


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        ("LESS", ["1"]),
        ("LESS_EQUAL", ["1", "2"]),
        ("EQUAL", ["2"]),
        ("GREATER_EQUAL", ["2", "3"]),
        ("GREATER", ["3"]),
        ("NOT_EQUAL", ["1", "3"]),
    ],
)
def test_numeric_restricts(deployed_numbers: Deployed, op: str, expected: list[str]) -> None:
    number = {"namespace": "size", "value_int": 2, "op": op}

    assert sorted(deployed_numbers.ids(Asked([0, 0, 0], number=number))) == expected


@pytest.fixture(scope="module", params=["public", "private"])
def deployed_numbers(wire: Wire, request: pytest.FixtureRequest) -> Deployed:
    """Three datapoints with numbers."""
    own = Deployed(wire, request.param)
    for n in (1, 2, 3):
        number = {"namespace": "size", "value_int": n}
        own.upsert({**point(str(n), n, 0, 0), "numeric_restricts": [number]})
    return own


def test_a_whole_datapoint_comes_back_as_it_went_in(wire: Wire) -> None:
    own = Deployed(wire, "public")
    sent = wire.types.IndexDatapoint(
        datapoint_id="all",
        feature_vector=[0.5, -1.0, 2.0],
        restricts=[{"namespace": "colour", "allow_list": ["red"], "deny_list": ["blue"]}],
        numeric_restricts=[
            {"namespace": "size", "value_int": -3},
            {"namespace": "cost", "value_double": 0.1},
        ],
        crowding_tag={"crowding_attribute": "north"},
        embedding_metadata={"text": "a", "list": [1.0, None, {"deep": True}]},
    )
    wire.indexes.upsert_datapoints({"index": own.index, "datapoints": [sent]})
    query = {"datapoint": {"datapoint_id": "all"}, "neighbor_count": 1}

    read = wire.matches.read_index_datapoints({**own.names, "ids": ["all", "none"]})
    full = wire.matches.find_neighbors(
        {**own.names, "queries": [query], "return_full_datapoint": True}
    )
    short = wire.matches.find_neighbors({**own.names, "queries": [query]})

    assert list(read.datapoints) == [sent]
    assert full.nearest_neighbors[0].neighbors[0].datapoint == sent
    assert short.nearest_neighbors[0].id == "all"
    only = wire.types.IndexDatapoint(
        datapoint_id="all", crowding_tag={"crowding_attribute": "north"}
    )
    assert short.nearest_neighbors[0].neighbors[0].datapoint == only


def test_the_private_service_gives_embeddings_and_batches(wire: Wire) -> None:
    own = Deployed(wire, "private")
    own.upsert(point("a", 1, 0, 0, tag="north"), point("b", 0, 1, 0, tag="north"))
    one = private.MatchRequest(
        deployed_index_id=own.id, embedding_id="b", num_neighbors=1, embedding_enabled=True
    )
    batch = private.BatchMatchRequest()
    batch.requests.add(deployed_index_id=own.id, requests=[one, one])
    batch.requests.add(deployed_index_id="other", requests=[one])

    good, bad = own.stub.BatchMatch(batch).responses
    asked = private.BatchGetEmbeddingsRequest(deployed_index_id=own.id, id=["b", "none", "a"])
    embeddings = own.stub.BatchGetEmbeddings(asked).embeddings

    assert [[n.id for n in r.neighbor] for r in good.responses] == [["b"], ["b"]]
    assert list(good.responses[0].embeddings[0].float_val) == [0, 1, 0]
    assert (good.status.code, bad.status.code) == (0, grpc.StatusCode.NOT_FOUND.value[0])
    assert [e.id for e in embeddings] == ["b", "a"]
    assert embeddings[0].crowding_attribute == embeddings[1].crowding_attribute != 0


def test_a_mask_replaces_restricts_or_metadata_alone(wire: Wire) -> None:
    own = Deployed(wire, "public")
    own.upsert({**point("a", 1, 2, 3, tag="t", colour="red"), "embedding_metadata": {"v": 1.0}})

    own.upsert(point("a", colour="blue"), mask=("all_restricts",))
    own.upsert(
        {"datapoint_id": "a", "embedding_metadata": {"v": 2.0}}, mask=("embedding_metadata",)
    )

    assert own.ids(Asked([1, 2, 3], allow={"colour": "blue"})) == ["a"]
    read = wire.matches.read_index_datapoints({**own.names, "ids": ["a"]}).datapoints[0]
    assert (list(read.feature_vector), dict(read.embedding_metadata)) == ([1, 2, 3], {"v": 2.0})
    assert read.crowding_tag.crowding_attribute == "t"
    refused("NOT_FOUND", lambda: own.upsert(point("b"), mask=("all_restricts",)))
    refused("INVALID_ARGUMENT", lambda: own.upsert(point("a"), mask=("crowding_tag",)))


NUMBER = {"namespace": "n", "value_int": 1}


@pytest.mark.parametrize(
    ("bad", "code", "part"),
    [
        (point("x", 1, 2), "INVALID_ARGUMENT", "dimensions"),
        (point("x", 1, 2, float("nan")), "INVALID_ARGUMENT", "NaN"),
        (point("x", 1, 2, 1e39), "INVALID_ARGUMENT", "float32"),
        (point("", 1, 2, 3), "INVALID_ARGUMENT", "id"),
        (
            {**point("x", 1, 2, 3), "restricts": [{"namespace": "a"}] * 2},
            "INVALID_ARGUMENT",
            "twice",
        ),
        (
            {**point("x", 1, 2, 3), "numeric_restricts": [{**NUMBER, "op": "LESS"}]},
            "INVALID_ARGUMENT",
            "operator",
        ),
        (
            {**point("x", 1, 2, 3), "numeric_restricts": [{"namespace": "n"}]},
            "INVALID_ARGUMENT",
            "no value",
        ),
        (
            {**point("x", 1, 2, 3), "sparse_embedding": {"values": [1], "dimensions": [1]}},
            "UNIMPLEMENTED",
            "sparse",
        ),
    ],
)  # fmt: skip
def test_a_bad_datapoint_is_refused_with_its_whole_batch(
    shared: Deployed, bad: dict[str, object], code: str, part: str
) -> None:
    text = refused(code, lambda: shared.upsert(point("good", 0, 0, 0), bad))

    assert part in text
    assert shared.find(Asked([0, 0, 0])) == []


@pytest.fixture(scope="module")
def shared(emulator: VertexEmulator) -> Iterator[Deployed]:
    """An index that stays empty."""
    wire = Wire(emulator)
    yield Deployed(wire, "public")
    wire.close()


def test_an_upsert_and_a_removal_have_a_limit(shared: Deployed) -> None:
    many = [point(str(n), 0, 0, 0) for n in range(51)]

    assert "50" in refused("INVALID_ARGUMENT", lambda: shared.upsert(*many))
    refused("INVALID_ARGUMENT", shared.upsert)
    refused(
        "INVALID_ARGUMENT", lambda: shared.wire.remove(shared.index, *(str(n) for n in range(51)))
    )


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"vector": [1.0, 2.0]}, "dimensions"),
        ({"vector": []}, "vector"),
        ({"vector": [1.0, 2.0, float("nan")]}, "NaN"),
        ({"k": 21}, "20"),
        ({"k": -1}, "20"),
        ({"crowding": -1}, "crowding"),
        ({"number": {"namespace": "n", "op": "LESS"}}, "no value"),
        ({"number": {"namespace": "n", "value_int": 1}}, "operator"),
        ({"fraction": 1.5}, "fraction"),
    ],
)
def test_a_bad_query_is_an_invalid_argument(
    deployed: Deployed, fields: dict[str, object], part: str
) -> None:
    asked = replace(Asked([0, 0, 0]), **fields)  # type: ignore[arg-type]

    assert part in refused("INVALID_ARGUMENT", lambda: deployed.find(asked))


def test_a_number_of_neighbours_that_is_not_set_is_ten(deployed: Deployed) -> None:
    deployed.upsert(*(point(str(n), n, 0, 0) for n in range(15)))

    assert deployed.ids(Asked([0, 0, 0], 0)) == [str(n) for n in range(10)]


def test_what_is_not_there_is_not_found(shared: Deployed) -> None:
    wire, nothing = shared.wire, f"{PARENT}/indexes/1"
    endpoint = f"{PARENT}/indexEndpoints/1"
    deployed = {"id": "d", "index": nothing}
    work: list[Callable[[], object]] = [
        lambda: wire.indexes.get_index(name=nothing),
        lambda: wire.indexes.delete_index(name=nothing),
        lambda: wire.upsert(nothing, point("a", 0, 0, 0)),
        lambda: wire.remove(nothing, "a"),
        lambda: wire.endpoints.get_index_endpoint(name=endpoint),
        lambda: wire.endpoints.deploy_index(
            index_endpoint=shared.endpoint, deployed_index=deployed
        ),
        lambda: wire.endpoints.undeploy_index(
            index_endpoint=shared.endpoint, deployed_index_id="none"
        ),
        lambda: wire.matches.find_neighbors({**shared.names, "deployed_index_id": "none"}),
        lambda: wire.indexes.transport.operations_client.get_operation(f"{nothing}/operations/1"),
        lambda: shared.find(Asked([], by_id="none")),
    ]
    for one in work:
        refused("NOT_FOUND", one)


def test_stream_updates_want_an_index_that_is_made_for_them(shared: Deployed) -> None:
    index = shared.wire.creating(index_update_method="BATCH_UPDATE").result().name

    text = refused("FAILED_PRECONDITION", lambda: shared.wire.upsert(index, point("a", 0, 0, 0)))
    assert "StreamUpdate is not enabled on this Index." in text
    refused("FAILED_PRECONDITION", lambda: shared.wire.remove(index, "a"))


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"config": {"dimensions": None}}, "dimensions is required"),
        ({"config": {"dimensions": 2.5}}, "whole number"),
        ({"config": {"dimensions": -1}}, "dimensions"),
        ({"config": {"algorithmConfig": None}}, "algorithmConfig is required"),
        ({"config": {"algorithmConfig": {"treeAhConfig": {}}}}, "approximateNeighborsCount"),
        ({"config": {"distanceMeasureType": "FAR"}}, "distanceMeasureType"),
        ({"config": {"featureNormType": "BIG"}}, "featureNormType"),
        ({"uri": "data/x"}, "gs://"),
        ({"uri": "gs://data/../x"}, "out of its bucket"),
        ({"display_name": ""}, "display_name"),
    ],
)
def test_an_index_that_cannot_be_made_is_refused_at_once(
    shared: Deployed, changes: dict[str, object], part: str
) -> None:
    make = functools.partial(shared.wire.creating, **changes)  # type: ignore[arg-type]

    assert part in refused("INVALID_ARGUMENT", make)


def test_a_bucket_or_folder_that_is_not_there_is_not_found(shared: Deployed) -> None:
    for uri in ("gs://other/x", "gs://data/none"):
        refused("NOT_FOUND", functools.partial(shared.wire.creating, uri=uri))


def test_a_deployment_has_an_id_of_its_own(shared: Deployed) -> None:
    deploy = shared.wire.endpoints.deploy_index
    same = {"id": shared.id, "index": shared.index}
    odd = {"id": "1st", "index": shared.index}
    elsewhere = {"id": "e", "index": shared.index.replace("p/", "q/")}

    for code, deployed in [
        ("ALREADY_EXISTS", same),
        ("INVALID_ARGUMENT", odd),
        ("NOT_FOUND", elsewhere),
    ]:
        request = {"index_endpoint": shared.endpoint, "deployed_index": deployed}
        refused(code, functools.partial(deploy, request))


def test_an_endpoint_is_reached_one_way(shared: Deployed) -> None:
    wire = shared.wire
    both = {"network": NETWORK, "public_endpoint_enabled": True}
    refused("INVALID_ARGUMENT", lambda: wire.endpoint(**both))

    own = Deployed(wire, "private")
    text = refused("FAILED_PRECONDITION", lambda: wire.matches.find_neighbors(own.names))
    assert "private" in text
    other = private.MatchRequest(deployed_index_id="other", float_val=[0, 0, 0])
    refused("NOT_FOUND", lambda: own.stub.Match(other))


def test_private_service_connect_names_its_address(shared: Deployed) -> None:
    wire = shared.wire
    connect = {"enable_private_service_connect": True, "project_allowlist": ["p"]}
    endpoint = wire.endpoint(private_service_connect_config=connect)
    automation = {"project_id": "p", "network": NETWORK}
    deployed = {"id": "psc", "index": shared.index, "psc_automation_configs": [automation]}
    operation = wire.endpoints.deploy_index(index_endpoint=endpoint, deployed_index=deployed)
    paths = operation.result().deployed_index.private_endpoints

    [automated] = paths.psc_automated_endpoints
    stub = wire.private(f"{automated.match_address}:10000")
    request = private.MatchRequest(deployed_index_id="psc", float_val=[0, 0, 0])
    assert list(stub.Match(request).neighbor) == []
    assert paths.service_attachment


def test_lists_are_filtered_and_paged(vertex_emulator: Start) -> None:
    wire = Wire(vertex_emulator())
    for n in range(5):
        parity = ["even", "odd"][n % 2]
        wire.creating(display_name=f"number {n}", labels={"parity": parity}).result()

    def named(**request: object) -> list[str]:
        found = wire.indexes.list_indexes({"parent": PARENT, **request})
        return [index.display_name[-1] for index in found]

    assert named(page_size=2) == ["0", "1", "2", "3", "4"]
    assert named(filter='display_name="number 3"') == ["3"]
    assert named(filter='labels.parity="odd" AND display_name!="number 1"') == ["3"]
    assert named(filter="labels.other:*") == []
    refused("INVALID_ARGUMENT", lambda: named(filter="size>3"))
    refused("INVALID_ARGUMENT", lambda: named(page_token="x"))
    assert list(wire.indexes.list_indexes(parent="projects/p/locations/other")) == []
    wire.close()


def test_what_describes_an_index_and_an_endpoint_can_be_changed(shared: Deployed) -> None:
    wire = shared.wire
    mask = {"paths": ["display_name", "labels"]}
    index = {"name": shared.index, "display_name": "new", "labels": {"a": "b"}, "description": "x"}
    endpoint = {**index, "name": shared.endpoint}

    changed = wire.indexes.update_index(index=index, update_mask=mask).result()
    same = wire.endpoints.update_index_endpoint(index_endpoint=endpoint, update_mask=mask)

    for one in (changed, same):
        assert (one.display_name, dict(one.labels), one.description) == ("new", {"a": "b"}, "")
    wrong = {"paths": ["index_stats"]}
    refused("INVALID_ARGUMENT", lambda: wire.indexes.update_index(index=index, update_mask=wrong))


def test_a_deployment_can_be_changed(shared: Deployed) -> None:
    wanted = {"id": shared.id, "automatic_resources": {"min_replica_count": 2}}
    request = {"index_endpoint": shared.endpoint, "deployed_index": wanted}

    shared.wire.endpoints.mutate_deployed_index(request).result()

    [deployed] = shared.wire.endpoints.get_index_endpoint(name=shared.endpoint).deployed_indexes
    assert deployed.automatic_resources.min_replica_count == 2
    assert deployed.index == shared.index


def test_an_update_adds_to_an_index_or_replaces_it(shared: Deployed, bucket: Path) -> None:
    first = [{"id": n, "embedding": [i, 0, 0]} for i, n in enumerate("abc")]
    own = Deployed(shared.wire, "public", write(bucket, "base", *first))
    write(bucket, "delta/delete", "a", "unknown", name="gone.txt")
    delta = write(
        bucket, "delta", {"id": "b", "embedding": [9, 0, 0]}, {"id": "d", "embedding": [8, 0, 0]}
    )

    shared.wire.updating(own.index, delta).result()
    assert own.ids(Asked([0, 0, 0])) == ["c", "d", "b"]
    shared.wire.updating(own.index, write(bucket, "base"), overwrite=True).result()
    assert own.ids(Asked([0, 0, 0])) == []
    bad = shared.wire.updating(own.index, write(bucket, "bad", "{"), overwrite=True)
    refused("FAILED_PRECONDITION", bad.result)
    assert shared.wire.indexes.get_index(name=own.index).index_stats.vectors_count == 0


def test_rows_that_are_wrong_are_named_and_nothing_is_built(shared: Deployed, bucket: Path) -> None:
    good = {"id": "good", "embedding": [1, 2, 3]}
    uri = write(bucket, "wrong", good, {"id": "short", "embedding": [1]}, "", "no json")

    operation = shared.wire.creating(uri=uri)
    text = refused("FAILED_PRECONDITION", operation.result)

    assert f"invalid records under files [{uri}/rows.json]" in text
    assert operation.operation.name in text
    [stats] = operation.metadata.nearest_neighbor_search_operation_metadata.content_validation_stats
    assert (stats.valid_record_count, stats.invalid_record_count) == (1, 3)
    told = [(e.error_type.name, e.embedding_id, e.raw_record[:4]) for e in stats.partial_errors]
    assert sorted(told) == [
        ("EMBEDDING_SIZE_MISMATCH", "short", '{"id'),
        ("EMPTY_LINE", "", ""),
        ("INVALID_JSON_SYNTAX", "", "no j"),
    ]
    assert not [i for i in shared.wire.indexes.list_indexes(parent=PARENT) if "wrong" in str(i)]
