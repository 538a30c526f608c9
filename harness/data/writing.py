"""Writing tables to files: whole or not at all."""

from __future__ import annotations

import csv
import errno
import json
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from harness.data.plain import plain, storable
from harness.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

Rows = Iterator[list[object]]
"""Rows as lists of JSON values, in the order of the columns."""

_BOM = "\ufeff"
_CHUNK = 10_000
_ROOM = 2**20  # bytes: with less than that free a disk counts as full
_OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
# What the writers of safetensors and of torch, which raise errors of their own, say of a full disk.
_SIGNS = ("os error 28", "os error 27", "inline_container", "iostream error")


def write_table(
    path: str | Path, rows: Iterable[Mapping[str, object]], columns: Sequence[str]
) -> int:
    """Write the `columns` of `rows` as CSV, TSV, JSON, JSON Lines or Parquet, by the ending.

    `rows` may be an iterator of any length; what a row lacks is null, what it has beside the
    columns is left out. The file appears, or replaces an older one, when it is complete. In
    CSV and TSV a list or mapping is JSON text and None an empty cell; in Parquet a mapping is
    JSON text. NaN and infinities are null.

    Returns:
        The number of rows.

    Raises:
        DataError: if the ending is unknown, the folder is missing or not writable, there are no
            columns, which only JSON can tell, or a value cannot be written; names the row and the
            column.
    """
    path = Path(path)
    writer = check_writable(path)
    if not columns and writer not in (_write_json, _write_jsonl):
        raise DataError(f"{path}: there is no column to write")
    counted = _Plain(path, rows, columns)
    with replacing(path) as temporary:
        try:
            writer(temporary, iter(counted), list(columns))
        except _NoParquetError as error:
            raise DataError(f"{path}: {error}; write .jsonl, which takes any value") from error
    return counted.count


def write_objects(path: str | Path, objects: Iterable[Mapping[str, object]]) -> int:
    """Write objects as JSON or JSON Lines, each with the keys that it has; otherwise `write_table`.

    Returns:
        The number of objects.

    Raises:
        DataError: as `write_table`.
    """
    path = Path(path)
    check_writable(path)
    lines = path.suffix.lower() == ".jsonl"
    start, between, end = ("", "\n", "\n") if lines else ("[\n", ",\n", "\n]\n")
    count = 0
    with replacing(path) as temporary, _create(temporary, newline="\n") as handle:
        for count, item in enumerate(objects, 1):
            handle.write((between if count > 1 else start) + _object_text(path, count, item))
        handle.write(end)
    return count


def _object_text(path: Path, number: int, item: Mapping[str, object]) -> str:
    try:
        return _dumps(plain(item))
    except TypeError as error:
        raise DataError(f"{path}, row {number}: {error}; leave such values out") from error


def check_writable(path: str | Path) -> Callable[[Path, Rows, list[str]], None]:
    """What writes a table to this path, so that a long run can ask before it starts.

    Raises:
        DataError: if the ending is unknown, or the folder is missing.
    """
    path = Path(path)
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        known = ", ".join(_WRITERS)
        raise DataError(
            f"{path}: cannot write {path.suffix or 'a name without ending'}; use {known}"
        )
    if not path.parent.is_dir():
        raise DataError(f"{path}: the folder {path.parent} does not exist; create it first")
    return writer


