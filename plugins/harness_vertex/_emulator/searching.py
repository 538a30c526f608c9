"""Searches, as the public and the private service both make them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from harness.datapoints import Datapoint, Match, Query
from harness_vertex._emulator.contents import Library
from harness_vertex._emulator.errors import invalid, missing

_DEFAULT_NEIGHBORS = 10


class Searcher:
    """Searches the indexes of a library under the limits and the sign that are set."""

    def __init__(self, library: Library, dot_sign: int, max_neighbors: int) -> None:
        self._library, self._dot_sign, self._max_neighbors = library, dot_sign, max_neighbors

    def search(
        self, index: str, queries: Sequence[tuple[Query, int]], *, full: bool
    ) -> tuple[list[list[Match]], int]:
        """Matches of each query with its number of neighbours, and the sign of their distances.

        A number of 0 is unset on the wire, and the service's default then.
        """
        for _, k in queries:
            if not 0 <= k <= self._max_neighbors:
                raise invalid(
                    f"The number of neighbors is {k}; it must be 1 to {self._max_neighbors}."
                )
        counts = {k or _DEFAULT_NEIGHBORS for _, k in queries}
        if len(counts) == 1:
            k, own = counts.pop(), [query for query, _ in queries]
            found = self._library.use(index, lambda i: i.search(own, k=k, full=full))
        else:
            found = [self.search(index, [one], full=full)[0][0] for one in queries]
        dot = self._library.index(index).settings.measure == "dot_product"
        return found, self._dot_sign if dot else 1

    def read(self, index: str, ids: Sequence[str]) -> list[Datapoint]:
        """The datapoints of these ids that there are."""
        return self._library.use(index, lambda i: i.read(ids))

    def vector_of(self, index: str, datapoint_id: str) -> Collection[float]:
        """The vector of a datapoint that a query names in place of one; NOT_FOUND without it."""
        found = self.read(index, [datapoint_id])
        if not found:
            raise missing("Datapoint", repr(datapoint_id))
        return found[0].vector
