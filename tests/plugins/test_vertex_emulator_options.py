"""How the emulator is started: delays, lags, faults, limits, and options that are wrong."""

from __future__ import annotations

import functools
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import harness_vertex
from harness.errors import HarnessError, PluginError
from harness.testing.vertex import VertexEmulator, VertexEmulatorSettings

pytest.importorskip("grpc")
pytest.importorskip("google.cloud.aiplatform_v1")

from google.api_core import exceptions as api
from google.cloud import aiplatform_v1 as v1
from google.longrunning import operations_pb2

from .vertex_wire import PARENT, Asked, Deployed, Wire, point, refused, until, write

Start = Callable[..., VertexEmulator]


def test_operations_take_their_time_and_can_be_cancelled(vertex_emulator: Start) -> None:
    wire = Wire(vertex_emulator(lro_delay=30))
    operations = wire.indexes.transport.operations_client
    operation = wire.creating()

    assert not operation.done()
    assert list(wire.indexes.list_indexes(parent=PARENT)) == []
    name = operation.operation.name
    refused("FAILED_PRECONDITION", lambda: operations.delete_operation(name))
    operation.cancel()
    refused("CANCELLED", operation.result)
    assert [o.name for o in operations.list_operations(name.partition("/operations/")[0], "")] == [
        name
    ]
    operations.delete_operation(name)
    refused("NOT_FOUND", lambda: operations.get_operation(name))
    wire.close()


def test_waiting_for_an_operation_ends_with_it(vertex_emulator: Start) -> None:
    wire = Wire(vertex_emulator(lro_delay=0.3))
    wait = wire.channel.unary_unary(
        "/google.longrunning.Operations/WaitOperation",
        operations_pb2.WaitOperationRequest.SerializeToString,
        operations_pb2.Operation.FromString,
    )
    name = wire.creating().operation.name

    soon = operations_pb2.WaitOperationRequest(name=name)
    soon.timeout.FromMilliseconds(1)
    assert not wait(soon).done
    assert wait(operations_pb2.WaitOperationRequest(name=name)).done
    wire.close()


def test_deployments_at_the_same_time_are_all_there(vertex_emulator: Start) -> None:
    wire = Wire(vertex_emulator(lro_delay=0.2))
    operations = [wire.creating() for _ in range(5)]
    endpoint = wire.endpoint()
    indexes = [operation.result().name for operation in operations]
    wanted = [{"id": f"number_{n}", "index": index} for n, index in enumerate(indexes)]

    deploy = functools.partial(wire.endpoints.deploy_index, index_endpoint=endpoint)
    for operation in [deploy(deployed_index=deployed) for deployed in wanted]:
        operation.result()

    found = wire.endpoints.get_index_endpoint(name=endpoint).deployed_indexes
    assert sorted(deployed.id for deployed in found) == [d["id"] for d in wanted]
    wire.close()


def test_a_write_is_seen_after_the_lag_and_not_before(vertex_emulator: Start) -> None:
    wire = Wire(vertex_emulator(visibility_lag=0.5))
    own = Deployed(wire, "public")

    began = time.monotonic()
    own.upsert(point("a", 0, 0, 0))
    own.upsert(point("a", colour="red"), mask=("all_restricts",))
    seen_at_once = own.find(Asked([0, 0, 0]))
    assert seen_at_once == [] or time.monotonic() - began > 0.5
    until(lambda: own.ids(Asked([0, 0, 0], allow={"colour": "red"})) == ["a"])
    assert time.monotonic() - began > 0.5
    refused("INVALID_ARGUMENT", lambda: own.upsert(point("b", 0)))
    refused("NOT_FOUND", lambda: own.upsert(point("b"), mask=("all_restricts",)))
    wire.remove(own.index, "a")
    until(lambda: own.ids(Asked([0, 0, 0])) == [])
    wire.close()


def test_calls_fail_as_often_as_is_wanted(vertex_emulator: Start) -> None:
    wire = Wire(vertex_emulator(fail=("ListIndexes:UNAVAILABLE=0.5",), seed=3))
    failed = 0
    for _ in range(200):
        try:
            list(wire.indexes.list_indexes(parent=PARENT, retry=None))
        except api.ServiceUnavailable:
            failed += 1
    assert 70 < failed < 130
    assert list(wire.endpoints.list_index_endpoints(parent=PARENT)) == []
    wire.close()


def test_the_sign_of_a_dot_product_does_not_change_the_order(vertex_emulator: Start) -> None:
    found = []
    for sign in (1, -1):
        wire = Wire(vertex_emulator(dot_sign=sign))
        own = Deployed(wire, "public", distanceMeasureType="DOT_PRODUCT_DISTANCE")
        own.upsert(point("a", 1, 0, 0), point("b", 3, 0, 0), point("c", -1, 0, 0))
        found.append(own.find(Asked([1, 0, 0])))
        wire.close()

    assert found[0] == [("b", 3.0), ("a", 1.0), ("c", -1.0)]
    assert found[1] == [(name, -distance) for name, distance in found[0]]