class _Plain:
    """Rows as lists of JSON values, counted on their way."""

    def __init__(
        self, path: Path, rows: Iterable[Mapping[str, object]], columns: Sequence[str]
    ) -> None:
        self.path, self.rows, self.columns, self.count = path, rows, columns, 0

    def __iter__(self) -> Rows:
        for row in self.rows:
            self.count += 1
            try:
                yield [plain(row.get(column)) for column in self.columns]
            except TypeError as error:
                raise DataError(f"{self.path}, row {self.count}: {self._culprit(row)}") from error

    def _culprit(self, row: Mapping[str, object]) -> str:
        for column in self.columns:
            try:
                plain(row.get(column))
            except TypeError as error:
                return f"column {column!r}: {error}; convert it or leave the column out"
        return "the row cannot be written"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` that takes its place if all goes well, and else vanishes.

    Raises:
        DataError: if it cannot be written.
    """
    target = path.resolve()  # a link stays, and what it points to is replaced
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        temporary.replace(target)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, whole or not at all; half of a surrogate pair becomes an escape.

    Raises:
        DataError: if it cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(storable(text), "utf-8")


def is_full(folder: Path) -> bool:
    """Whether the disk of a folder has no room for anything; False where that cannot be known."""
    try:
        return shutil.disk_usage(folder).free < _ROOM
    except OSError:
        return False


def not_written(error: BaseException) -> str:
    """Why the system could not write, of any library's error; empty for another error."""
    if isinstance(error, OSError) and error.errno in _OF_DISKS:
        return error.strerror or str(error)
    told = " ".join(str(error).split())
    return told[:200] if any(sign in told for sign in _SIGNS) else ""


def _write_csv(path: Path, rows: Rows, columns: list[str]) -> None:
    _write_separated(path, rows, columns, ",")


def _write_tsv(path: Path, rows: Rows, columns: list[str]) -> None:
    _write_separated(path, rows, columns, "\t")


# Half of a surrogate pair has no UTF-8 form; written as `\ud800` it is at least JSON's own escape.
def _create(path: Path, newline: str | None = None) -> TextIO:
    return path.open("w", encoding="utf-8", errors="backslashreplace", newline=newline)


def _write_separated(path: Path, rows: Rows, columns: list[str], delimiter: str) -> None:
    with _create(path, newline="") as handle:
        if columns and columns[0].startswith(_BOM):
            handle.write(_BOM)  # who reads takes the first one off
        writer = csv.writer(handle, delimiter=delimiter)
        writer.writerow(columns)
        writer.writerows([_cell(value) for value in row] for row in rows)


def _cell(value: object) -> object:
    return _dumps(value) if isinstance(value, bool | list | dict) else value


def _write_json(path: Path, rows: Rows, columns: list[str]) -> None:
    with _create(path, newline="\n") as handle:
        separator = "[\n"
        for row in rows:
            handle.write(separator + _dumps(dict(zip(columns, row, strict=True))))
            separator = ",\n"
        handle.write("\n]\n" if separator == ",\n" else "[]\n")


def _write_jsonl(path: Path, rows: Rows, columns: list[str]) -> None:
    with _create(path, newline="\n") as handle:
        handle.writelines(_dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows)


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


class _NoParquetError(ValueError):
    """A column that has no Parquet type."""


def _write_parquet(path: Path, rows: Rows, columns: list[str]) -> None:
    """Chunks go to files of their own first: only the last row tells the type of every column."""
    import pyarrow as pa
    from pyarrow import feather, parquet

    folder = path.with_name(path.name + ".chunks")
    folder.mkdir()
    columns = [storable(column) for column in columns]
    try:
        schemas = [pa.schema([(column, pa.null()) for column in columns])]
        while chunk := list(islice(rows, _CHUNK)):
            table = _arrow_table(chunk, columns)
            feather.write_feather(table, str(folder / str(len(schemas))), compression="lz4")
            schemas.append(table.schema)
        schema = _common_schema(schemas)
        with parquet.ParquetWriter(path, schema) as writer:
            for number in range(1, len(schemas)):
                writer.write_table(feather.read_table(str(folder / str(number))).cast(schema))
    finally:
        shutil.rmtree(folder)


def _arrow_table(rows: list[list[object]], columns: list[str]) -> pa.Table:
    import pyarrow as pa

    arrays = {}
    for column, values in zip(columns, zip(*rows, strict=True), strict=True):
        try:
            arrays[column] = pa.array([_flat(value) for value in values])
        except (pa.ArrowException, OverflowError) as error:
            what = str(error).splitlines()[0]
            raise _NoParquetError(f"Parquet cannot hold column {column!r} ({what})") from error
    return pa.table(arrays)


def _common_schema(schemas: list[pa.Schema]) -> pa.Schema:
    import pyarrow as pa

    common = schemas[0]
    for schema in schemas[1:]:
        try:
            common = pa.unify_schemas([common, schema], promote_options="permissive")
        except pa.ArrowException as error:
            what = str(error).splitlines()[0]
            raise _NoParquetError(f"Parquet wants one type a column ({what})") from error
    return common


def _flat(value: object) -> object:
    """Mappings as JSON text: as Parquet structs, each would get the keys of all the others."""
    if isinstance(value, list):
        return [_flat(item) for item in value]
    flat = _dumps(value) if isinstance(value, dict) else value
    return storable(flat) if isinstance(flat, str) else flat


_WRITERS: dict[str, Callable[[Path, Rows, list[str]], None]] = {
    ".csv": _write_csv,
    ".tsv": _write_tsv,
    ".json": _write_json,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
}
