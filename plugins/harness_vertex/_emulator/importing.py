"""The batch of datapoints under a gs:// folder: read whole, refused whole if one row is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import Message

from harness.data.plain import storable
from harness.datapoints import Datapoint
from harness.errors import HarnessError
from harness.vectors import Problem, VectorIndex
from harness_vertex._emulator.errors import invalid, missing, precondition
from harness_vertex._emulator.operations import Task
from harness_vertex._emulator.records import Row, RowError, is_data, read_rows
from harness_vertex._messages import RecordError

_TOLD = 50
_KINDS = {
    Problem.DIMENSIONS: "EMBEDDING_SIZE_MISMATCH",
    Problem.NO_VECTOR: "INVALID_EMBEDDING",
    Problem.NOT_FINITE: "INVALID_EMBEDDING",
    Problem.EMPTY_ID: "INVALID_EMBEDDING_ID",
    Problem.DUPLICATE_NAMESPACE: "DUPLICATE_NAMESPACE",
    Problem.OPERATOR_IN_DATAPOINT: "OP_IN_DATAPOINT",
    Problem.VALUE_TYPES: "INVALID_NUMERIC_VALUE",
    Problem.BAD_NUMBER: "INVALID_NUMERIC_VALUE",
    Problem.BAD_TEXT: "INVALID_ENCODING",
}


class Buckets:
    """The local folders that stand for buckets.

    Raises:
        HarnessError: for one that is not NAME=FOLDER, or whose folder is missing.
    """

    def __init__(self, given: Iterable[str]) -> None:
        self._folders: dict[str, Path] = {}
        for one in given:
            name, _, folder = one.partition("=")
            if not name or not folder:
                raise HarnessError(f"a bucket is given as NAME=FOLDER, not {one!r}")
            if not Path(folder).is_dir():
                raise HarnessError(f"the bucket {name}: there is no folder {folder}")
            self._folders[name.removeprefix("gs://")] = Path(folder).resolve()

    def folder(self, uri: str) -> Path:
        """The folder of a gs:// address; NOT_FOUND if there is none."""
        bucket, _, prefix = uri.removeprefix("gs://").partition("/")
        if not uri.startswith("gs://") or not bucket:
            raise invalid(f"contentsDeltaUri {uri!r} must be gs://BUCKET/FOLDER.")
        if bucket not in self._folders:
            known = ", ".join(self._folders) or "none"
            raise missing("Bucket", f"{bucket} (the emulator was started with --bucket: {known})")
        try:
            folder = (self._folders[bucket] / prefix).resolve()
            there = folder.is_dir()
        except (OSError, ValueError) as error:  # too long, or with a NUL
            raise invalid(f"contentsDeltaUri {uri!r} can name no folder: {error}.") from error
        if not folder.is_relative_to(self._folders[bucket]):
            raise invalid(f"contentsDeltaUri {uri!r} leads out of its bucket.")
        if not there:
            raise missing("Folder", uri)
        return folder


@dataclass(frozen=True, slots=True)
class Batch:
    """What a folder holds: rows of the data files, ids of `delete/`, and the size in bytes."""

    rows: list[Row]
    removed: list[str]
    size: int


def read_batch(folder: Path, uri: str) -> Batch:
    """Read the data files of a folder, and the lists of ids in its folder `delete`."""
    uri = uri.rstrip("/")
    rows: list[Row] = []
    size = 0
    for path in sorted(p for p in folder.iterdir() if p.is_file() and is_data(p)):
        rows.extend(read_rows(path, f"{uri}/{path.name}"))
        size += path.stat().st_size
    removed: list[str] = []
    for path in sorted(p for p in folder.glob("delete/*") if p.is_file()):
        text = path.read_text(encoding="utf-8", errors="replace")
        removed.extend(line.strip() for line in text.splitlines() if line.strip())
        size += path.stat().st_size
    return Batch(rows, removed, size)


def apply_batch(index: VectorIndex, batch: Batch, task: Task) -> None:
    """Put a batch into an index, all of it, and say in the operation's metadata what was read.

    Raises:
        ServiceError: FAILED_PRECONDITION if a row is wrong; nothing is applied then.
    """
    rows = _examined(index, batch)
    errors: dict[str, list[tuple[Row, RowError]]] = {}
    for row in rows:
        if isinstance(row.result, RowError):
            errors.setdefault(row.uri, []).append((row, row.result))
    _report(task.metadata, rows, errors, batch.size)
    if errors:
        raise precondition(
            f"There are invalid records under files [{', '.join(errors)}]. "
            f"Please check the details in the metadata of operation: {task.operation}."
        )
    points = {row.result.id: row.result for row in rows if isinstance(row.result, Datapoint)}
    if points:
        index.upsert(list(points.values()))
    if batch.removed:
        index.remove(batch.removed)
    index.prepare()


def _examined(index: VectorIndex, batch: Batch) -> list[Row]:
    """The rows, with what the index objects to as errors; an id may be there twice."""
    rows, removed = list(batch.rows), set(batch.removed)
    places = {row.result.id: n for n, row in enumerate(rows) if isinstance(row.result, Datapoint)}
    order = list(places.values())
    points = [row.result for n in order if isinstance((row := rows[n]).result, Datapoint)]
    for wrong in index.check(points):
        if wrong.position is not None:
            kind = _KINDS.get(wrong.problem, "PARSING_ERROR")
            _spoil(rows, order[wrong.position], kind, str(wrong))
    for name in removed & places.keys():
        _spoil(rows, places[name], "INVALID_EMBEDDING_ID", f"{name!r} is under delete/ as well")
    return rows


def _spoil(rows: list[Row], place: int, kind: str, message: str) -> None:
    row = rows[place]
    rows[place] = Row(row.uri, row.raw, RowError(kind, message, row.result.id))


def _report(
    metadata: Message,
    rows: list[Row],
    errors: Mapping[str, list[tuple[Row, RowError]]],
    size: int,
) -> None:
    report = metadata.nearest_neighbor_search_operation_metadata
    report.data_bytes_count = size
    del report.content_validation_stats[:]
    for uri in dict.fromkeys(row.uri for row in rows):
        wrong = errors.get(uri, [])
        stats = report.content_validation_stats.add(source_gcs_uri=uri)
        stats.invalid_record_count = len(wrong)
        stats.valid_record_count = sum(row.uri == uri for row in rows) - len(wrong)
        for row, error in wrong[:_TOLD]:
            stats.partial_errors.add(
                error_type=RecordError.RecordErrorType.Value(error.kind),
                error_message=storable(str(error)),
                source_gcs_uri=uri,
                embedding_id=storable(error.id),
                raw_record=row.raw,
            )
