"""Tables in files: rows that remember where they stand, read one at a time.

CSV, TSV, JSON, JSON Lines and Parquet by the name's ending, and data sets of the Hugging Face
hub as `hf:NAME`. `write_table` is the other direction.
"""

from __future__ import annotations

import csv
import difflib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TextIO

from harness.data.rows import Row, place
from harness.data.writing import write_table
from harness.errors import DataError

__all__ = ["Row", "read_table", "write_table"]


def read_table(path: str | Path) -> Iterator[Row]:
    """The rows of a table, at least one, read as they are asked for.

    The ending decides: `.csv` and `.tsv` (a header, quotes as spreadsheets write them), `.json`
    (a list of objects, or an object whose `data` is one), `.jsonl` or `.ndjson`, `.parquet`;
    text is UTF-8. `hf:NAME`, `hf:NAME:SPLIT` and `hf:NAME:CONFIG:SPLIT` name a data set of the
    Hugging Face hub, or a folder of this machine that holds one.

    An empty CSV or TSV cell is None, as those files cannot tell no text from an empty one;
    so is NaN in JSON. Lines that are blank are not rows.

    Raises:
        DataError: here or at the row where it shows, naming the file, the row and the remedy.
    """
    rows = _rows(path)
    first = next(rows, None)
    if first is None:
        raise DataError(f"{path} has no rows of data")
    return chain((first,), rows)


def _rows(path: str | Path) -> Iterator[Row]:
    if str(path).startswith("hf:"):
        from harness.data.hub import read_hub

        return read_hub(str(path))
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if path.is_dir():
        raise DataError(f"{path} is a folder; name a file, or write hf:{path} for a saved data set")
    if not path.exists():
        raise DataError(f"there is no file {path}{_similar_file(path)}")
    if reader is None:
        raise DataError(f"{path}: cannot read {path.suffix or 'this'}; use {', '.join(_READERS)}")
    return reader(path)


def _similar_file(path: Path) -> str:
    names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, 1)
    return f"; did you mean {path.with_name(near[0])}?" if near else f" (looked in {Path.cwd()})"


@contextmanager
def _open(path: Path, newline: str | None = None) -> Iterator[TextIO]:
    try:
        with path.open(encoding="utf-8-sig", newline=newline) as handle:
            yield handle
    except UnicodeDecodeError:
        raise _not_utf8(path) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _not_utf8(path: Path) -> DataError:
    """Where the first wrong byte stands: the decoder itself knows only its place in a block."""
    offset = 0
    with path.open("rb") as handle:
        for number, line in enumerate(handle, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                sixteen = offset == 0 and line[:2] in (b"\xff\xfe", b"\xfe\xff")
                encoding = "UTF-16" if sixteen else "WINDOWS-1252"
                return DataError(
                    f"{path}, line {number}: byte {offset + error.start} is not UTF-8; if it is "
                    f"{encoding}: iconv -f {encoding} -t UTF-8 {path} > new{path.suffix}"
                )
            offset += len(line)
    return DataError(f"{path} changed while it was read")


def _read_csv(path: Path) -> Iterator[Row]:
    return _read_separated(path, ",")


def _read_tsv(path: Path) -> Iterator[Row]:
    return _read_separated(path, "\t")


def _read_separated(path: Path, delimiter: str) -> Iterator[Row]:
    with _open(path, newline="") as handle:
        records = _records(path, handle, delimiter)
        _, header = next(records, (0, []))
        if not header:
            raise DataError(f"{path} is empty")
        columns, number = _unique(path, header), 0
        for number, (line, fields) in enumerate(records, 1):
            yield Row(_cells(path, number, line, columns, fields), str(path), number, line)
    if not number:
        raise DataError(f"{path} has a header but no rows")


def _records(path: Path, handle: TextIO, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The records that are not blank, each with the line that it begins on."""
    # The limit is the csv module's own and holds for the process; long documents exceed it.
    csv.field_size_limit(max(csv.field_size_limit(), 2**31 - 1))
    reader = csv.reader(handle, delimiter=delimiter, strict=True)
    line = 1
    try:
        for fields in reader:
            if fields:
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}, line {line}: {_csv_problem(error)}") from error


def _csv_problem(error: csv.Error) -> str:
    if "end of data" in str(error):
        return "a quote opens here and never closes; double the quotes that are text"
    return f"{error}; a field that begins with a quote ends with one, quotes inside are doubled"


def _unique(path: Path, columns: list[str]) -> list[str]:
    for name, count in Counter(columns).items():
        if count > 1:
            raise DataError(f"{path}: two columns are called {name!r}; rename one")
    return columns


def _cells(
    path: Path, number: int, line: int, columns: list[str], fields: list[str]
) -> dict[str, object]:
    if len(fields) != len(columns):
        few = "fill the row, or quote the line break that ends it"
        hint = few if len(fields) < len(columns) else "quote the text that has a separator in it"
        count = f"the header has {len(columns)} fields and this row {len(fields)}"
        raise DataError(f"{place(path, number, line)}: {count}; {hint}")
    return {column: field or None for column, field in zip(columns, fields, strict=True)}


def _read_json(path: Path) -> Iterator[Row]:
    with _open(path) as handle:
        text = handle.read()
    if not text.strip():
        raise DataError(f"{path} is empty")
    try:
        document = _JSON.decode(text)
    except json.JSONDecodeError as error:
        hint = "; name JSON Lines .jsonl" if error.msg == "Extra data" else ""
        at = f"line {error.lineno}, column {error.colno}"
        raise DataError(f"{path}, {at}: no JSON: {error.msg}{hint}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: no JSON: {error}") from error
    rows = document.get("data") if isinstance(document, dict) else document
    if not isinstance(rows, list):
        raise DataError(f"{path} holds no list of objects, nor an object whose `data` is one")
    for number, values in enumerate(rows, 1):
        yield Row(_object(values, place(path, number)), str(path), number)


def _read_jsonl(path: Path) -> Iterator[Row]:
    number = 0
    with _open(path) as handle:
        for line, text in enumerate(handle, 1):
            if text.isspace():
                continue
            number += 1
            where = place(path, number, line)
            yield Row(_object(_json_line(text, where), where), str(path), number, line)


def _json_line(text: str, where: str) -> object:
    try:
        return _JSON.decode(text)
    except json.JSONDecodeError as error:
        hint = "a line is one whole object; name other JSON .json"
        raise DataError(f"{where}, column {error.colno}: no JSON: {error.msg}; {hint}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: no JSON: {error}") from error


def _object(values: object, where: str) -> dict[str, object]:
    if not isinstance(values, dict):
        raise DataError(f"{where}: {str(values)[:40]!r} is no object with columns as its keys")
    return values


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            _unique(path, list(file.schema_arrow.names))
            for batch in file.iter_batches(1000):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(values, str(path), number)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        what = next(iter(str(error).splitlines()), type(error).__name__)
        raise DataError(f"{path} cannot be read as Parquet: {what}") from error


def _no_number(_: str) -> None:
    """NaN and Infinity, which Python's own JSON writer makes, stand for no value."""


_JSON = json.JSONDecoder(parse_constant=_no_number)
_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".parquet": _read_parquet,
}