def test_a_request_may_be_larger_than_grpc_allows_by_itself(vertex_emulator: Start) -> None:
    wire = Wire(vertex_emulator())
    own = Deployed(wire, "public", dimensions=1536)
    request = v1.UpsertDatapointsRequest.pb()(index=own.index)
    for n in range(1000):
        request.datapoints.add(datapoint_id=str(n), feature_vector=[float(n)] * 1536)
    assert request.ByteSize() > 4 * 2**20

    wire.indexes.upsert_datapoints(v1.UpsertDatapointsRequest.wrap(request))

    assert own.find(Asked([7.0] * 1536, 1)) == [("7", 0.0)]
    wire.close()


def test_a_complete_overwrite_is_never_seen_in_part(vertex_emulator: Start, tmp_path: Path) -> None:
    """Searches go on while the contents are swapped: all of the old ones or all of the new ones."""
    for folder, names in (("old", "ab"), ("new", "cd")):
        write(tmp_path, folder, *({"id": n, "embedding": [1, 0, 0]} for n in names))
    wire = Wire(vertex_emulator(buckets=(f"data={tmp_path}",), data_dir=str(tmp_path / "kept")))
    own = Deployed(wire, "public", "gs://data/old")
    seen: set[frozenset[str]] = set()
    stop = threading.Event()

    def search() -> None:
        while not stop.is_set():
            seen.add(frozenset(own.ids(Asked([0, 0, 0]))))

    with ThreadPoolExecutor(2) as pool:
        searches = [pool.submit(search) for _ in range(2)]
        for folder in ["new", "old"] * 5:
            wire.updating(own.index, f"gs://data/{folder}", overwrite=True).result()
        stop.set()
    for one in searches:
        one.result()
    assert seen == {frozenset("ab"), frozenset("cd")}
    wire.close()


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        ({"dot_sign": 2}, "dot_sign"),
        ({"port": 70_000}, "port"),
        ({"lro_delay": -1.0}, "lro_delay"),
        ({"buckets": ("data",)}, "NAME=FOLDER"),
        ({"buckets": ("data=/none/such",)}, "no folder"),
        ({"fail": ("UNAVAILABLE",)}, "CODE=RATE"),
        ({"fail": ("OFTEN=0.1",)}, "CODE=RATE"),
        ({"fail": ("UNAVAILABLE=2",)}, "CODE=RATE"),
        ({"speed": 9}, "speed"),
    ],
)
def test_settings_that_are_wrong_are_one_clear_error(
    vertex_emulator: Start, wrong: dict[str, object], part: str
) -> None:
    with pytest.raises(HarnessError, match=part):
        vertex_emulator(**wrong)


def test_a_port_that_is_taken_is_one_clear_error(vertex_emulator: Start) -> None:
    port = int(vertex_emulator().address.partition(":")[2])

    with pytest.raises(HarnessError, match="cannot be had"):
        vertex_emulator(port=port)


def test_the_command_refuses_wrong_options_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    from harness.cli import main

    assert main(["vertex-emulator", "--fail", "x"]) == 2
    assert "CODE=RATE" in capsys.readouterr().err


def test_a_folder_belongs_to_one_emulator(vertex_emulator: Start, tmp_path: Path) -> None:
    vertex_emulator(data_dir=str(tmp_path))

    with pytest.raises(HarnessError, match="another emulator"):
        vertex_emulator(data_dir=str(tmp_path))


def test_a_restart_keeps_the_certificate(vertex_emulator: Start, tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        with vertex_emulator(data_dir=str(tmp_path), tls=True) as one:
            seen.append(Path(one.ca_file).read_bytes())
    assert seen[0] == seen[1]
    assert (tmp_path / "ca.key").stat().st_mode & 0o077 == 0


def test_without_the_plugin_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.testing.vertex import vertex_emulator

    monkeypatch.setenv("HARNESS_NO_PLUGIN", "vertex")
    with pytest.raises(PluginError, match="vertex"):
        vertex_emulator(VertexEmulatorSettings())


def test_the_plugin_is_light() -> None:
    code = (
        "import sys, harness_vertex, harness.testing.vertex; "
        "sys.exit(bool({'grpc', 'google.protobuf', 'google.auth', 'numpy'} & sys.modules.keys()))"
    )
    path = {"PYTHONPATH": str(Path(harness_vertex.__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", code], env=path, check=False).returncode == 0
