"""Writes: checked as a whole, sent in batches, and told exactly where they broke off."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from google.api_core.gapic_v1.routing_header import to_grpc_metadata
from google.cloud.aiplatform_v1 import types
from google.protobuf.message import Message

from harness.datapoints import Datapoint
from harness.vectors import Mask, VectorIndex, VectorSettings
from harness_vertex import VertexError
from harness_vertex._service import Service
from harness_vertex._wire import Wire

Batch = tuple[list[str], Message]
"""The ids that a request writes, and the request."""

_PATHS: dict[str, str] = {"restricts": "all_restricts", "metadata": "embedding_metadata"}
_POINT = types.IndexDatapoint.pb()
_UPSERT = types.UpsertDatapointsRequest.pb()
_REMOVE = types.RemoveDatapointsRequest.pb()
_HEAD = 1024  # bytes of a request beside its datapoints, and a few for each of them
_FRAME = 8


class Writer:
    """Upserts into an index, and removes from it.

    Args:
        service: where the index is.
        index: its resource name.
        shown: its name for messages.
        wire: how datapoints are written.
    """

    def __init__(self, service: Service, index: str, shown: str, wire: Wire) -> None:
        self._service, self._wire = service, wire
        self._index, self._shown = index, shown
        self._routing = (to_grpc_metadata((("index", index),)),)

    def upsert(self, points: Sequence[Datapoint], mask: Collection[Mask], dimensions: int) -> None:
        """Write datapoints, or with a mask those of their fields.

        Raises:
            VertexError: for what is wrong with any of them, before anything is sent; or what the
                service refused, with the ids of what had been written by then.
        """
        paths = [self._path(part) for part in mask]
        self._check(points, dimensions, masked=bool(paths))
        doing = f"upserting into the index {self._shown}"
        self._send(self._upserts(points, paths), "UpsertDatapoints", doing, len(points))

    def remove(self, ids: Sequence[str]) -> None:
        """Remove datapoints; an id that is not there is no error. Raises as `upsert` does."""
        size = self._service.settings.batch_points
        parts = [list(ids[at : at + size]) for at in range(0, len(ids), size)]
        batches = ((part, _REMOVE(index=self._index, datapoint_ids=part)) for part in parts)
        doing = f"removing from the index {self._shown}"
        self._send(batches, "RemoveDatapoints", doing, len(ids))

    def _path(self, part: str) -> str:
        if part not in _PATHS:
            raise VertexError(
                f"vertex: {part!r} is no mask; there are {', '.join(_PATHS)}",
                code="INVALID_ARGUMENT",
            )
        return _PATHS[part]

    def _check(self, points: Sequence[Datapoint], dimensions: int, *, masked: bool) -> None:
        """Look at all before any is sent: batches that were written stay written."""
        if masked:
            dimensions, points = 1, [replace(point, vector=(0.0,)) for point in points]
        wrong = VectorIndex(VectorSettings(dimensions, engine="exact")).check(points)
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            raise VertexError(
                f"vertex: the index {self._shown} cannot take {wrong[0]}{more}; nothing was sent",
                code="INVALID_ARGUMENT",
                key=wrong[0].id,
            )
        for point in points:
            self._wire.metadata(point)

    def _upserts(self, points: Sequence[Datapoint], paths: Sequence[str]) -> Iterator[Batch]:
        """Requests of at most so many datapoints and bytes as the settings allow."""
        settings = self._service.settings
        room = int(settings.batch_mb * 1e6) - _HEAD
        ids: list[str] = []
        messages: list[Message] = []
        taken = 0
        for point in points:
            message = _POINT()
            self._wire.write(point, message)
            size = message.ByteSize() + _FRAME
            if messages and (len(messages) == settings.batch_points or taken + size > room):
                yield ids, self._request(messages, paths)
                ids, messages, taken = [], [], 0
            ids.append(point.id)
            messages.append(message)
            taken += size
        if messages:
            yield ids, self._request(messages, paths)

    def _request(self, messages: Sequence[Message], paths: Sequence[str]) -> Message:
        request = _UPSERT(index=self._index, datapoints=messages)
        request.update_mask.paths.extend(paths)
        return request

    def _send(self, batches: Iterable[Batch], method: str, doing: str, total: int) -> None:
        stub = self._service.control().unary_unary(
            f"/google.cloud.aiplatform.v1.IndexService/{method}",
            request_serializer=lambda request: request.SerializeToString(),
        )
        timeout_s = self._service.settings.write_timeout_s
        applied: list[str] = []
        for ids, request in batches:
            send = _sender(stub, request, self._routing)
            what = doing if len(ids) == total else f"{doing}, {ids[0]!r} to {ids[-1]!r}"
            try:
                self._service.call(send, what, timeout_s=timeout_s)
            except VertexError as error:
                raise _broken_off(error, applied, ids, total) from error
            applied += ids


def _sender(
    stub: Callable[..., None], request: Message, routing: tuple[tuple[str, str], ...]
) -> Callable[[float], None]:
    return lambda timeout: stub(request, timeout=timeout, metadata=routing)


def _broken_off(
    error: VertexError, applied: Sequence[str], ids: Sequence[str], total: int
) -> VertexError:
    """The error of a write, with what had been applied by then."""
    sure = error.code not in ("DEADLINE_EXCEEDED", "UNAVAILABLE", "INTERNAL", "UNKNOWN")
    told = "nothing of this call was applied"
    if applied or not sure:
        perhaps = "" if sure else f", of {len(ids)} more it is unknown"
        told = (
            f"{len(applied)} of {total} were applied ({applied[0]!r} to {applied[-1]!r}){perhaps}"
            if applied
            else f"of {len(ids)} of {total} it is unknown whether they were applied"
        )
        told += "; the same call may be made again"
    key = error.id or (ids[0] if len(ids) == 1 else "")
    return VertexError(f"{error}; {told}", code=error.code, key=key, applied=tuple(applied))
