"""The files that the emulator builds an index from: JSON lines, CSV, Avro."""

from __future__ import annotations

import functools
import io
import json

from hypothesis import strategies as st

from harness.vectors import VectorIndex, VectorSettings
from harness_vertex._emulator.errors import ServiceError
from harness_vertex._emulator.importing import apply_batch, read_batch
from harness_vertex._emulator.operations import Task
from harness_vertex._messages import raw
from tests.trust.fuzz_files import READ
from tests.trust.fuzz_points import POINTS
from tests.trust.fuzzing import TEXTS, folder, mutated

_LINES = POINTS.map(lambda rows: b"".join(json.dumps(row).encode() + b"\n" for row in rows))
_CELLS = st.one_of(
    st.sampled_from(
        [
            *("0.5", "-1", "nan", "1e400", "9" * 500, "#n=5i", "#n=0.5d", "#n=x", "#=1", "=a"),
            *("colour=red", "colour=!blue", "crowding_tag=c", "#n=1e400f", '"', "#n=9e9i"),
        ]
    ),
    TEXTS,
)
_CSV = st.lists(
    st.tuples(st.sampled_from(["a", "b", ""]), st.lists(_CELLS, max_size=3)), max_size=3
).map(
    lambda rows: "\n".join(",".join([key, "0.5", "1", *cells]) for key, cells in rows).encode(
        "utf-8", "replace"
    )
)
_FIELDS: list[dict[str, object]] = [
    {"name": "id", "type": "string"},
    {"name": "embedding", "type": {"type": "array", "items": "float"}},
    {"name": "restricts", "type": ["null", {"type": "array", "items": {
        "type": "record", "name": "R", "fields": [
            {"name": "namespace", "type": "string"},
            {"name": "allow", "type": {"type": "array", "items": "string"}}]}}], "default": None},
]  # fmt: skip


@functools.cache
def avros() -> list[bytes]:
    import fastavro

    found = []
    for codec in ("null", "deflate", "bzip2", "xz"):
        schema = fastavro.parse_schema({"type": "record", "name": "D", "fields": _FIELDS})
        sink = io.BytesIO()
        record = {"id": "a", "embedding": [0.5, 1.0], "restricts": None}
        tagged = {**record, "id": "b", "restricts": [{"namespace": "n", "allow": ["x"]}]}
        fastavro.writer(sink, schema, [record, tagged], codec=codec)
        found.append(sink.getvalue())
    return found


ROWS = st.one_of(
    st.tuples(st.just(".json"), mutated(_LINES)),
    st.tuples(st.just(".json"), mutated(_LINES)),
    st.tuples(st.just(".csv"), mutated(_CSV)),
    st.tuples(st.just(".avro"), mutated(st.deferred(lambda: st.sampled_from(avros())))),
    st.tuples(st.sampled_from([".json", ".csv", ".avro"]), st.binary(max_size=200)),
)


def load(given: tuple[str, bytes]) -> str:
    """A folder is taken whole, or refused with the rows that are wrong."""
    suffix, data = given
    with folder() as here, VectorIndex(VectorSettings(dimensions=2)) as index:
        (here / f"rows{suffix}").write_bytes(data)
        metadata = raw("CreateIndexOperationMetadata")()
        task = Task("an operation", "an index", raw("CreateIndexRequest")(), metadata)
        try:
            apply_batch(index, read_batch(here, "gs://data/rows"), task)
        except ServiceError as error:
            report = metadata.nearest_neighbor_search_operation_metadata
            told = error.code.name, report.content_validation_stats[0].invalid_record_count
        else:
            told = "", 0
        if told[0]:
            assert told > ("FAILED_PRECONDITION", 0)
            assert not len(index)
            return "files refused with the rows that are wrong"
        ids = [point.id for point in index.read(sorted(index.ids()))]
        assert len(ids) == len(index)
    return READ
