"""Datapoints from tables: the columns of Vertex AI's own JSON, or any table's columns by name."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from harness.datapoints import Datapoint
from harness.errors import DataError
from harness.retrieval._reading import KNOWN, Reader

if TYPE_CHECKING:
    from harness.data.rows import Row


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a table make a datapoint; None and () are those that are called so.

    `restricts` names columns whose value is a token (or a list of them) in the namespace of that
    name; `numbers` those that hold a number, as NAME for floats or NAME:int; `metadata` those to
    keep. Where one of the three is given, the column of Vertex AI's form is not looked at.
    """

    id: str | None = None
    text: str | None = None
    embedding: str | None = None
    crowding_tag: str | None = None
    restricts: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()


def read_datapoints(
    path: str | Path, columns: Columns | None = None
) -> Iterator[tuple[Row, Datapoint]]:
    """The datapoints of a table, each with its row, read as they are asked for.

    The table is a .csv, .tsv, .json, .jsonl or .parquet file, or `hf:NAME`. A row has an id, and
    an embedding or a text. As in Vertex AI's files, the numbers of an embedding may be texts,
    `restricts` is a list of {"namespace", "allow", "deny"} (or allow_list, deny_list),
    `numeric_restricts` one of {"namespace", "value_int" | "value_float" | "value_double"}; both may
    also be written {"colour": ["red"]} and {"price": 3}. In CSV a cell holds these as JSON.

    Raises:
        DataError: here or at the row where it shows, naming file, row and column: for what cannot
            be read, and for an id that is there twice.
    """
    from harness.data.tables import read_table

    columns = columns or Columns()
    seen: dict[str, int] = {}
    for row in read_table(path):
        point = datapoint(row, columns)
        earlier = seen.setdefault(point.id, row.number)
        if earlier != row.number:
            raise DataError(f"{row.where}: the id {point.id!r} is that of row {earlier} already")
        yield row, point


def datapoint(row: Row, columns: Columns | None = None) -> Datapoint:
    """The datapoint that a row holds; raises DataError as `read_datapoints`."""
    return Reader(row, columns or Columns()).datapoint()


def unused(row: Row, columns: Columns) -> list[str]:
    """The columns of a row that a datapoint made of it does not have."""
    named = {getattr(columns, f.name) for f in fields(columns)} - {None}
    lists = {
        name.partition(":")[0] for names in named if isinstance(names, tuple) for name in names
    }
    known = {name for names in KNOWN.values() for name in names}
    return [name for name in row.values if name not in known | lists | named]


def same(given: Datapoint, stored: Datapoint) -> bool:
    """Whether a stored datapoint is the given one, so that it need not be written again.

    Vectors are compared as float32; where only a text is given, an equal text is enough.
    """
    vectors = not len(given.vector) or array("f", given.vector) == array("f", stored.vector)
    return vectors and _tags(given) == _tags(stored)


def _tags(point: Datapoint) -> tuple[object, ...]:
    tokens = {r.namespace: (set(r.allow), set(r.deny)) for r in point.restricts}
    numbers = {r.namespace: r.value for r in point.numeric_restricts}
    return point.id, point.text, tokens, numbers, point.crowding_tag, dict(point.metadata)
