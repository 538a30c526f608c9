"""Datapoints in tables, and the index that they go into."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping

from hypothesis import strategies as st

from harness.retrieval import Columns, read_datapoints
from harness.vectors import VectorError, VectorIndex, VectorSettings
from tests.trust.fuzz_files import CELLS, IDS, READ, REFUSED, lines
from tests.trust.fuzzing import TEXTS, folder, mutated, refused

_NUMBERS = st.one_of(st.floats(width=32), st.integers(-3, 3), TEXTS, st.integers())
_VECTORS = st.one_of(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=2),
                     st.lists(_NUMBERS, max_size=3), CELLS)  # fmt: skip
_RESTRICTS = st.one_of(
    st.lists(
        st.fixed_dictionaries(
            {"namespace": TEXTS},
            optional={
                "allow": st.one_of(st.lists(TEXTS, max_size=2), CELLS),
                "deny": st.lists(TEXTS, max_size=2),
                "deny_list": CELLS,
            },
        ),
        max_size=2,
    ),
    st.dictionaries(TEXTS, CELLS, max_size=2),
    CELLS,
)
_NUMERIC = st.one_of(
    st.lists(
        st.fixed_dictionaries(
            {"namespace": TEXTS},
            optional={
                "value_int": _NUMBERS,
                "value_float": _NUMBERS,
                "value_double": _NUMBERS,
                "op": TEXTS,
            },
        ),
        max_size=2,
    ),
    st.dictionaries(TEXTS, _NUMBERS, max_size=2),
    CELLS,
)
_RIGHT_POINT = {
    "id": "a",
    "embedding": [0.5, 1],
    "restricts": [{"namespace": "colour", "allow": ["red"], "deny": ["blue"]}],
    "numeric_restricts": [{"namespace": "price", "value_float": 2.5}],
    "crowding_tag": {"crowding_attribute": "shop"},
    "embedding_metadata": {"page": 1},
}
_RIGHT_POINTS = st.lists(
    st.text("abc", min_size=1, max_size=2), min_size=1, max_size=4, unique=True
).map(lambda ids: [{**_RIGHT_POINT, "id": one} for one in ids])
_ANY_POINTS = st.lists(
    st.fixed_dictionaries(
        {"id": IDS, "embedding": _VECTORS},
        optional={
            "restricts": _RESTRICTS,
            "numeric_restricts": _NUMERIC,
            "crowding_tag": st.one_of(
                TEXTS, st.fixed_dictionaries({"crowding_attribute": CELLS}), CELLS
            ),
            "text": CELLS,
            "embedding_metadata": CELLS,
            "sparse_embedding": CELLS,
        },
    ),
    max_size=3,
)


POINTS: st.SearchStrategy[list[dict[str, object]]] = st.one_of(_RIGHT_POINTS, _ANY_POINTS)


def _point_table(records: list[Mapping[str, object]], as_csv: bool) -> bytes:
    if not as_csv:
        return b"j" + lines([*records])
    columns = list(dict.fromkeys(name for record in records for name in record))
    handle = io.StringIO(newline="")
    writer = csv.writer(handle)
    writer.writerow(columns)
    for record in records:
        cells = [record.get(name, "") for name in columns]
        writer.writerow([c if isinstance(c, str) else json.dumps(c) for c in cells])
    return b"c" + handle.getvalue().encode("utf-8", "replace")


DATAPOINTS = mutated(st.builds(_point_table, POINTS, st.booleans()))
_COLUMNS = (Columns(), Columns(), Columns(id="id", embedding="embedding", restricts=("text",),
            numbers=("id:int",), metadata=("text", "embedding")))  # fmt: skip


def datapoints(data: bytes) -> str:
    """Datapoints into an index, which keeps all of them or none, and gives them back."""
    columns = _COLUMNS[len(data) % 3]
    with folder() as here:
        path = here / ("points.csv" if data[:1] == b"c" else "points.jsonl")
        path.write_bytes(data[1:])
        points: list[object] = []
        if refused(lambda: points.extend(p for _, p in read_datapoints(path, columns)), "points."):
            return REFUSED
        with VectorIndex(VectorSettings(dimensions=2), folder=here / "index") as index:
            given = [point for _, point in read_datapoints(path, columns) if len(point.vector)]
            try:
                index.upsert(given)
            except VectorError:
                assert not len(index)
                return REFUSED
            kept = {point.id: point for point in index.read([point.id for point in given])}
            assert len(kept) == len(index) == len(given)
        with VectorIndex(folder=here / "index") as index:
            again = {point.id: point for point in index.read(list(kept))}
            assert {k: (p.text, p.restricts, p.numeric_restricts, p.crowding_tag, p.metadata)
                    for k, p in kept.items()} == {
                k: (p.text, p.restricts, p.numeric_restricts, p.crowding_tag, p.metadata)
                for k, p in again.items()}  # fmt: skip
    return READ
