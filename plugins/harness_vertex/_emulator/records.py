"""Rows of the files that an index is built from (JSON lines, CSV, Avro): datapoints or errors.

Format: https://cloud.google.com/vertex-ai/docs/vector-search/setup/format-structure
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as brief
from typing import Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from harness.datapoints import Datapoint, NumericRestrict, Restrict
from harness_vertex._emulator.errors import precondition

T = TypeVar("T")

_RAW_CHARACTERS = 300
_NUMBERS = {"value_int": int, "value_float": float, "value_double": float}
_SUFFIXES = {"i": int, "f": float, "d": float}


class RowError(Exception):
    """What is wrong with one row; `kind` is a name of RecordErrorType."""

    def __init__(self, kind: str, message: str, id: str = "") -> None:  # noqa: A002
        super().__init__(message)
        self.kind, self.id = kind, id


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a file: where it is from, how it begins, and what came of it."""

    uri: str
    raw: str
    result: Datapoint | RowError


def read_rows(path: Path, uri: str) -> Iterator[Row]:
    """The rows of a file; the ending says how it is read."""
    yield from _READERS[path.suffix](path, uri)


def is_data(path: Path) -> bool:
    """Whether a file is one with datapoints; all others are left alone, as the service does."""
    return path.suffix in _READERS


def _json(path: Path, uri: str) -> Iterator[Row]:
    return _text_rows(path, uri, lambda line: _of_record(_loads(line)))


def _csv(path: Path, uri: str) -> Iterator[Row]:
    return _text_rows(path, uri, _of_csv)


def _text_rows(path: Path, uri: str, parse: Callable[[str], Datapoint]) -> Iterator[Row]:
    with path.open("rb") as lines:
        for line in lines:
            text = line.decode(errors="backslashreplace").rstrip("\r\n")
            yield Row(uri, text[:_RAW_CHARACTERS], _tried(lambda raw: parse(_decoded(raw)), line))


def _avro(path: Path, uri: str) -> Iterator[Row]:
    try:
        import fastavro
    except ModuleNotFoundError as error:
        raise precondition("Avro files need fastavro: pip install 'samescore[vertex]'.") from error
    with path.open("rb") as file:
        try:
            for block in fastavro.block_reader(file):
                _check_promise(cast(_Block, block))
                for record in block:
                    raw = json.dumps(record, default=repr)[:_RAW_CHARACTERS]
                    yield Row(uri, raw, _tried(_of_record, record))
        except Exception as error:  # its errors have no common base
            yield Row(uri, "", RowError("INVALID_AVRO_SYNTAX", f"{type(error).__name__}: {error}"))


class _Block(Protocol):
    """What a file holds its records in."""

    num_records: int
    bytes_: io.BytesIO
    writer_schema: object


def _check_promise(block: _Block) -> None:
    """Raise ValueError where a few bytes promise any number of values: null takes none."""
    if block.num_records > block.bytes_.getbuffer().nbytes or _has_empty_items(block.writer_schema):
        raise ValueError("values that take no byte are no datapoints")


def _has_empty_items(schema: object) -> bool:
    if isinstance(schema, Mapping):
        empty = schema.get("items") in ("null", {"type": "null"})
        return empty or any(map(_has_empty_items, schema.values()))
    return isinstance(schema, list) and any(map(_has_empty_items, schema))


_READERS: dict[str, Callable[[Path, str], Iterator[Row]]] = {
    ".json": _json,
    ".csv": _csv,
    ".avro": _avro,
}


def _tried(parse: Callable[[T], Datapoint], given: T) -> Datapoint | RowError:
    try:
        return parse(given)
    except RowError as error:
        return error


def _decoded(line: bytes) -> str:
    try:
        text = line.decode().strip()
    except UnicodeDecodeError as error:
        raise RowError("INVALID_ENCODING", f"the line is not UTF-8: {error}") from error
    if not text:
        raise RowError("EMPTY_LINE", "the line is empty")
    return text


