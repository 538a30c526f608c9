"""Requests to the emulator: any bytes, and messages that are nearly right."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
from google.longrunning import operations_pb2
from google.protobuf.message import Message
from hypothesis import strategies as st

from harness.testing.vertex import VertexEmulatorSettings, vertex_emulator
from harness_vertex._messages import private, raw
from tests.trust.fuzz_messages import CONFIGS, ODD, edited, filled
from tests.trust.fuzzing import mutated

PARENT = "projects/p/locations/l"
SECONDS = 15.0
_V1 = "google.cloud.aiplatform.v1"
_PRIVATE = "google.cloud.aiplatform.container.v1.MatchService"
_OPERATIONS = "google.longrunning.Operations"
RIGHT = {
    grpc.StatusCode.OK: "requests answered",
    grpc.StatusCode.INVALID_ARGUMENT: "refused as INVALID_ARGUMENT",
    grpc.StatusCode.NOT_FOUND: "refused as NOT_FOUND",
    grpc.StatusCode.FAILED_PRECONDITION: "refused as FAILED_PRECONDITION",
    grpc.StatusCode.ALREADY_EXISTS: "refused as ALREADY_EXISTS",
    grpc.StatusCode.UNIMPLEMENTED: "refused as UNIMPLEMENTED",
}
_PUBLIC = {
    "IndexService": [
        *("CreateIndex", "GetIndex", "ListIndexes", "UpdateIndex", "DeleteIndex"),
        *("UpsertDatapoints", "RemoveDatapoints"),
    ],
    "IndexEndpointService": [
        *("CreateIndexEndpoint", "GetIndexEndpoint", "ListIndexEndpoints", "UpdateIndexEndpoint"),
        *("DeleteIndexEndpoint", "DeployIndex", "UndeployIndex", "MutateDeployedIndex"),
    ],
    "MatchService": ["FindNeighbors", "ReadIndexDatapoints"],
}
METHODS: dict[str, type[Message]] = {
    f"{_V1}.{service}/{name}": raw(f"{name}Request")
    for service, names in _PUBLIC.items()
    for name in names
} | {
    f"{_PRIVATE}/Match": private.MatchRequest,
    f"{_PRIVATE}/BatchMatch": private.BatchMatchRequest,
    f"{_PRIVATE}/BatchGetEmbeddings": private.BatchGetEmbeddingsRequest,
    f"{_OPERATIONS}/GetOperation": operations_pb2.GetOperationRequest,
    f"{_OPERATIONS}/ListOperations": operations_pb2.ListOperationsRequest,
    f"{_OPERATIONS}/WaitOperation": operations_pb2.WaitOperationRequest,
    f"{_OPERATIONS}/CancelOperation": operations_pb2.CancelOperationRequest,
    f"{_OPERATIONS}/DeleteOperation": operations_pb2.DeleteOperationRequest,
}
_UNDOING = (
    "DeleteIndex",
    "DeleteIndexEndpoint",
    "UndeployIndex",
    "UpdateIndex",
    "RemoveDatapoints",
)


class Service:
    """An emulator with an index that requests may change, and one that they do not know."""

    def __init__(self, parts: ExitStack, bucket: Path) -> None:
        (bucket / "rows").mkdir(parents=True)
        (bucket / "rows" / "a.json").write_text('{"id": "from a file", "embedding": [1, 2]}\n')
        settings = VertexEmulatorSettings(buckets=(f"data={bucket}",), private_port=_free_port())
        self._emulator = parts.enter_context(vertex_emulator(settings))
        self._open(parts)
        self._kept = self._index("kept")
        self.index = self._index("fuzzed")
        self.endpoint = self._endpoint(public_endpoint_enabled=True)
        self._deploy(self.endpoint, self.index, "fuzzed")
        self._deploy(self.endpoint, self._kept, "kept")
        network = self._endpoint(network="projects/1/global/networks/n")
        self._deploy(network, self.index, "near")
        self._private = parts.enter_context(grpc.insecure_channel(self._emulator.private["near"]))
        self._before = self._of_kept()

    def _open(self, parts: ExitStack) -> None:
        self._channel = parts.enter_context(grpc.insecure_channel(self._emulator.address))

    def requests(self) -> st.SearchStrategy[tuple[str, bytes]]:
        """Messages by their types, some of their bytes changed."""
        return st.sampled_from(sorted(METHODS)).flatmap(self._request)

    def _request(self, method: str) -> st.SearchStrategy[tuple[str, bytes]]:
        undoing = method.endswith(_UNDOING)
        own = [] if undoing else [self.index, self.endpoint, "fuzzed", "near"]
        texts = (*own, PARENT, *ODD)
        right = filled(METHODS[method], self._right_fields(method.rpartition("/")[2]))
        whole = edited(right, texts)
        data = whole.map(lambda message: message.SerializeToString())
        changed = data if undoing else st.one_of(data, data, data, mutated(data))
        return st.tuples(st.just(method), changed)

    def _right_fields(self, method: str) -> dict[str, object]:
        """What a right request to a method says; one that undoes names nothing that is there."""
        gone: dict[str, object] = {"name": f"{PARENT}/indexes/1"}
        point = {
            "datapoint_id": "a", "feature_vector": [0.5, 1],
            "restricts": [{"namespace": "colour", "allow_list": ["red"], "deny_list": ["blue"]}],
            "numeric_restricts": [{"namespace": "price", "value_double": 2}],
            "crowding_tag": {"crowding_attribute": "c"}, "embedding_metadata": {"page": 1},
        }  # fmt: skip
        where = {**point, "numeric_restricts": [{"namespace": "price", "value_double": 2, "op": 2}]}
        asked = {
            "datapoint": where,
            "neighbor_count": 2,
            "per_crowding_attribute_neighbor_count": 1,
        }
        deployed = {"index_endpoint": self.endpoint, "deployed_index_id": "fuzzed"}
        match = {
            "deployed_index_id": "near", "float_val": [1, 2], "num_neighbors": 2,
            "restricts": [{"name": "colour", "allow_tokens": ["red"]}],
            "numeric_restricts": [{"name": "price", "value_double": 2, "op": 2}],
        }  # fmt: skip
        index = {"display_name": "i", "index_update_method": 2, "metadata": CONFIGS[0]}
        listing = {"parent": PARENT, "filter": "display_name=a AND labels.b=c", "page_size": 2}
        right: dict[str, dict[str, object]] = {
            "CreateIndex": {"parent": PARENT, "index": index},
            "GetIndex": {"name": self.index},
            "ListIndexes": listing,
            "UpdateIndex": {"index": {**index, **gone}, "update_mask": "displayName"},
            "DeleteIndex": gone,
            "UpsertDatapoints": {"index": self.index, "datapoints": [point]},
            "RemoveDatapoints": {"index": f"{PARENT}/indexes/1", "datapoint_ids": ["a"]},
            "CreateIndexEndpoint": {
                "parent": PARENT,
                "index_endpoint": {"display_name": "e", "public_endpoint_enabled": True},
            },
            "GetIndexEndpoint": {"name": self.endpoint},
            "ListIndexEndpoints": listing,
            "UpdateIndexEndpoint": {
                "index_endpoint": {"name": self.endpoint, "display_name": "f"},
                "update_mask": "displayName",
            },
            "DeleteIndexEndpoint": {"name": f"{PARENT}/indexEndpoints/1"},
            "DeployIndex": {
                "index_endpoint": self.endpoint,
                "deployed_index": {"id": "another", "index": self.index},
            },
            "UndeployIndex": {"index_endpoint": self.endpoint, "deployed_index_id": "another"},
            "MutateDeployedIndex": {
                "index_endpoint": self.endpoint,
                "deployed_index": {"id": "fuzzed", "display_name": "g"},
            },
            "FindNeighbors": {**deployed, "queries": [asked], "return_full_datapoint": True},
            "ReadIndexDatapoints": {**deployed, "ids": ["a", "b"]},
            "Match": match,
            "BatchMatch": {"requests": [{"deployed_index_id": "near", "requests": [match]}]},
            "BatchGetEmbeddings": {"deployed_index_id": "near", "id": ["a"]},
            "ListOperations": {"name": self.index, "page_size": 3},
        }
        return right.get(method, {"name": f"{self.index}/operations/1"})

    def survives(self, case: tuple[str, bytes]) -> str:
        method, data = case
        code, reply = self._call(method, data)
        assert code in RIGHT, f"{code} of {method}: {reply!r}"
        if method.rpartition("/")[2] in _LONG_METHODS and code is grpc.StatusCode.OK:
            self._ended(operations_pb2.Operation.FromString(reply))
        return RIGHT[code]

    def unhurt(self) -> None:
        """What no request named is as it was; what they named works."""
        assert self._of_kept() == self._before
        point = {"datapoint_id": "last", "feature_vector": [1, 2]}
        self._right("IndexService/UpsertDatapoints", index=self.index, datapoints=[point])
        found = self._right(
            "MatchService/FindNeighbors", index_endpoint=self.endpoint, deployed_index_id="fuzzed",
            queries=[{"datapoint": {"feature_vector": [1, 2]}, "neighbor_count": 3}],
        )  # fmt: skip
        assert raw("FindNeighborsResponse").FromString(found).nearest_neighbors[0].neighbors

    def _call(self, method: str, data: bytes) -> tuple[grpc.StatusCode, Any]:
        channel = self._private if method.startswith(_PRIVATE) else self._channel
        try:
            return grpc.StatusCode.OK, channel.unary_unary(f"/{method}")(data, timeout=SECONDS)
        except grpc.RpcError as error:
            return error.code(), error.details()

    def _ended(self, operation: operations_pb2.Operation) -> None:
        if not operation.done:
            wait = operations_pb2.WaitOperationRequest(name=operation.name)
            _, data = self._call(f"{_OPERATIONS}/WaitOperation", wait.SerializeToString())
            operation = operations_pb2.Operation.FromString(data)
        assert operation.done
        codes = {code.value[0]: code for code in RIGHT}
        assert operation.error.code in codes, operation.error

    def _right(self, method: str, **fields: object) -> bytes:
        name = method.rpartition("/")[2]
        request = filled(raw(f"{name}Request"), fields)
        code, reply = self._call(f"{_V1}.{method}", request.SerializeToString())
        assert code is grpc.StatusCode.OK, reply
        return bytes(reply)

    def _made(self, method: str, response: str, **fields: object) -> Message:
        operation = operations_pb2.Operation.FromString(self._right(method, **fields))
        assert operation.done, operation
        return raw(response).FromString(operation.response.value)

    def _index(self, name: str) -> str:
        config = {"dimensions": 2, "algorithmConfig": {"bruteForceConfig": {}}}
        index = {"display_name": name, "index_update_method": 2, "metadata": {"config": config}}
        made = self._made("IndexService/CreateIndex", "Index", parent=PARENT, index=index)
        points = [
            {"datapoint_id": key, "feature_vector": [number, 1]} for number, key in enumerate("abc")
        ]
        self._right("IndexService/UpsertDatapoints", index=made.name, datapoints=points)
        return str(made.name)

    def _endpoint(self, **fields: object) -> str:
        endpoint = {"display_name": "e", **fields}
        method = "IndexEndpointService/CreateIndexEndpoint"
        made = self._made(method, "IndexEndpoint", parent=PARENT, index_endpoint=endpoint)
        return str(made.name)

    def _deploy(self, endpoint: str, index: str, name: str) -> None:
        deployed = {"id": name, "index": index}
        method = "IndexEndpointService/DeployIndex"
        self._made(method, "DeployIndexResponse", index_endpoint=endpoint, deployed_index=deployed)

    def _of_kept(self) -> bytes:
        return self._right(
            "MatchService/FindNeighbors", index_endpoint=self.endpoint, deployed_index_id="kept",
            queries=[{"datapoint": {"feature_vector": [1, 2]}, "neighbor_count": 9}],
            return_full_datapoint=True,
        )  # fmt: skip


_LONG_METHODS = (
    *("CreateIndex", "UpdateIndex", "DeleteIndex", "CreateIndexEndpoint", "DeleteIndexEndpoint"),
    *("DeployIndex", "UndeployIndex", "MutateDeployedIndex"),
)


def any_bytes() -> st.SearchStrategy[tuple[str, bytes]]:
    """Bytes that are no messages, and some that happen to be."""
    return st.tuples(st.sampled_from(sorted(METHODS)), st.binary(max_size=200))


def _free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
