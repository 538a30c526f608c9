"""The emulator as a process: what it prints, what survives its death, and the SDK over TLS."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

grpc = pytest.importorskip("grpc")
pytest.importorskip("google.cloud.aiplatform_v1")

from google.cloud.aiplatform_v1 import types  # noqa: E402
from google.longrunning import operations_pb2  # noqa: E402
from google.protobuf.message import Message  # noqa: E402

INDEX = types.Index.pb()
PARENT = "projects/p/locations/us-central1"
CONFIG = {
    "dimensions": 2,
    "distanceMeasureType": "SQUARED_L2_DISTANCE",
    "algorithmConfig": {"bruteForceConfig": {}},
}


class Process:
    """A running command, and raw calls to it."""

    def __init__(self, *options: str) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "harness", "vertex-emulator", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.popen.stdout is not None
        self.ready = json.loads(self.popen.stdout.readline())
        self.channel = grpc.insecure_channel(self.ready["address"])

    def call(self, method: str, request: Message, reply: type[Message]) -> Message:
        """One call, by raw protobuf."""
        path = method if method.startswith("/") else f"/google.cloud.aiplatform.v1.{method}"
        ask = self.channel.unary_unary(path, type(request).SerializeToString, reply.FromString)
        return ask(request, timeout=60)

    def operation(self, method: str, request: Message) -> Message:
        return self.call(method, request, operations_pb2.Operation)

    def wait(self, operation: Message) -> Message:
        request = operations_pb2.WaitOperationRequest(name=operation.name)
        path = "/google.longrunning.Operations/WaitOperation"
        done = self.call(path, request, operations_pb2.Operation)
        assert done.done
        assert not done.HasField("error"), done.error
        return done

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it, and give its exit code."""
        self.channel.close()
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        self.popen.communicate(timeout=60)
        return self.popen.returncode


@contextmanager
def process(*options: str) -> Iterator[Process]:
    one = Process(*options)
    try:
        yield one
    finally:
        one.end(signal.SIGKILL)


def index_request(name: str, **metadata: object) -> Message:
    index = types.Index(
        display_name=name,
        index_update_method="STREAM_UPDATE",
        metadata={"config": CONFIG, **metadata},
    )
    return types.CreateIndexRequest.pb(types.CreateIndexRequest(parent=PARENT, index=index))


def create(one: Process, name: str, **metadata: object) -> str:
    done = one.wait(one.operation("IndexService/CreateIndex", index_request(name, **metadata)))
    index = types.Index.pb().FromString(done.response.value)
    return str(index.name)


def deploy(one: Process, index: str, **endpoint: object) -> tuple[str, str]:
    """Deploy as `served`, and give the endpoint and the private address."""
    made = types.IndexEndpoint(display_name="e", **endpoint)
    request = types.CreateIndexEndpointRequest(parent=PARENT, index_endpoint=made)
    call = "IndexEndpointService/CreateIndexEndpoint"
    done = one.wait(one.operation(call, types.CreateIndexEndpointRequest.pb(request)))
    name = types.IndexEndpoint.pb().FromString(done.response.value).name
    wanted = types.DeployedIndex(id="served", index=index)
    asked = types.DeployIndexRequest(index_endpoint=name, deployed_index=wanted)
    call = "IndexEndpointService/DeployIndex"
    done = one.wait(one.operation(call, types.DeployIndexRequest.pb(asked)))
    response = types.DeployIndexResponse.pb().FromString(done.response.value)
    return name, response.deployed_index.private_endpoints.match_grpc_address


def count(one: Process, index: str) -> int:
    """How many datapoints an index says it has."""
    found = one.call("IndexService/GetIndex", types.GetIndexRequest.pb()(name=index), INDEX)
    return int(found.index_stats.vectors_count)


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Ask until it holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never held"


def upsert(one: Process, index: str, points: dict[str, float]) -> None:
    request = types.UpsertDatapointsRequest.pb()(index=index)
    for name, x in points.items():
        request.datapoints.add(datapoint_id=name, feature_vector=[x, 0.0])
    reply = types.UpsertDatapointsResponse.pb()
    one.call("IndexService/UpsertDatapoints", request, reply)


def read(one: Process, endpoint: str, names: list[str]) -> dict[str, float]:
    request = types.ReadIndexDatapointsRequest.pb()(
        index_endpoint=endpoint, deployed_index_id="served", ids=names
    )
    reply = types.ReadIndexDatapointsResponse.pb()
    found = one.call("MatchService/ReadIndexDatapoints", request, reply)
    return {d.datapoint_id: d.feature_vector[0] for d in found.datapoints}


def test_the_command_says_where_it_serves_and_stops_when_told() -> None:
    with process() as one:
        assert one.ready["pid"] == one.popen.pid
        assert one.ready["tls_address"] == one.ready["ca_file"] == ""
        assert one.end(signal.SIGINT) == 0