def _loads(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RowError("INVALID_JSON_SYNTAX", f"no JSON object in a line: {error}") from error


def _of_record(record: object) -> Datapoint:
    if not isinstance(record, dict):
        raise RowError("INVALID_JSON_SYNTAX", "the line is no JSON object")
    name = record.get("id")
    if not isinstance(name, str) or not name:
        raise RowError("INVALID_EMBEDDING_ID", f"the id is {brief(name)}; it must be a text")
    try:
        return Datapoint(
            name,
            _embedding(record),
            restricts=tuple(_restrict(r) for r in _list(record, "restricts")),
            numeric_restricts=tuple(_number(r) for r in _list(record, "numeric_restricts")),
            crowding_tag=_crowding(record.get("crowding_tag")),
            metadata=_metadata(record.get("embedding_metadata")),
        )
    except RowError as error:
        error.id = name
        raise


def _embedding(record: Mapping[str, object]) -> NDArray[np.float32]:
    if record.get("sparse_embedding"):
        raise RowError("INVALID_SPARSE_EMBEDDING", "the emulator has no sparse embeddings")
    values = record.get("embedding")
    if not isinstance(values, list):
        raise RowError("INVALID_EMBEDDING", f"the embedding is {brief(values)}; it must be a list")
    return _vector(values)


def _vector(values: list[object] | list[str]) -> NDArray[np.float32]:
    """Numbers, or texts of numbers, as the official examples write them."""
    try:
        with np.errstate(over="ignore"):
            return np.asarray(values, np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise RowError("INVALID_EMBEDDING", f"the embedding: {error}") from error


def _list(record: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    values = record.get(key) or []
    if not isinstance(values, list) or not all(isinstance(v, dict) for v in values):
        raise RowError("PARSING_ERROR", f"{key} must be a list of objects")
    return values


def _restrict(given: Mapping[str, object]) -> Restrict:
    allow = given.get("allow") or given.get("allow_list")
    deny = given.get("deny") or given.get("deny_list")
    return Restrict(_namespace(given), _tokens(allow), _tokens(deny))


def _namespace(given: Mapping[str, object]) -> str:
    name = given.get("namespace")
    if not isinstance(name, str) or not name:
        raise RowError("NAMESPACE_MISSING", f"a restrict has no namespace: {brief(dict(given))}")
    return name


def _tokens(values: object) -> tuple[str, ...]:
    values = values or []
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise RowError(
            "INVALID_TOKEN_VALUE", f"tokens must be a list of texts, not {brief(values)}"
        )
    return tuple(values)


def _number(given: Mapping[str, object]) -> NumericRestrict:
    name = _namespace(given)
    if given.get("op"):
        raise RowError("OP_IN_DATAPOINT", f"{name!r} has an operator, which is for queries")
    values = {key: given[key] for key in _NUMBERS if given.get(key) is not None}
    if len(values) > 1:
        raise RowError("MULTIPLE_VALUES", f"{name!r} has {' and '.join(values)}; give one")
    for key, value in values.items():
        return NumericRestrict(name, _as(_NUMBERS[key], value, name))
    raise RowError("INVALID_NUMERIC_VALUE", f"{name!r} has no value_int, value_float, value_double")


def _as(kind: type[int] | type[float], value: object, name: str) -> int | float:
    wrong = RowError("INVALID_NUMERIC_VALUE", f"{name!r} is {brief(value)}, no {kind.__name__}")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise wrong
    if kind is int and isinstance(value, float):
        raise wrong
    try:
        return kind(value)
    except (ValueError, OverflowError):
        raise wrong from None


def _crowding(value: object) -> str:
    if isinstance(value, dict):
        value = value.get("crowding_attribute")
    if value is not None and not isinstance(value, str):
        raise RowError("PARSING_ERROR", f"the crowding_tag is {brief(value)}; it must be a text")
    return value or ""


def _metadata(value: object) -> Mapping[str, object]:
    if value is not None and not isinstance(value, dict):
        raise RowError("PARSING_ERROR", f"embedding_metadata is {brief(value)}, no object")
    return value or {}


def _of_csv(line: str) -> Datapoint:
    """ID, the numbers, then name=token, name=!token (deny), #name=5i (or f, d), crowding_tag=a."""
    try:
        name, *cells = next(csv.reader(io.StringIO(line), strict=True))
    except (csv.Error, StopIteration) as error:
        raise RowError("INVALID_CSV_SYNTAX", f"no CSV in the line: {error}") from error
    if not name:
        raise RowError("INVALID_EMBEDDING_ID", "the first cell, which is the id, is empty")
    try:
        return _from_cells(name, cells)
    except RowError as error:
        error.id = name
        raise


def _from_cells(name: str, cells: list[str]) -> Datapoint:
    vector: list[str] = []
    tags: dict[str, tuple[list[str], list[str]]] = {}
    numbers, crowding = [], ""
    for cell in cells:
        key, equals, value = cell.strip().partition("=")
        if not equals:
            vector.append(key)
        elif not key.lstrip("#"):
            raise RowError("NAMESPACE_MISSING", f"{cell!r} has no name before the =")
        elif key == "crowding_tag":
            crowding = value
        elif key.startswith("#"):
            kind = _SUFFIXES.get(value[-1:], float)
            number = value.rstrip("ifd") if value[-1:] in _SUFFIXES else value
            numbers.append(NumericRestrict(key[1:], _as(kind, number, key[1:])))
        else:
            lists = tags.setdefault(key, ([], []))
            lists[value.startswith("!")].append(value.removeprefix("!"))
    restricts = tuple(Restrict(n, tuple(a), tuple(d)) for n, (a, d) in tags.items())
    return Datapoint(
        name,
        _vector(vector),
        restricts=restricts,
        numeric_restricts=tuple(numbers),
        crowding_tag=crowding,
    )
