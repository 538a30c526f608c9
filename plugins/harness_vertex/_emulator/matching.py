"""MatchService, the public one: FindNeighbors and ReadIndexDatapoints."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
from google.protobuf.message import Message

from harness.datapoints import Query, Restrict
from harness_vertex._emulator.converting import SPARSE, fill_datapoint, numbers_of
from harness_vertex._emulator.errors import unsupported
from harness_vertex._emulator.searching import Searcher
from harness_vertex._messages import raw

_Found = raw("FindNeighborsResponse")
_Read = raw("ReadIndexDatapointsResponse")


class Matching:
    """The service's methods; `index_of` resolves an endpoint and the id of a deployed index."""

    def __init__(self, searcher: Searcher, index_of: Callable[[str, str], str]) -> None:
        self._searcher, self._index_of = searcher, index_of

    def find(self, request: Message) -> Message:
        """FindNeighbors."""
        index = self._index_of(request.index_endpoint, request.deployed_index_id)
        queries = [(self._query(index, q), q.neighbor_count) for q in request.queries]
        full = request.return_full_datapoint
        found, sign = self._searcher.search(index, queries, full=full)
        response = _Found()
        for asked, matches in zip(request.queries, found, strict=True):
            nearest = response.nearest_neighbors.add(id=asked.datapoint.datapoint_id)
            for match in matches:
                neighbor = nearest.neighbors.add(distance=match.distance * sign)
                if full and match.datapoint is not None:
                    fill_datapoint(neighbor.datapoint, match.datapoint)
                    continue
                neighbor.datapoint.datapoint_id = match.id
                if match.crowding_tag:
                    neighbor.datapoint.crowding_tag.crowding_attribute = match.crowding_tag
        return response

    def read(self, request: Message) -> Message:
        """ReadIndexDatapoints; what is not there is left out."""
        index = self._index_of(request.index_endpoint, request.deployed_index_id)
        response = _Read()
        for datapoint in self._searcher.read(index, list(request.ids)):
            fill_datapoint(response.datapoints.add(), datapoint)
        return response

    def _query(self, index: str, message: Message) -> Query:
        datapoint = message.datapoint
        if message.HasField("rrf") or datapoint.HasField("sparse_embedding"):
            raise unsupported(SPARSE)
        if datapoint.feature_vector or not datapoint.datapoint_id:
            vector: Collection[float] = np.array(datapoint.feature_vector, np.float32)
        else:
            vector = self._searcher.vector_of(index, datapoint.datapoint_id)
        return Query(
            vector=vector,
            restricts=tuple(
                Restrict(r.namespace, tuple(r.allow_list), tuple(r.deny_list))
                for r in datapoint.restricts
            ),
            numeric_restricts=numbers_of(datapoint.numeric_restricts, "namespace"),
            crowding_limit=message.per_crowding_attribute_neighbor_count or None,
            approximate_count=message.approximate_neighbor_count or None,
            leaves_fraction=message.fraction_leaf_nodes_to_search_override or None,
        )