def test_a_death_and_a_restart_lose_nothing(tmp_path: Path) -> None:
    """Indexes, endpoints, addresses, writes and operations that were not done."""
    bucket = tmp_path / "bucket" / "x"
    bucket.mkdir(parents=True)
    (bucket / "x.json").write_text('{"id": "a", "embedding": [1, 2]}\n')
    options = ("--data-dir", str(tmp_path / "kept"), "--bucket", f"b={bucket.parent}")
    with process(*options, "--visibility-lag", "1000") as one:
        index = create(one, "kept")
        _, address = deploy(one, index, network="n")
        upsert(one, index, {"a": 1.0})
        assert count(one, index) == 0
        one.end(signal.SIGKILL)
    with process(*options, "--lro-delay", "1000") as one:
        assert one.ready["private"] == {"served": f"{address}:10000"}
        request = index_request("late", contentsDeltaUri="gs://b/x")
        operation = one.operation("IndexService/CreateIndex", request)
        one.end(signal.SIGKILL)
    with process(*options) as one:
        done = one.wait(operation)
        late = types.Index.pb().FromString(done.response.value)
        assert late.index_stats.vectors_count == 1
        until(lambda: count(one, index) == 1)


def test_every_acknowledged_upsert_survives_sigkill(tmp_path: Path) -> None:
    """Killed at random while it writes, and started again: what was answered is there."""
    chance, kept = random.Random(5), dict[str, float]()
    asked: dict[str, float] = {}
    index = endpoint = ""
    for turn in range(4):
        with process("--data-dir", str(tmp_path)) as one:
            if not index:
                index = create(one, "written")
                endpoint, _ = deploy(one, index, public_endpoint_enabled=True)
            found = read(one, endpoint, list(kept | asked))
            assert found in (kept, kept | asked)
            kept = found
            threading.Timer(chance.uniform(0.05, 0.4), one.popen.kill).start()
            with contextlib.suppress(grpc.RpcError):
                for number in itertools.count():
                    value = 1000.0 * turn + number
                    asked = {str(chance.randrange(500)): value for _ in range(20)}
                    upsert(one, index, asked)
                    kept.update(asked)
    assert kept


SDK = """
import sys
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform
from google.cloud import aiplatform_v1 as v1
from google.cloud.aiplatform.matching_engine.matching_engine_index_endpoint import Namespace

aiplatform.init(
    project="p", location="us-central1", api_endpoint=sys.argv[1],
    credentials=AnonymousCredentials(),
)
index = aiplatform.MatchingEngineIndex.create_tree_ah_index(
    "sdk", contents_delta_uri="gs://b/x", dimensions=2, approximate_neighbors_count=10,
    leaf_node_embedding_count=500, leaf_nodes_to_search_percent=7,
    distance_measure_type="SQUARED_L2_DISTANCE", index_update_method="STREAM_UPDATE",
)
red = [{"namespace": "colour", "allow_list": ["red"]}]
index.upsert_datapoints(
    [v1.IndexDatapoint(datapoint_id="b", feature_vector=[3, 0], restricts=red)]
)
public = aiplatform.MatchingEngineIndexEndpoint.create("public", public_endpoint_enabled=True)
public.deploy_index(index, "in_public")
private = aiplatform.MatchingEngineIndexEndpoint.create(
    "private", network="projects/1/global/networks/n"
)
private.deploy_index(index, "in_private")

def ids(found):
    return [neighbor.id for neighbor in found[0]]

query = [[2.5, 0.0]]
assert ids(public.find_neighbors(deployed_index_id="in_public", queries=query)) == ["b", "a"]
only = [Namespace("colour", ["red"], [])]
found = private.match("in_private", query, num_neighbors=2, filter=only)
assert ids(found) == ["b"]
assert ids(private.find_neighbors(deployed_index_id="in_private", queries=query)) == ["b", "a"]
[read] = public.read_index_datapoints(deployed_index_id="in_public", ids=["b"])
assert read.restricts[0].allow_list == ["red"]
index.update_embeddings("gs://b/x", is_complete_overwrite=True)
index.remove_datapoints(["b"])
assert ids(public.find_neighbors(deployed_index_id="in_public", queries=query)) == ["a"]
assert [i.display_name for i in aiplatform.MatchingEngineIndex.list()] == ["sdk"]
for endpoint in (public, private):
    endpoint.undeploy_all()
    endpoint.delete()
index.delete()
"""


def test_the_sdk_works_over_tls_as_it_is(tmp_path: Path) -> None:
    bucket = tmp_path / "bucket" / "x"
    bucket.mkdir(parents=True)
    (bucket / "x.json").write_text('{"id": "a", "embedding": ["1", "2"]}\n')
    with process("--tls", "--bucket", f"b={bucket.parent}") as one:
        trusting = {**os.environ, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": one.ready["ca_file"]}
        command = [sys.executable, "-W", "ignore", "-c", SDK, one.ready["tls_address"]]
        done = subprocess.run(
            command, env=trusting, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert one.end() == 0
        assert not Path(one.ready["ca_file"]).exists()
