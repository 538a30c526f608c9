"""Indexes, endpoints and deployments of Vertex AI, made and unmade on the emulator."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import harness_vertex
from harness.datapoints import Datapoint, Query
from harness.indexing import IndexSpec, Report, Work, unheard
from harness.testing.vertex import VertexEmulator, VertexEmulatorSettings
from harness_vertex import VertexError, VertexSettings
from harness_vertex._admin import deployed_id, index_metadata
from harness_vertex._index import VertexSearchIndex

Call = Callable[[Report], None]
SPEC = IndexSpec(dimensions=2, measure="squared_l2")


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """The folder that gs://bucket is."""
    folder = tmp_path / "bucket"
    folder.mkdir()
    return folder


@pytest.fixture
def emulator(bucket: Path) -> Iterator[VertexEmulator]:
    with harness_vertex.emulator(VertexEmulatorSettings(buckets=(f"bucket={bucket}",))) as running:
        yield running


@pytest.fixture
def settings(emulator: VertexEmulator) -> VertexSettings:
    return VertexSettings(address=emulator.address, index="faq-1", encoder=None)


@pytest.fixture
def index(settings: VertexSettings) -> Iterator[VertexSearchIndex]:
    with harness_vertex.build(settings) as opened:
        yield opened


def told(work: list[Work]) -> list[tuple[str, str]]:
    """What was reported, less how far it had come in between."""
    return [(one.doing.split(" (")[0], one.state) for one in work if one.state != "running"]


def write(folder: Path, *rows: object) -> str:
    folder.mkdir(exist_ok=True)
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    (folder / "data.json").write_text("\n".join(lines))
    return f"gs://bucket/{folder.name}"


def rows(*ids: str) -> list[dict[str, object]]:
    return [{"id": key, "embedding": [len(key), 1.0]} for key in ids]


def test_an_index_comes_and_goes_in_the_right_order(index: VertexSearchIndex) -> None:
    work: list[Work] = []
    index.create(SPEC, report=work.append)
    index.serve(report=work.append)
    index.upsert([Datapoint("a", (1, 2))])
    assert index.search([Query(vector=(1, 2))], k=1)[0][0].id == "a"
    assert index.listed() == ["faq-1"]
    index.delete(report=work.append)
    assert index.listed() == []
    assert told(work) == [
        ("create the index faq-1", "done"),
        ("create the endpoint faq-1", "done"),
        ("deploy the index faq-1", "done"),
        ("undeploy faq_1", "done"),
        ("delete the endpoint faq-1", "done"),
        ("delete the index faq-1", "done"),
    ]


def test_what_is_there_is_left_alone(index: VertexSearchIndex) -> None:
    index.create(SPEC)
    index.serve()
    index.upsert([Datapoint("a", (1, 2))])
    work: list[Work] = []
    index.create(SPEC, report=work.append)
    index.serve(report=work.append)
    assert told(work) == [("create the index faq-1", "there"), ("deploy the index faq-1", "there")]
    assert index.describe().count == 1
    index.delete()
    index.delete(report=work.append)
    assert told(work)[-1] == ("delete the index faq-1", "there")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dimensions": 3}, "its dimensions is 2, not 3"),
        ({"measure": "cosine"}, "SQUARED_L2_DISTANCE, not COSINE_DISTANCE"),
        ({"engine": "exact"}, "bruteForceConfig"),
        ({"updates": "batch"}, "its updates is stream, not batch"),
    ],
)
def test_another_index_of_the_name_is_refused(
    index: VertexSearchIndex, change: dict[str, object], message: str
) -> None:
    index.create(SPEC)
    with pytest.raises(VertexError, match=message) as caught:
        index.create(replace(SPEC, **change))  # type: ignore[arg-type]
    assert caught.value.code == "ALREADY_EXISTS"


def test_an_index_that_stops_serving_keeps_what_it_holds(index: VertexSearchIndex) -> None:
    index.create(SPEC)
    index.serve()
    index.upsert([Datapoint("a", (1, 2))])
    index.withdraw()
    with pytest.raises(VertexError, match="not deployed"):
        index.search([Query(vector=(1, 2))], k=1)
    index.serve()
    assert index.search([Query(vector=(1, 2))], k=1)[0][0].id == "a"


def test_an_endpoint_with_other_indexes_stays(settings: VertexSettings) -> None:
    first, second = (replace(settings, index=name, endpoint="shared") for name in ("one", "two"))
    with harness_vertex.build(first) as one, harness_vertex.build(second) as two:
        for index in (one, two):
            index.create(SPEC)
            index.serve()
            index.upsert([Datapoint(index.settings.index, (1, 2))])
        assert one.search([Query(vector=(1, 2))], k=2)[0][0].id == "one"
        one.delete()
        assert [match.id for match in two.search([Query(vector=(1, 2))], k=2)[0]] == ["two"]
        two.delete()
        assert two._finder.endpoints() == []


def test_an_endpoint_that_was_made_elsewhere_stays(index: VertexSearchIndex) -> None:
    endpoint = {"display_name": "theirs", "public_endpoint_enabled": True}
    service = index._service
    service.endpoints.create_index_endpoint(
        parent=service.parent, index_endpoint=endpoint, timeout=10
    )
    with harness_vertex.build(replace(index.settings, endpoint="theirs")) as ours:
        ours.create(SPEC)
        ours.serve()
        ours.delete()
        assert [one.display_name for one in ours._finder.endpoints()] == ["theirs"]


