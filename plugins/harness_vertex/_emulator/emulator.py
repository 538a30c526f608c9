"""The emulator: its parts put together, started and stopped."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
from google.longrunning import operations_pb2

from harness.errors import HarnessError
from harness.testing.vertex import VertexEmulatorSettings
from harness_vertex._emulator.contents import Library
from harness_vertex._emulator.endpoints import Endpoints
from harness_vertex._emulator.faults import Faults
from harness_vertex._emulator.importing import Buckets
from harness_vertex._emulator.indexes import Indexes
from harness_vertex._emulator.matching import Matching
from harness_vertex._emulator.operations import LongMethod, Operations
from harness_vertex._emulator.private import PrivateEndpoints, PrivateIndex
from harness_vertex._emulator.resources import Resources
from harness_vertex._emulator.searching import Searcher
from harness_vertex._emulator.serving import VERSIONS, Method, handler, start, tls_credentials
from harness_vertex._emulator.store import Store
from harness_vertex._emulator.writing import Writer
from harness_vertex._messages import Index, IndexEndpoint, raw
from harness_vertex._messages import private as messages

Services = dict[str, dict[str, grpc.RpcMethodHandler]]
_GRACE_S = 0.5
_PRIVATE = "google.cloud.aiplatform.container.v1.MatchService"
_LONG = {
    "IndexService": ("CreateIndex", "UpdateIndex", "DeleteIndex"),
    "IndexEndpointService": (
        *("CreateIndexEndpoint", "DeleteIndexEndpoint"),
        *("DeployIndex", "UndeployIndex", "MutateDeployedIndex"),
    ),
}


class Emulator:
    """A running emulator; `harness.testing.vertex.VertexEmulator` says what it offers."""

    def __init__(self, settings: VertexEmulatorSettings) -> None:
        self._settings = settings
        self._address = self._tls_address = self._ca_file = ""
        with ExitStack() as parts:
            self._start(parts)
            self._parts = parts.pop_all()

    @property
    def address(self) -> str:
        return self._address

    @property
    def tls_address(self) -> str:
        return self._tls_address

    @property
    def ca_file(self) -> str:
        return self._ca_file

    @property
    def private(self) -> Mapping[str, str]:
        return self._private.addresses

    def close(self) -> None:
        """Stop serving, and close what is kept."""
        self._parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _public_address(self) -> str:
        return self._tls_address or self._address

    def _start(self, parts: ExitStack) -> None:
        given = self._settings
        buckets, self._faults = Buckets(given.buckets), Faults(given.fail, given.seed)
        root = _folder(given.data_dir)
        store = Store(root / "resources.sqlite" if root else None)
        parts.callback(store.close)
        library = Library(store, root / "contents" if root else None)
        parts.callback(library.close)
        writer = Writer(library, store, given.visibility_lag)
        parts.callback(writer.close)
        searcher = Searcher(library, given.dot_sign, given.max_neighbors)
        self._private = PrivateEndpoints(searcher, given.private_port, self._serve_private)
        parts.callback(self._private.close_all)
        own = Resources(store, "indexes", "Index", Index)
        places = Resources(store, "indexEndpoints", "IndexEndpoint", IndexEndpoint)
        endpoints = Endpoints(places, own, library, self._private, self._public_address)
        indexes = Indexes(own, library, writer, buckets, endpoints.deployments, given.max_upsert)
        methods = dict([*indexes.long_methods(), *endpoints.long_methods()])
        operations = Operations(store, methods, given.lro_delay)
        parts.callback(operations.close)
        endpoints.restore()
        operations.resume()
        matching = Matching(searcher, endpoints.public_index)
        table = _public(indexes, endpoints, matching)
        services = self._versions(table, operations, methods)
        services["google.longrunning.Operations"] = self._handlers(_operations(operations))
        self._serve(services, root, parts)

    def _versions(
        self,
        table: Mapping[str, Mapping[str, Method]],
        operations: Operations,
        long_methods: Mapping[str, LongMethod],
    ) -> Services:
        """The public services, once a version of the API."""
        services: Services = {}
        for version in VERSIONS:
            for service, methods in table.items():
                own = dict(methods)
                for name in _LONG.get(service, ()):
                    request = long_methods[name].request
                    own[name] = Method(request, partial(operations.start, name, version=version))
                services[f"google.cloud.aiplatform.{version}.{service}"] = self._handlers(own)
        return services

    def _handlers(self, methods: Mapping[str, Method]) -> dict[str, grpc.RpcMethodHandler]:
        return {name: handler(name, method, self._faults) for name, method in methods.items()}

    def _serve(self, services: Services, root: Path | None, parts: ExitStack) -> None:
        given = self._settings
        secure = {}
        if given.tls:
            folder = root or Path(parts.enter_context(tempfile.TemporaryDirectory()))
            credentials, certificate = tls_credentials(folder)
            secure[f"127.0.0.1:{given.tls_port}"] = credentials
            self._ca_file = str(certificate)
        try:
            server, ports = start(services, f"127.0.0.1:{given.port}", secure)
        except OSError as error:
            taken = " or ".join(str(p) for p in (given.port, given.tls_port) if p)
            raise HarnessError(f"port {taken} cannot be had: {error}; name another") from error
        parts.callback(lambda: server.stop(_GRACE_S).wait())
        self._address = f"127.0.0.1:{ports[0]}"
        self._tls_address = f"localhost:{ports[1]}" if given.tls else ""

    def _serve_private(self, address: str, service: PrivateIndex) -> grpc.Server:
        methods = {
            "Match": Method(messages.MatchRequest, service.match),
            "BatchMatch": Method(messages.BatchMatchRequest, service.batch_match),
            "BatchGetEmbeddings": Method(messages.BatchGetEmbeddingsRequest, service.read),
        }
        return start({_PRIVATE: self._handlers(methods)}, address)[0]


def _public(
    indexes: Indexes, endpoints: Endpoints, matching: Matching
) -> Mapping[str, Mapping[str, Method]]:
    """The methods that answer at once, by service."""
    return {
        "IndexService": {
            "GetIndex": Method(raw("GetIndexRequest"), indexes.get),
            "ListIndexes": Method(raw("ListIndexesRequest"), indexes.list),
            "UpsertDatapoints": Method(raw("UpsertDatapointsRequest"), indexes.upsert),
            "RemoveDatapoints": Method(raw("RemoveDatapointsRequest"), indexes.remove),
        },
        "IndexEndpointService": {
            "GetIndexEndpoint": Method(raw("GetIndexEndpointRequest"), endpoints.get),
            "ListIndexEndpoints": Method(raw("ListIndexEndpointsRequest"), endpoints.list),
            "UpdateIndexEndpoint": Method(raw("UpdateIndexEndpointRequest"), endpoints.update),
        },
        "MatchService": {
            "FindNeighbors": Method(raw("FindNeighborsRequest"), matching.find),
            "ReadIndexDatapoints": Method(raw("ReadIndexDatapointsRequest"), matching.read),
        },
    }


def _operations(operations: Operations) -> Mapping[str, Method]:
    return {
        "GetOperation": Method(
            operations_pb2.GetOperationRequest, lambda request: operations.get(request.name)
        ),
        "ListOperations": Method(operations_pb2.ListOperationsRequest, operations.list),
        "CancelOperation": Method(operations_pb2.CancelOperationRequest, operations.cancel),
        "DeleteOperation": Method(operations_pb2.DeleteOperationRequest, operations.delete),
        "WaitOperation": Method(operations_pb2.WaitOperationRequest, operations.wait),
    }


def _folder(given: str) -> Path | None:
    if not given:
        return None
    folder = Path(given).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HarnessError(f"{given}: {error.strerror}; name a folder") from error
    return folder
