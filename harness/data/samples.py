"""Samples from tables: which column is the prompt, which hold the references."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.components import Sample
from harness.data.plain import plain
from harness.data.tables import Row, read_table
from harness.errors import DataError


def load_samples(
    path: str | Path,
    *,
    prompt: str,
    references: str | Sequence[str] = (),
    id: str | None = None,  # noqa: A002  (it fills the field of this name)
    metadata: str | Sequence[str] | None = None,
) -> list[Sample]:
    """The rows of a table as samples, in order.

    Prompts, references and ids that are no text become text: numbers as Python writes them,
    but whole ones without the point (3.0 is "3": pandas writes integers so where cells are
    missing), true and false in lower case, dates as ISO 8601.

    Args:
        path: A file, or `hf:NAME`: whatever `harness.data.tables.read_table` reads.
        prompt: The column of the prompts.
        references: The column, or columns, of the references. A cell is one reference or, in
            JSON and Parquet, a list of them. A cell that is absent or null is no reference, and
            so is an empty one in CSV; "" in JSON and Parquet is one: the empty answer.
        id: The column of the ids; without it they are the numbers of the rows, from "1".
        metadata: The columns to keep, as JSON values; "rest" keeps all that are not named above.
            An empty cell of a CSV file is kept as "": an answer that is empty, not missing.

    Raises:
        DataError: naming the file, the row and the column, for a table that cannot be read, a
            column that is not there, a row without prompt or id, an id that occurs twice, or a
            value that cannot be used.
    """
    columns = _Columns(prompt, _names(references), id, _kept(metadata))
    samples: list[Sample] = []
    found: dict[str, object] = {}
    rows_by_id: dict[str, int] = {}
    for row in read_table(path):
        sample = columns.sample(row)
        earlier = rows_by_id.setdefault(sample.id, row.number)
        if earlier != row.number:
            raise DataError(f"{row.where}: the id {sample.id!r} is that of row {earlier} already")
        samples.append(sample)
        found.update(row.values)
    for column in columns.optional():
        if column not in found:
            raise DataError(f"{path}: {no_column(column, found)}")
    return samples


class _Columns(NamedTuple):
    prompt: str
    references: tuple[str, ...]
    id: str | None
    metadata: tuple[str, ...] | None
    """None stands for all others."""

    def sample(self, row: Row) -> Sample:
        return Sample(
            id=str(row.number) if self.id is None else required(row, self.id),
            prompt=required(row, self.prompt),
            references=tuple(text for c in self.references for text in references_in(row, c)),
            metadata={c: kept(row, c, row.values[c]) for c in self._kept(row) if c in row.values},
        )

    def _kept(self, row: Row) -> Iterable[str]:
        if self.metadata is not None:
            return self.metadata
        named = (self.prompt, self.id, *self.references)
        return (column for column in row.values if column not in named)

    def optional(self) -> Iterable[str]:
        """The columns that a row may lack, though not every row."""
        return self.references + (self.metadata or ())


def _names(columns: str | Sequence[str]) -> tuple[str, ...]:
    return (columns,) if isinstance(columns, str) else tuple(columns)


def _kept(metadata: str | Sequence[str] | None) -> tuple[str, ...] | None:
    return None if metadata == "rest" else _names(metadata or ())


def required(row: Row, column: str) -> str:
    """A cell as text; raises DataError if the column is not there or the cell is empty."""
    if column not in row.values:
        raise DataError(f"{row.where}: {no_column(column, row.values)}")
    text = text_in(row, column, row.values[column])
    if text is None:
        raise DataError(f"{row.where}: column {column!r} is empty; fill it or remove the row")
    return text


def references_in(row: Row, column: str) -> Iterable[str]:
    """The references in a cell, which may hold a list; an empty one holds none."""
    cell = row.values.get(column)
    texts = (text_in(row, column, item) for item in (cell if isinstance(cell, list) else (cell,)))
    return (text for text in texts if text is not None)


def text_in(row: Row, column: str, value: object) -> str | None:
    """A cell's value as text, None where there is none; raises DataError for lists and objects."""
    if isinstance(value, str):
        return _encodable(row, column, value)
    value = _plain(row, column, value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | dict):
        kind = "a list" if isinstance(value, list) else "an object"
        raise DataError(f"{row.where}: column {column!r} holds {kind} where text is expected")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return None if value is None else str(value)


def _encodable(row: Row, column: str, text: str) -> str:
    try:
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError as error:
        half = f"half a surrogate pair at character {error.start}"
        raise DataError(f"{row.where}: column {column!r} has {half}; mend the text") from error
    return text


def kept(row: Row, column: str, value: object) -> object:
    """A cell as metadata keeps it: an empty one of CSV and TSV, where no null can be, is ""."""
    if value is None and row.file.lower().endswith((".csv", ".tsv")):
        return ""
    return _plain(row, column, value)


def _plain(row: Row, column: str, value: object) -> object:
    try:
        return plain(value)
    except TypeError as error:
        raise DataError(f"{row.where}: column {column!r}: {error}; name other columns") from error


def no_column(column: str, columns: Iterable[str]) -> str:
    """What to say of a column that is not there."""
    near = difflib.get_close_matches(column, columns, 1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"there is no column {column!r}{hint} There are: {', '.join(columns)}"
