"""The private service: a server on a loopback address of its own for every deployed index.

The SDK dials port 10000 of the address that a deployed index names, so deployments differ by
address: one of 127.0.0.2 to 127.0.0.254 each.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import grpc
import numpy as np
from google.protobuf.message import Message

from harness.datapoints import Datapoint, Query, Restrict
from harness.vectors import crowding_number
from harness_vertex._emulator.converting import SPARSE, fill_number, numbers_of
from harness_vertex._emulator.errors import ServiceError, invalid, missing, unsupported
from harness_vertex._emulator.operations import as_service_error
from harness_vertex._emulator.searching import Searcher
from harness_vertex._messages import private as messages

Serve = Callable[[str, "PrivateIndex"], grpc.Server]
_HOSTS = 253
_turns = itertools.count(os.getpid())  # emulators side by side begin at different hosts


class PrivateEndpoints:
    """The private addresses of deployed indexes; `serve` starts a server at an address.

    `serve` raises OSError if the address is taken.
    """

    def __init__(self, searcher: Searcher, port: int, serve: Serve) -> None:
        self._searcher, self._port, self._serve = searcher, port, serve
        self._lock = threading.Lock()
        self._open: dict[str, tuple[str, grpc.Server]] = {}

    @property
    def addresses(self) -> Mapping[str, str]:
        """Host and port by the deployed index's id."""
        return {key: f"{host}:{self._port}" for key, (host, _) in list(self._open.items())}

    def open(self, deployed_id: str, index: str, wanted: str) -> str:
        """Serve a deployed index, at the host that is wanted if it is free; gives the host."""
        service = PrivateIndex(self._searcher, deployed_id, index)
        with self._lock:
            for host in _hosts(wanted, {host for host, _ in self._open.values()}):
                try:
                    server = self._serve(f"{host}:{self._port}", service)
                except OSError:
                    continue
                self._open[deployed_id] = host, server
                return host
        raise ServiceError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"No address 127.0.0.N has port {self._port} free for the deployed index.",
        )

    def close(self, deployed_id: str) -> None:
        """Stop serving a deployed index, if it is served."""
        with self._lock:
            _, server = self._open.pop(deployed_id, (None, None))
        if server is not None:
            server.stop(0.5).wait()

    def close_all(self) -> None:
        """Stop serving all of them."""
        for deployed_id in list(self._open):
            self.close(deployed_id)


def _hosts(wanted: str, taken: set[str]) -> Iterator[str]:
    """Where to try; last of all 127.0.0.1, which is the only one that macOS has.

    A host is not used again soon: clients that found it closed are slow to try it again.
    """
    first = [wanted] if wanted else []
    usual = (f"127.0.0.{2 + next(_turns) % _HOSTS}" for _ in range(_HOSTS))
    return (host for host in itertools.chain(first, usual, ["127.0.0.1"]) if host not in taken)


@dataclass(frozen=True, slots=True)
class PrivateIndex:
    """`container.v1.MatchService` for one deployed index."""

    searcher: Searcher
    deployed_id: str
    index: str

    def match(self, request: Message) -> Message:
        """Match."""
        self._check(request.deployed_index_id)
        return self._matched([request])[0]

    def batch_match(self, request: Message) -> Message:
        """BatchMatch; what goes wrong with one index is told in its status."""
        response = messages.BatchMatchResponse()
        for asked in request.requests:
            answer = response.responses.add(deployed_index_id=asked.deployed_index_id)
            try:
                self._check(asked.deployed_index_id)
                answer.responses.extend(self._matched(asked.requests))
            except Exception as error:
                refused = as_service_error(error)
                answer.status.code, answer.status.message = refused.code.value[0], refused.message
        return response

    def read(self, request: Message) -> Message:
        """BatchGetEmbeddings; what is not there is left out."""
        self._check(request.deployed_index_id)
        response = messages.BatchGetEmbeddingsResponse()
        for datapoint in self.searcher.read(self.index, list(request.id)):
            _fill(response.embeddings.add(), datapoint)
        return response

    def _check(self, deployed_id: str) -> None:
        if deployed_id != self.deployed_id:
            raise missing("Deployed index", f"{deployed_id!r} (here is {self.deployed_id!r})")

    def _matched(self, requests: Iterable[Message]) -> list[Message]:
        asked = list(requests)
        full = any(request.embedding_enabled for request in asked)
        queries = [(self._query(request), request.num_neighbors) for request in asked]
        found, sign = self.searcher.search(self.index, queries, full=full)
        responses = []
        for request, matches in zip(asked, found, strict=True):
            response = messages.MatchResponse()
            for match in matches:
                neighbor = response.neighbor.add(id=match.id, distance=match.distance * sign)
                if match.crowding_tag:
                    neighbor.crowding_attribute = crowding_number(match.crowding_tag)
                if request.embedding_enabled and match.datapoint is not None:
                    _fill(response.embeddings.add(), match.datapoint)
            responses.append(response)
        return responses

    def _query(self, request: Message) -> Query:
        if request.HasField("sparse_embedding") and request.sparse_embedding.float_val:
            raise unsupported(SPARSE)
        if request.HasField("rrf"):
            raise unsupported(SPARSE)
        if request.float_val or not request.embedding_id:
            vector: Collection[float] = np.array(request.float_val, np.float32)
        else:
            vector = self.searcher.vector_of(self.index, request.embedding_id)
        return Query(
            vector=vector,
            restricts=tuple(
                Restrict(r.name, tuple(r.allow_tokens), tuple(r.deny_tokens))
                for r in request.restricts
            ),
            numeric_restricts=numbers_of(request.numeric_restricts, "name"),
            crowding_limit=request.per_crowding_attribute_num_neighbors or None,
            approximate_count=request.approx_num_neighbors or None,
            leaves_fraction=_fraction(request),
        )


def _fraction(request: Message) -> float | None:
    percent = request.leaf_nodes_to_search_percent_override
    if not 0 <= percent <= 100:
        raise invalid("leaf_nodes_to_search_percent_override must be from 0 to 100.")
    return request.fraction_leaf_nodes_to_search_override or percent / 100 or None


def _fill(message: Message, datapoint: Datapoint) -> None:
    message.id = datapoint.id
    message.float_val.extend(datapoint.vector)
    for restrict in datapoint.restricts:
        message.restricts.add(
            name=restrict.namespace, allow_tokens=restrict.allow, deny_tokens=restrict.deny
        )
    for number in datapoint.numeric_restricts:
        fill_number(message.numeric_restricts.add(name=number.namespace), number)
    message.crowding_attribute = crowding_number(datapoint.crowding_tag)
    if datapoint.metadata:
        message.embedding_metadata.update(dict(datapoint.metadata))
