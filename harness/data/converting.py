"""From one kind of table to another: conversations as columns and back, or the rows as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from harness.data.chat import COLUMNS, MESSAGES, has_columns, is_chat, to_chat, to_columns
from harness.data.rows import Row
from harness.data.tables import read_table
from harness.data.writing import check_writable, write_objects, write_table

Form = Literal["chat", "columns", "as-is"]
"""Conversations as `messages`, as columns, or any rows as they are."""

FORMS: tuple[Form, ...] = get_args(Form)


class Written(NamedTuple):
    """What was written: how many rows, in which form, and how many have `messages` whole."""

    rows: int
    form: Form
    whole: int = 0


def convert(path: str | Path, output: str | Path, form: Form | None = None) -> Written:
    """Write the rows of one table as another; the file is read twice, and never held whole.

    Without a `form`, conversations become columns in a file of columns (CSV, TSV, Parquet), and
    the columns `system_prompt`, `prompt` and `completion` become conversations in JSON and JSON
    Lines; all else stays as it is.

    Raises:
        DataError: naming file and row, for what cannot be read, converted or written.
    """
    check_writable(output)
    return write_rows(lambda: read_table(path), output, form)


def write_rows(
    rows: Callable[[], Iterable[Row]], output: str | Path, form: Form | None = None
) -> Written:
    """As `convert`, of rows: at least one, and the same each time that `rows` is called."""
    form = form or _natural(next(iter(rows())), output)

    def records() -> Iterable[Mapping[str, object]]:
        return map(_CONVERTERS[form], rows())

    if _takes_objects(output):
        return Written(write_objects(output, records()), form)
    columns, whole = _columns(records(), form)
    return Written(write_table(output, records(), columns), form, whole)


def _natural(first: Row, output: str | Path) -> Form:
    """The form that suits the file, by the looks of the first row."""
    if _takes_objects(output):
        return "chat" if has_columns(first) else "as-is"
    return "columns" if is_chat(first) else "as-is"


def _takes_objects(output: str | Path) -> bool:
    return Path(output).suffix.lower() in (".json", ".jsonl")


def _columns(records: Iterable[Mapping[str, object]], form: Form) -> tuple[list[str], int]:
    """The columns that these records need, and how many of them have a conversation whole."""
    names: dict[str, None] = dict.fromkeys(COLUMNS if form == "columns" else ())
    whole = 0
    for record in records:
        names.update(dict.fromkeys(record))
        whole += form == "columns" and MESSAGES in record
    if form == "columns" and MESSAGES in names:
        del names[MESSAGES]  # it may be long, so it comes last
        names[MESSAGES] = None
    return list(names), whole


def _as_is(row: Row) -> Mapping[str, object]:
    return row.values


_CONVERTERS: dict[Form, Callable[[Row], Mapping[str, object]]] = {
    "chat": to_chat,
    "columns": to_columns,
    "as-is": _as_is,
}
