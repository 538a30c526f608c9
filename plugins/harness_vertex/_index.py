"""The retriever: one index of the service, searched, read and written to."""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

from harness.datapoints import Datapoint, IndexDescription, Match, Query
from harness.encoding import load_encoder
from harness.indexing import IndexSpec, Report, unheard
from harness.vectors import Mask
from harness_vertex import VertexError, VertexSettings
from harness_vertex._described import described
from harness_vertex._doors import Door, open_door
from harness_vertex._service import Service
from harness_vertex._target import Finder, named
from harness_vertex._wire import Wire, floats
from harness_vertex._writing import Writer

if TYPE_CHECKING:
    from harness_vertex._admin import Admin


@dataclass(frozen=True, slots=True)
class _Known:
    """What was looked up of an index, and does not change."""

    name: str
    dimensions: int
    writer: Writer


class VertexSearchIndex:
    """An index of Vertex AI Vector Search; see `harness.indexing.ManagedIndex`.

    Nobody is asked before it is used; then the names in its settings are looked up once. It may be
    used from any thread.

    An upsert or removal of more than one batch is not atomic: what can be checked is checked before
    anything is sent, and a VertexError has the ids that were written. Stream updates are seen by
    searches seconds later; the count of `describe` lags behind as well.
    """

    def __init__(self, settings: VertexSettings) -> None:
        self.settings = settings
        self._service = Service(settings)
        self._finder = Finder(self._service)
        self._wire = Wire(settings.text_key, settings.number_type)
        self._lock = threading.RLock()
        self._door: Door | None = None
        self._known: _Known | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def identity(self) -> Mapping[str, str]:
        """Whether it is the service or an emulator; what an index holds is nobody's to know."""
        return {"service": "emulator" if self.settings.address else "vertex"}

    def search(
        self, queries: Sequence[Query], *, k: int, full: bool | None = None
    ) -> list[list[Match]]:
        """Find the `k` nearest datapoints of each query, in the order that the service gives.

        `distance` is the service's number: of a dot product its sign is not certain, and 0.0 is a
        distance like any other. Over a private endpoint there are no crowding tags.

        Args:
            queries: each with a vector, or a text for the encoder.
            k: at least 1; the service has a limit, too.
            full: bring whole datapoints and texts; None is the settings'.

        Raises:
            VertexError: with the gRPC status code's name.
        """
        whole = self.settings.full if full is None else full
        _check(queries, k)
        asked = list(zip(queries, self._vectors(queries), strict=True))
        door, size = self._opened() if asked else None, self.settings.queries_per_call
        found: list[list[Match]] = []
        for at in range(0, len(asked), size):
            assert door is not None
            found += door.search(asked[at : at + size], k, full=whole)
        return found

    def upsert(self, datapoints: Sequence[Datapoint], *, mask: Collection[Mask] = ()) -> None:
        """Insert datapoints, or replace those of the same id; texts without vector are encoded.

        With a `mask` only `restricts` (of both kinds) or `metadata` of datapoints that are there
        are replaced. A text, which is a part of the metadata there, is kept.

        Raises:
            VertexError: with `applied`, the ids that were written before it failed.
        """
        if not datapoints:
            return
        known = self._looked_up()
        if mask:
            points = self._with_texts(datapoints) if "metadata" in mask else datapoints
        else:
            points = self._with_vectors(datapoints)
        known.writer.upsert(points, mask, known.dimensions)

    def remove(self, ids: Sequence[str]) -> None:
        """Remove datapoints; an id that is not there is no error. Raises as `upsert` does."""
        if ids:
            self._looked_up().writer.remove(ids)

    def read(self, ids: Sequence[str]) -> list[Datapoint]:
        """The datapoints of these ids, in order, less those that are not there."""
        wanted, size = list(dict.fromkeys(ids)), self.settings.batch_points
        found: dict[str, Datapoint] = {}
        for at in range(0, len(wanted), size):
            points = self._opened().read(wanted[at : at + size])
            found.update((point.id, point) for point in points)
        return [found[key] for key in ids if key in found]

    def describe(self) -> IndexDescription:
        """What the index is, and where it is deployed."""
        return described(self._finder.index())

    def create(self, spec: IndexSpec, *, report: Report = unheard) -> None:
        """Make the index; see `ManagedIndex`, as for the methods below."""
        self._admin().create(spec, report=report)

    def serve(self, *, report: Report = unheard) -> None:
        """Make an endpoint, unless there is one, and deploy the index to it."""
        self._admin().serve(report=report)

    def withdraw(self, *, report: Report = unheard) -> None:
        """Undeploy the index, and delete the endpoint if `serve` made it and it is empty."""
        self._admin().withdraw(report=report)

    def update(self, source: str, *, overwrite: bool = False, report: Report = unheard) -> None:
        """Take in files of a bucket (gs://BUCKET/FOLDER)."""
        self._admin().update(source, overwrite=overwrite, report=report)

    def delete(self, *, report: Report = unheard) -> None:
        """Undeploy the index, and delete it and the endpoint that `serve` made."""
        self._admin().delete(report=report)

    def wait(self, operation: str, *, report: Report = unheard) -> None:
        """Wait for an operation, by its resource name."""
        self._admin().wait(operation, report=report)

    def listed(self) -> list[str]:
        """The display names of the indexes in the project and location."""
        return sorted(index.display_name for index in self._finder.indexes())

    def close(self) -> None:
        """Let go of connections; it can be used again."""
        with self._lock:
            self._forget()
            self._service.close()

    def _admin(self) -> Admin:
        """What makes and unmakes; what was looked up may not hold after it."""
        from harness_vertex._admin import Admin

        self._forget()
        return Admin(self._service, self._finder)

    def _forget(self) -> None:
        with self._lock:
            self._door = self._known = None

    def _opened(self) -> Door:
        with self._lock:
            if self._door is None:
                self._door = open_door(self._service, self._finder.target(), self._wire)
            return self._door

    def _looked_up(self) -> _Known:
        with self._lock:
            if self._known is None:
                index = self._finder.index()
                writer = Writer(self._service, index.name, named(index), self._wire)
                self._known = _Known(index.name, described(index).dimensions, writer)
            return self._known

    def _vectors(self, queries: Sequence[Query]) -> list[Sequence[float]]:
        texts = [query.text for query in queries if not len(query.vector)]
        encoded = iter(self._encoded(texts))
        vectors = [floats(q.vector) if len(q.vector) else next(encoded) for q in queries]
        for place, vector in enumerate(vectors):
            if not math.isfinite(sum(vector)):
                raise _refused(f"the vector of query {place} has a number that is not finite")
        return vectors

    def _with_vectors(self, points: Sequence[Datapoint]) -> Sequence[Datapoint]:
        bare = [place for place, point in enumerate(points) if not len(point.vector)]
        texts = [points[place].text for place in bare]
        if None in texts:
            key = points[bare[texts.index(None)]].id
            raise _refused(f"datapoint {key!r} has neither vector nor text", key)
        known = [text for text in texts if text is not None]
        filled = list(points)
        for place, vector in zip(bare, self._encoded(known), strict=True):
            filled[place] = replace(points[place], vector=vector)
        return filled

    def _with_texts(self, points: Sequence[Datapoint]) -> Sequence[Datapoint]:
        """Datapoints with the texts that the service has, as it keeps them in the metadata."""
        if self.settings.text_key is None:
            return points
        bare = [point.id for point in points if point.text is None]
        texts = {point.id: point.text for point in self.read(bare)}
        return [replace(p, text=texts.get(p.id)) if p.text is None else p for p in points]

    def _encoded(self, texts: Sequence[str]) -> list[Sequence[float]]:
        if not texts:
            return []
        if self.settings.encoder is None:
            raise _refused("a text needs an encoder, and the settings have encoder=none")
        return [floats(vector) for vector in load_encoder(self.settings.encoder).encode(texts)]


def _check(queries: Sequence[Query], k: int) -> None:
    """Refuse what would go onto the wire as 0, which the service takes for its own default."""
    if k < 1:
        raise _refused(f"k is {k}; it is at least 1")
    for place, query in enumerate(queries):
        if not len(query.vector) and not query.text:
            raise _refused(f"query {place} has neither vector nor text")
        for name in ("crowding_limit", "approximate_count"):
            value = getattr(query, name)
            if value is not None and value < 1:
                raise _refused(f"query {place}: {name} is {value}; it is at least 1")
        share = query.leaves_fraction
        if share is not None and not 0 < share <= 1:
            raise _refused(f"query {place}: leaves_fraction is {share}; it is above 0, up to 1")


def _refused(message: str, key: str = "") -> VertexError:
    return VertexError(f"vertex: {message}", code="INVALID_ARGUMENT", key=key)