def test_two_of_one_name_must_be_told_apart(index: VertexSearchIndex) -> None:
    index.create(SPEC)
    service = index._service
    twin = {"display_name": "faq-1", "metadata": index_metadata(SPEC, "")}
    service.indexes.create_index(parent=service.parent, index=twin, timeout=10)
    index.wait(service.indexes.list_operations({"name": service.parent}).operations[-1].name)
    with pytest.raises(VertexError, match=r"more than one index is called 'faq-1': \d+, \d+; say"):
        index.describe()


@pytest.mark.parametrize("name", ["4711", "projects/p/locations/l/indexes/1", ""])
def test_an_index_is_made_by_a_display_name_only(settings: VertexSettings, name: str) -> None:
    with (
        harness_vertex.build(replace(settings, index=name, endpoint="e")) as index,
        pytest.raises(VertexError, match="made by its display name"),
    ):
        index.create(SPEC)


def test_files_of_a_bucket_fill_an_index_and_update_it(
    index: VertexSearchIndex, bucket: Path
) -> None:
    source = write(bucket / "first", *rows("a", "bb"))
    index.create(replace(SPEC, updates="batch", source=source))
    index.serve()
    assert [p.id for p in index.read(["a", "bb"])] == ["a", "bb"]
    with pytest.raises(VertexError, match="made with updates=batch") as caught:
        index.upsert([Datapoint("x", (1, 2))])
    assert caught.value.code == "FAILED_PRECONDITION"
    index.update(write(bucket / "more", *rows("ccc")))
    assert index.describe().count == 3
    index.update(write(bucket / "all", *rows("dddd")), overwrite=True)
    assert [p.id for p in index.read(["a", "dddd"])] == ["dddd"]


def test_records_that_are_wrong_are_told(index: VertexSearchIndex, bucket: Path) -> None:
    wrong = {"id": "short", "embedding": [1.0]}
    source = write(bucket / "mixed", *rows("a"), wrong, "{no json")
    work: list[Work] = []
    try:
        index.create(replace(SPEC, source=source), report=work.append)
        said = work[-1].detail
    except VertexError as error:
        said = str(error)
    assert "EMBEDDING_SIZE_MISMATCH" in said
    assert "gs://bucket/mixed/data.json" in said


@pytest.mark.parametrize("source", ["data/", "s3://bucket/x"])
def test_files_must_be_in_a_bucket(index: VertexSearchIndex, source: str) -> None:
    with pytest.raises(VertexError, match="gs://BUCKET/FOLDER"):
        index.create(replace(SPEC, source=source))
    assert index.listed() == []


def test_a_bucket_that_is_not_there_fails_with_the_services_code(index: VertexSearchIndex) -> None:
    with pytest.raises(VertexError) as caught:
        index.create(replace(SPEC, source="gs://elsewhere/x"))
    assert caught.value.code in ("NOT_FOUND", "INVALID_ARGUMENT")
    assert "elsewhere" in str(caught.value)


def test_waiting_can_be_stopped_and_the_same_call_goes_on() -> None:
    """Each call is interrupted when its work has begun; nothing is made twice."""
    given = VertexEmulatorSettings(lro_delay=0.6)
    with harness_vertex.emulator(given) as running:
        settings = VertexSettings(address=running.address, index="slow", encoder=None)
        with harness_vertex.build(settings) as index:
            calls: list[Call] = [lambda r: index.create(SPEC, report=r)]
            calls += [lambda r: index.serve(report=r)]
            for call in calls:
                left = interrupted(call)
                assert left.state == "left"
                assert "/operations/" in left.operation
                call(unheard)
            assert index.listed() == ["slow"]
            assert len(index._finder.endpoints()) == 1
            left = interrupted(lambda r: index.delete(report=r))
            index.wait(left.operation)
            index.delete()
            assert index.listed() == []


def interrupted(call: Call) -> Work:
    """The last that was told of work that Ctrl-C was pressed in."""
    work: list[Work] = []

    def press(one: Work) -> None:
        work.append(one)
        if one.state == "running":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call(press)
    return work[-1]


def test_the_metadata_is_what_the_schema_of_the_service_has() -> None:
    tree = IndexSpec(
        384, "dot_product", "unit_l2", leaf_size=500, leaves_fraction=0.07, approximate_count=150
    )
    assert index_metadata(tree, "small") == {
        "config": {
            "dimensions": 384,
            "approximateNeighborsCount": 150,
            "distanceMeasureType": "DOT_PRODUCT_DISTANCE",
            "featureNormType": "UNIT_L2_NORM",
            "shardSize": "SHARD_SIZE_SMALL",
            "algorithmConfig": {
                "treeAhConfig": {"leafNodeEmbeddingCount": 500, "leafNodesToSearchPercent": 7}
            },
        }
    }
    exact = index_metadata(IndexSpec(2, engine="exact", source="gs://b/f"), "")
    assert exact["contentsDeltaUri"] == "gs://b/f"
    assert "approximateNeighborsCount" not in str(exact)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("faq", "faq"), ("my faq-2", "my_faq_2"), ("2024", "index_2024"), ("été", "index__t_")],
)
def test_a_deployed_index_gets_an_id_that_the_service_takes(name: str, expected: str) -> None:
    assert deployed_id(name) == expected
