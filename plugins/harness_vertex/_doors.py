"""The two ways to search and read a deployed index: a public and a private endpoint."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Protocol

from google.api_core.gapic_v1.routing_header import to_grpc_metadata
from google.cloud.aiplatform_v1.types import IndexEndpoint
from google.protobuf.message import Message

from harness.datapoints import Datapoint, Match, Query
from harness_vertex import VertexError
from harness_vertex._errors import Problem, code_name
from harness_vertex._messages import private as messages
from harness_vertex._service import Service
from harness_vertex._target import Target, named
from harness_vertex._wire import Wire

Asked = Sequence[tuple[Query, Sequence[float]]]
"""Queries, each with its vector."""


class Door(Protocol):
    """Searches and reads a deployed index, so many queries or ids at once as one call takes."""

    def search(self, queries: Asked, k: int, *, full: bool) -> list[list[Match]]: ...

    def read(self, ids: Sequence[str]) -> list[Datapoint]: ...


def open_door(service: Service, target: Target, wire: Wire) -> Door:
    """The door that the settings ask for, or that the endpoint has.

    Raises:
        VertexError: FAILED_PRECONDITION if the endpoint has no such door.
    """
    settings, endpoint = service.settings, target.endpoint
    public = endpoint.public_endpoint_enabled or bool(endpoint.public_endpoint_domain_name)
    if settings.via == "public" and not public:
        raise _shut(endpoint, "is no public endpoint; use via=private")
    if settings.via != "private" and public and not settings.private_address:
        return PublicDoor(service, target, wire)
    return PrivateDoor(service, target, wire, _private_address(service, target))


class PublicDoor:
    """FindNeighbors and ReadIndexDatapoints, of v1 or v1beta1."""

    def __init__(self, service: Service, target: Target, wire: Wire) -> None:
        endpoint, version = target.endpoint, service.settings.api_version
        self._service, self._wire = service, wire
        self._endpoint, self._deployed = endpoint.name, target.deployed.id
        self._doing = f"the deployed index {self._deployed} of {named(endpoint)}"
        types = importlib.import_module(f"google.cloud.aiplatform_{version}.types")
        if not service.settings.address and not endpoint.public_endpoint_domain_name:
            raise _shut(endpoint, "has no address yet; wait until it is deployed")
        channel = service.channel(endpoint.public_endpoint_domain_name)
        path = f"/google.cloud.aiplatform.{version}.MatchService"
        self._find_request = types.FindNeighborsRequest.pb()
        self._find = channel.unary_unary(
            f"{path}/FindNeighbors",
            request_serializer=self._find_request.SerializeToString,
            response_deserializer=types.FindNeighborsResponse.pb().FromString,
        )
        self._read_request = types.ReadIndexDatapointsRequest.pb()
        self._read = channel.unary_unary(
            f"{path}/ReadIndexDatapoints",
            request_serializer=self._read_request.SerializeToString,
            response_deserializer=types.ReadIndexDatapointsResponse.pb().FromString,
        )
        self._routing = (to_grpc_metadata((("index_endpoint", endpoint.name),)),)

    def search(self, queries: Asked, k: int, *, full: bool) -> list[list[Match]]:
        """The matches of each query, nearest first."""
        request = self._find_request(
            index_endpoint=self._endpoint,
            deployed_index_id=self._deployed,
            return_full_datapoint=full,
        )
        for query, vector in queries:
            self._wire.ask(query, vector, k, request.queries.add())
        answer = self._sent(self._find, request, f"searching {self._doing}")
        match = self._wire.match
        found = [[match(n, full=full) for n in one.neighbors] for one in answer.nearest_neighbors]
        return _as_many(found, queries, self._doing)

    def read(self, ids: Sequence[str]) -> list[Datapoint]:
        """The datapoints of these ids that are there, in whatever order."""
        request = self._read_request(
            index_endpoint=self._endpoint, deployed_index_id=self._deployed, ids=ids
        )
        answer = self._sent(self._read, request, f"reading {self._doing}")
        return [self._wire.read(point) for point in answer.datapoints]

    def _sent(self, method: Callable[..., Message], request: Message, doing: str) -> Message:
        def send(timeout: float) -> Message:
            return method(request, timeout=timeout, metadata=self._routing)

        return self._service.caller.call(send, doing)


class PrivateDoor:
    """Match, BatchMatch and BatchGetEmbeddings of the service inside a network.

    It tells a number in place of a crowding tag, so there is none in what it gives.
    """

    def __init__(self, service: Service, target: Target, wire: Wire, address: str) -> None:
        self._service, self._wire = service, wire
        self._deployed = target.deployed.id
        self._doing = f"the deployed index {self._deployed} at {address}"
        channel = service.private(address)
        self._match = _method(channel, "Match")
        self._batch = _method(channel, "BatchMatch")
        self._get = _method(channel, "BatchGetEmbeddings")

    def search(self, queries: Asked, k: int, *, full: bool) -> list[list[Match]]:
        """The matches of each query, nearest first."""
        requests = [self._request(query, vector, k, full) for query, vector in queries]
        if len(requests) == 1:
            answers = [self._sent(self._match, requests[0], "searching")]
        else:
            answers = self._batched(requests)
        return _as_many(list(map(self._wire.matches, answers)), queries, self._doing)

    def read(self, ids: Sequence[str]) -> list[Datapoint]:
        """The datapoints of these ids that are there, in whatever order."""
        request = messages.BatchGetEmbeddingsRequest(deployed_index_id=self._deployed, id=ids)
        answer = self._sent(self._get, request, "reading")
        return [self._wire.read_embedding(e) for e in answer.embeddings]

    def _request(self, query: Query, vector: Sequence[float], k: int, full: bool) -> Message:
        request = messages.MatchRequest(deployed_index_id=self._deployed, embedding_enabled=full)
        self._wire.ask_private(query, vector, k, request)
        return request

    def _batched(self, requests: Sequence[Message]) -> list[Message]:
        request = messages.BatchMatchRequest()
        request.requests.add(deployed_index_id=self._deployed, requests=requests)
        answer = self._sent(self._batch, request, "searching")
        answers: list[Message] = []
        for one in answer.responses:
            if one.status.code:
                problem = Problem(code_name(one.status.code), one.status.message)
                raise problem.error(f"searching {self._doing}")
            answers.extend(one.responses)
        return answers

    def _sent(self, method: Callable[..., Message], request: Message, what: str) -> Message:
        return self._service.caller.call(
            lambda timeout: method(request, timeout=timeout), f"{what} {self._doing}"
        )


def _method(channel: object, name: str) -> Callable[..., Message]:
    path = f"/google.cloud.aiplatform.container.v1.MatchService/{name}"
    request, response = getattr(messages, f"{name}Request"), getattr(messages, f"{name}Response")
    stub: Callable[..., Message] = channel.unary_unary(  # type: ignore[attr-defined]
        path,
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    return stub


def _as_many(found: list[list[Match]], queries: Asked, doing: str) -> list[list[Match]]:
    """What was found, if it is one list a query."""
    if len(found) != len(queries):
        said = f"{len(queries)} queries, and {len(found)} answers"
        raise Problem("INTERNAL", said).error(f"searching {doing}")
    return found


def _private_address(service: Service, target: Target) -> str:
    private = target.deployed.private_endpoints
    automated = [e.match_address for e in private.psc_automated_endpoints if e.match_address]
    address = service.settings.private_address or private.match_grpc_address
    if not address and len(automated) == 1:
        address = automated[0]
    if address:
        return address
    if automated:
        raise _several(target, automated)
    if target.endpoint.public_endpoint_enabled:
        raise _shut(target.endpoint, "is no private endpoint; use via=public")
    raise _shut(
        target.endpoint,
        f"does not say where {target.deployed.id} is; with Private Service Connect, give the "
        "address of your forwarding rule: private_address=IP",
    )


def _several(target: Target, addresses: Sequence[str]) -> VertexError:
    return _shut(
        target.endpoint,
        f"has {target.deployed.id} at {', '.join(addresses)}; say which: private_address=IP",
    )


def _shut(endpoint: IndexEndpoint, why: str) -> VertexError:
    return VertexError(f"vertex: the endpoint {named(endpoint)} {why}", code="FAILED_PRECONDITION")
