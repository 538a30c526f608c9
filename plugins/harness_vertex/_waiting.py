"""Long-running operations: waited for as long as they take, and left running on Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NoReturn

from google.cloud.aiplatform_v1.types import (
    CreateIndexOperationMetadata,
    NearestNeighborSearchOperationMetadata,
    UpdateIndexOperationMetadata,
)
from google.longrunning.operations_pb2 import Operation

from harness.indexing import Report, Work
from harness_vertex import VertexError
from harness_vertex._errors import Problem, code_name
from harness_vertex._service import Service

_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _GROWTH = 0.05, 10.0, 1.5
_RARER = 1.2  # an hour is told of about forty times
_METADATA = {
    kind.pb().DESCRIPTOR.full_name: kind
    for kind in (CreateIndexOperationMetadata, UpdateIndexOperationMetadata)
}
_RECORDS = 3
_NOT_THERE = ("UNIMPLEMENTED", "NOT_FOUND", "INVALID_ARGUMENT")


class Waiter:
    """Waits for operations of a service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def wait(self, operation: Operation, doing: str, report: Report) -> None:
        """Wait until an operation is done.

        Raises:
            VertexError: if it failed, with the service's code and the first records that are wrong.
            KeyboardInterrupt: as it comes; the operation goes on, and `report` is told its name.
        """
        started, pause, due = time.monotonic(), _FIRST_PAUSE_S, 0.0
        name = operation.name
        try:
            while not operation.done:
                if (seconds := time.monotonic() - started) >= due:
                    report(Work(doing, "running", seconds, name))
                    due = max(seconds + 1, seconds * _RARER)
                time.sleep(pause)
                pause = min(pause * _GROWTH, _LONGEST_PAUSE_S)
                operation = self.get(name)
        except KeyboardInterrupt:
            report(Work(doing, "left", time.monotonic() - started, name))
            raise
        records = _records(operation)
        if operation.HasField("error"):
            _failed(operation, doing, records)
        report(Work(doing, "done", time.monotonic() - started, name, records))

    def get(self, name: str) -> Operation:
        """An operation as it stands."""
        clients = self._service.indexes
        return self._service.call(
            lambda s: clients.get_operation({"name": name}, timeout=s, retry=None),
            f"asking for the operation {name}",
        )

    def pending(self, resource: str) -> list[Operation]:
        """The operations of a resource that are under way, where the service lists them."""
        clients, request = self._service.indexes, {"name": resource, "filter": "done=false"}
        try:
            listed = self._service.call(
                lambda s: clients.list_operations(request, timeout=s, retry=None),
                f"listing the operations of {resource}",
            )
        except VertexError as error:
            if error.code not in _NOT_THERE:
                raise
            return []
        return [operation for operation in listed.operations if not operation.done]


def _failed(operation: Operation, doing: str, records: str) -> NoReturn:
    problem = Problem(code_name(operation.error.code), operation.error.message)
    after = f", operation {operation.name}" + (f" ({records})" if records else "")
    raise problem.error(doing, after=after)


def _records(operation: Operation) -> str:
    """How many records of files were taken, and the first that were not; empty for no files."""
    kind = _METADATA.get(operation.metadata.type_url.rpartition("/")[2])
    if kind is None:
        return ""
    found = kind.deserialize(operation.metadata.value).nearest_neighbor_search_operation_metadata
    stats = found.content_validation_stats
    if not stats:
        return ""
    valid = sum(one.valid_record_count for one in stats)
    invalid = sum(one.invalid_record_count for one in stats)
    told = f"{valid} records taken" + (f", {invalid} not: " if invalid else "")
    return told + "; ".join(list(_wrong(found))[:_RECORDS])


def _wrong(found: NearestNeighborSearchOperationMetadata) -> Iterator[str]:
    for stats in found.content_validation_stats:
        for error in stats.partial_errors:
            where = f"{error.source_gcs_uri} {error.embedding_id}".strip()
            yield f"{where}: {error.error_type.name}: {error.error_message}"
