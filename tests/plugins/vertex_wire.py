"""Google's low-level clients of an emulator, and a search in words of neither service."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from google.api_core import exceptions as api
from google.api_core.operation import Operation
from google.cloud import aiplatform_v1 as v1
from google.cloud import aiplatform_v1beta1 as v1beta1
from google.cloud.aiplatform.matching_engine._protos import match_service_pb2 as private
from google.cloud.aiplatform.matching_engine._protos import match_service_pb2_grpc as private_grpc

from harness.testing.vertex import VertexEmulator

PARENT = "projects/p/locations/us-central1"
NETWORK = "projects/1/global/networks/n"
_numbers = itertools.count()


class Wire:
    """Clients of one emulator, of one version of the API."""

    def __init__(self, emulator: VertexEmulator, version: str = "v1") -> None:
        self.types = {"v1": v1, "v1beta1": v1beta1}[version]
        self.emulator = emulator
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.channel = grpc.insecure_channel(emulator.address, options=options)
        self._channels = [self.channel]
        self.indexes = self._client(self.types.IndexServiceClient)
        self.endpoints = self._client(self.types.IndexEndpointServiceClient)
        self.matches = self._client(self.types.MatchServiceClient)

    def _client(self, kind: v1.IndexServiceClient) -> v1.IndexServiceClient:
        return kind(transport=kind.get_transport_class("grpc")(channel=self.channel))

    def creating(
        self,
        config: Mapping[str, object] = {},
        uri: str = "",
        **fields: object,
    ) -> Operation:
        """The making of an index of three dimensions with stream updates, but for the changes."""
        usual = {
            "dimensions": 3,
            "distanceMeasureType": "SQUARED_L2_DISTANCE",
            "algorithmConfig": {"bruteForceConfig": {}},
        }
        metadata = {"config": {**usual, **config}, **({"contentsDeltaUri": uri} if uri else {})}
        index = {
            "display_name": "an index",
            "index_update_method": "STREAM_UPDATE",
            "metadata": metadata,
            **fields,
        }
        return self.indexes.create_index(parent=PARENT, index=index)

    def updating(self, index: str, uri: str, overwrite: bool = False) -> Operation:
        """The update of an index by files."""
        metadata = {"contentsDeltaUri": uri, "isCompleteOverwrite": overwrite}
        changed = {"name": index, "metadata": metadata}
        return self.indexes.update_index(index=changed, update_mask={"paths": ["metadata"]})

    def endpoint(self, **fields: object) -> str:
        """An endpoint, public where nothing else is said."""
        fields = fields or {"public_endpoint_enabled": True}
        made = {"display_name": "an endpoint", **fields}
        operation = self.endpoints.create_index_endpoint(parent=PARENT, index_endpoint=made)
        return str(operation.result().name)

    def upsert(
        self, index: str, *datapoints: Mapping[str, object], mask: tuple[str, ...] = ()
    ) -> None:
        update = {"update_mask": {"paths": list(mask)}} if mask else {}
        self.indexes.upsert_datapoints({"index": index, "datapoints": list(datapoints), **update})

    def remove(self, index: str, *ids: str) -> None:
        self.indexes.remove_datapoints({"index": index, "datapoint_ids": list(ids)})

    def private(self, address: str) -> private_grpc.MatchServiceStub:
        channel = grpc.insecure_channel(address)
        self._channels.append(channel)
        return private_grpc.MatchServiceStub(channel)

    def close(self) -> None:
        for channel in self._channels:
            channel.close()


@dataclass(frozen=True)
class Asked:
    """A query in the words of neither service; `allow` and `deny` are tokens by namespace."""

    vector: list[float]
    k: int = 10
    allow: Mapping[str, str] = field(default_factory=dict)
    deny: Mapping[str, str] = field(default_factory=dict)
    number: Mapping[str, object] = field(default_factory=dict)
    crowding: int = 0
    fraction: float = 0.0
    by_id: str = ""


class Deployed:
    """An index that is deployed, and what searches in it: publicly or privately."""

    def __init__(self, wire: Wire, way: str, uri: str = "", **config: object) -> None:
        self.wire, self.way = wire, way
        self.index = str(wire.creating(config, uri).result().name)
        fields = {"network": NETWORK} if way == "private" else {"public_endpoint_enabled": True}
        self.endpoint, self.id = wire.endpoint(**fields), f"deployed_{next(_numbers)}"
        deployed = {"id": self.id, "index": self.index}
        wire.endpoints.deploy_index(index_endpoint=self.endpoint, deployed_index=deployed).result()
        self.names = {"index_endpoint": self.endpoint, "deployed_index_id": self.id}
        if way == "private":
            self.stub = wire.private(wire.emulator.private[self.id])

    def upsert(self, *datapoints: Mapping[str, object], mask: tuple[str, ...] = ()) -> None:
        self.wire.upsert(self.index, *datapoints, mask=mask)

    def find(self, asked: Asked) -> list[tuple[str, float]]:
        """Ids and distances, nearest first."""
        return self._match(asked) if self.way == "private" else self._find(asked)

    def ids(self, asked: Asked) -> list[str]:
        return [name for name, _ in self.find(asked)]

    def _find(self, asked: Asked) -> list[tuple[str, float]]:
        restricts = [{"namespace": n, "allow_list": [t]} for n, t in asked.allow.items()]
        restricts += [{"namespace": n, "deny_list": [t]} for n, t in asked.deny.items()]
        datapoint = {"feature_vector": asked.vector, "restricts": restricts}
        datapoint["numeric_restricts"] = [asked.number] if asked.number else []
        datapoint["datapoint_id"] = asked.by_id
        query = {
            "datapoint": datapoint,
            "neighbor_count": asked.k,
            "per_crowding_attribute_neighbor_count": asked.crowding,
            "fraction_leaf_nodes_to_search_override": asked.fraction,
        }
        found = self.wire.matches.find_neighbors({**self.names, "queries": [query]})
        nearest = found.nearest_neighbors[0].neighbors
        return [(n.datapoint.datapoint_id, n.distance) for n in nearest]

    def _match(self, asked: Asked) -> list[tuple[str, float]]:
        tokens = [private.Namespace(name=n, allow_tokens=[t]) for n, t in asked.allow.items()]
        tokens += [private.Namespace(name=n, deny_tokens=[t]) for n, t in asked.deny.items()]
        number = {("name" if k == "namespace" else k): v for k, v in asked.number.items()}
        request = private.MatchRequest(
            deployed_index_id=self.id,
            float_val=asked.vector,
            embedding_id=asked.by_id,
            num_neighbors=asked.k,
            restricts=tokens,
            numeric_restricts=[private.NumericNamespace(**number)] if number else [],
            per_crowding_attribute_num_neighbors=asked.crowding,
            fraction_leaf_nodes_to_search_override=asked.fraction,
        )
        return [(n.id, n.distance) for n in self.stub.Match(request).neighbor]


def point(name: str, *vector: float, tag: str = "", **allow: str) -> dict[str, object]:
    """A datapoint with a crowding tag, and tokens by namespace."""
    restricts = [{"namespace": n, "allow_list": [token]} for n, token in allow.items()]
    made: dict[str, object] = {"datapoint_id": name, "feature_vector": vector}
    if tag:
        made["crowding_tag"] = {"crowding_attribute": tag}
    return {**made, "restricts": restricts}


def refused(code: str, work: Callable[[], object]) -> str:
    """The message of an error that has a status code, from either kind of client."""
    with pytest.raises((api.GoogleAPICallError, grpc.RpcError)) as caught:
        work()
    error = caught.value
    found = error.code() if isinstance(error, grpc.RpcError) else error.grpc_status_code
    assert found is getattr(grpc.StatusCode, code), error
    return str(error)


def write(bucket: Path, folder: str, *rows: object, name: str = "rows.json") -> str:
    """Write rows into a folder of the bucket, and give its address."""
    (bucket / folder).mkdir(parents=True, exist_ok=True)
    text = "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows)
    (bucket / folder / name).write_text(text)
    return f"gs://data/{folder}"


def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    """Ask until it holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never held"
