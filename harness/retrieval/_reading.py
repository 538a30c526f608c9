"""One row of a table as a datapoint: cells in any of the forms that files have."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, cast

from harness.datapoints import Datapoint, NumericOp, NumericRestrict, Restrict
from harness.errors import DataError

if TYPE_CHECKING:
    from harness.data.rows import Row
    from harness.retrieval.datapoints import Columns

# The first of each is what messages call it; the others are the names in Google's own files,
# in its requests as JSON, and in BEIR's.
KNOWN = {
    "id": ("id", "_id", "datapoint_id", "datapointId"),
    "text": ("text",),
    "embedding": ("embedding", "vector", "feature_vector", "featureVector"),
    "restricts": ("restricts",),
    "numeric_restricts": ("numeric_restricts", "numericRestricts"),
    "crowding_tag": ("crowding_tag", "crowdingTag"),
    "metadata": ("metadata", "embedding_metadata", "embeddingMetadata"),
}
_SPARSE = ("sparse_embedding", "sparseEmbedding")
_TOKENS = {
    "namespace": ("namespace", "name"),
    "allow": ("allow", "allow_list", "allowList"),
    "deny": ("deny", "deny_list", "denyList"),
}
_NUMBERS: dict[str, type[int] | type[float] | None] = {
    "value": None,
    **dict.fromkeys(("value_int", "valueInt"), int),
    **dict.fromkeys(("value_float", "valueFloat", "value_double", "valueDouble"), float),
}


class Reader:
    """Makes a row's cells into a datapoint; every message has the place and the column."""

    def __init__(self, row: Row, columns: Columns) -> None:
        self._row, self._columns = row, columns

    def datapoint(self) -> Datapoint:
        self._refuse_sparse()
        vector, text = self._vector(), self._text()
        if not len(vector) and text is None:
            raise self._lacking()
        return Datapoint(
            id=self._id(),
            vector=vector,
            text=text,
            restricts=self._restricts(),
            numeric_restricts=self._numeric_restricts(),
            crowding_tag=self._crowding_tag(),
            metadata=self._metadata(),
        )

    # Columns

    def _cell(self, what: str, named: str | None = None) -> tuple[str, object]:
        """The name and the value of a column; ("", None) where the table lacks it."""
        if named is not None:
            return named, self._named(named)
        for name in KNOWN[what]:
            if self._row.values.get(name) is not None:
                return name, self._row.values[name]
        return "", None

    def _named(self, column: str) -> object:
        from harness.data.samples import no_column

        if column not in self._row.values:
            raise DataError(f"{self._row.where}: {no_column(column, self._row.values)}")
        return self._row.values[column]

    def _id(self) -> str:
        from harness.data.samples import text_in

        column, cell = self._cell("id", self._columns.id)
        found = text_in(self._row, column, cell) if column else None
        if not found:
            raise self._lacking_id(column)
        return found

    def _text(self) -> str | None:
        from harness.data.samples import text_in

        column, cell = self._cell("text", self._columns.text)
        return text_in(self._row, column, cell) if column else None

    def _vector(self) -> Sequence[float]:
        column, cell = self._cell("embedding", self._columns.embedding)
        if cell is None:
            return ()
        if isinstance(cell, str):
            cell = self._json(column, cell) if cell.lstrip()[:1] == "[" else _separated(cell)
        if not isinstance(cell, list):
            raise self._wrong(column, "a list of numbers", cell)
        if set(map(type, cell)) == {float}:
            return cell
        return [self._float(column, place, value) for place, value in enumerate(cell)]

    def _float(self, column: str, place: int, value: object) -> float:
        if type(value) is float:
            return value
        number = None if isinstance(value, bool) else _as(float, value)
        if number is None:
            raise DataError(
                f"{self._row.where}: number {place} of {column!r} is {value!r}, which is no number"
            )
        return number

    def _restricts(self) -> tuple[Restrict, ...]:
        if self._columns.restricts:
            cells = ((name, self._named(name)) for name in self._columns.restricts)
            return tuple(Restrict(n, self._texts(n, c)) for n, c in cells if c is not None)
        column, cell = self._structure("restricts")
        if isinstance(cell, Mapping):
            return tuple(Restrict(str(n), self._texts(column, c)) for n, c in cell.items())
        return tuple(self._restrict(column, item) for item in cell)

    def _restrict(self, column: str, item: object) -> Restrict:
        found = self._keys(column, item, _TOKENS)
        allow, deny = (self._texts(column, found.get(side, [])) for side in ("allow", "deny"))
        return Restrict(str(found["namespace"]), allow, deny)

    def _numeric_restricts(self) -> tuple[NumericRestrict, ...]:
        if self._columns.numbers:
            found = (self._column_number(name) for name in self._columns.numbers)
            return tuple(number for number in found if number is not None)
        column, cell = self._structure("numeric_restricts")
        if isinstance(cell, Mapping):
            return tuple(self._number(column, str(n), c, None) for n, c in cell.items())
        return tuple(self._numeric_restrict(column, item) for item in cell)

    def _column_number(self, name: str) -> NumericRestrict | None:
        column, _, kind = name.partition(":")
        if kind not in ("", "int", "float"):
            raise DataError(f"{name!r} is no column of numbers; write {column} or {column}:int")
        cell = self._named(column)
        if cell is None:
            return None
        return self._number(column, column, cell, int if kind == "int" else float)

    def _numeric_restrict(self, column: str, item: object) -> NumericRestrict:
        names = {"namespace": ("namespace", "name"), "op": ("op",)} | {n: (n,) for n in _NUMBERS}
        found = self._keys(column, item, names)
        values = [(kind, found[name]) for name, kind in _NUMBERS.items() if name in found]
        if len(values) != 1:
            raise self._wrong(column, "one of value_int, value_float and value_double each", item)
        kind, value = values[0]
        number = self._number(column, str(found["namespace"]), value, kind)
        if "op" not in found:
            return number
        # The index refuses it: an operator belongs to a query.
        return NumericRestrict(number.namespace, number.value, cast(NumericOp, found["op"]))

    def _number(
        self, column: str, namespace: str, value: object, kind: type[int] | type[float] | None
    ) -> NumericRestrict:
        number: int | float | None
        if kind is None:
            number = value if type(value) in (int, float) else None  # type: ignore[assignment]
        elif isinstance(value, bool):
            number = None
        else:
            number = _as(kind, value)
        if number is None or not math.isfinite(number):
            wanted = "an integer" if kind is int else "a number"
            raise self._wrong(column, f"{wanted} for {namespace!r}", value)
        return NumericRestrict(namespace, number)

    def _crowding_tag(self) -> str:
        from harness.data.samples import text_in

        column, cell = self._cell("crowding_tag", self._columns.crowding_tag)
        if isinstance(cell, str) and cell.lstrip()[:1] == "{":
            cell = self._json(column, cell)
        if isinstance(cell, Mapping):
            names = ("crowding_attribute", "crowdingAttribute")
            cell = self._keys(column, cell, {names[0]: names}, least=names[0])[names[0]]
        return (text_in(self._row, column, cell) or "") if column else ""

    def _metadata(self) -> Mapping[str, object]:
        from harness.data.plain import plain

        if self._columns.metadata:
            cells: object = {name: self._named(name) for name in self._columns.metadata}
            column = self._columns.metadata[0]
        else:
            column, cells = self._cell("metadata")
        if isinstance(cells, str):
            cells = self._json(column, cells)
        if cells is None:
            return {}
        if not isinstance(cells, Mapping):
            raise self._wrong(column, "an object", cells)
        try:
            return cast("Mapping[str, object]", plain(cells))
        except TypeError as error:
            raise DataError(f"{self._row.where}: column {column!r}: {error}") from error

    # Forms

    def _structure(
        self, what: Literal["restricts", "numeric_restricts"]
    ) -> tuple[str, list[object] | Mapping[str, object]]:
        """A cell that holds a list or an object, or JSON text of one."""
        column, cell = self._cell(what)
        if isinstance(cell, str):
            cell = self._json(column, cell)
        if cell is None:
            return column, []
        if not isinstance(cell, list | Mapping):
            raise self._wrong(column, "a list or an object", cell)
        return column, cell

    def _keys(
        self,
        column: str,
        item: object,
        known: Mapping[str, tuple[str, ...]],
        least: str = "namespace",
    ) -> dict[str, object]:
        """The values of an object by the first of the names that each may have."""
        if not isinstance(item, Mapping):
            raise self._wrong(column, f"objects with a {least}", item)
        names = {name: first for first, others in known.items() for name in others}
        given = {name: value for name, value in item.items() if value is not None}
        for name in given:
            if name not in names:
                near = difflib.get_close_matches(str(name), names, 1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(names)}"
                raise DataError(f"{self._row.where}: {column!r} has a key {name!r}{hint}")
        found = {names[name]: value for name, value in given.items()}
        if not found.get(least):
            raise DataError(f"{self._row.where}: {column!r} lacks a {least} in {dict(item)!r}")
        return found

    def _texts(self, column: str, cell: object) -> tuple[str, ...]:
        from harness.data.samples import text_in

        items = cell if isinstance(cell, list) else [cell]
        texts = (text_in(self._row, column, item) for item in items)
        return tuple(text for text in texts if text)

    def _json(self, column: str, text: str) -> object:
        try:
            return cast(object, json.loads(text))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{self._row.where}: {column!r} is no JSON: {error}") from None

    def _wrong(self, column: str, wanted: str, cell: object) -> DataError:
        shown = repr(cell)
        shown = shown if len(shown) < 60 else f"{shown[:57]}…"
        return DataError(f"{self._row.where}: {column!r} must hold {wanted}, not {shown}")

    # What is not there

    def _refuse_sparse(self) -> None:
        for name in _SPARSE:
            if self._row.values.get(name):
                raise DataError(
                    f"{self._row.where}: {name!r}: sparse embeddings are not supported; "
                    "leave the column out to index the dense ones"
                )

    def _lacking_id(self, column: str) -> DataError:
        if column:
            return DataError(f"{self._row.where}: {column!r} is empty; every datapoint has an id")
        return DataError(f"{self._row.where}: {self._no('id', '--id')}")

    def _lacking(self) -> DataError:
        where = self._row.where
        if any(name in self._row.values for what in ("embedding", "text") for name in KNOWN[what]):
            return DataError(f"{where}: there is neither an embedding nor a text; give one of them")
        return DataError(f"{where}: {self._no('embedding', '--embedding or --text')}")

    def _no(self, what: str, option: str) -> str:
        columns = ", ".join(self._row.values)
        names: Iterable[str] = KNOWN[what] + (KNOWN["text"] if what == "embedding" else ())
        near = [m for n in names for m in difflib.get_close_matches(n, self._row.values, 1)]
        hint = f" (is it {near[0]!r}?)" if near else ""
        wanted = "embedding or text" if what == "embedding" else what
        return f"there is no column {wanted}{hint}; name it by {option}. There are: {columns}"


def _separated(text: str) -> list[object]:
    return list(text.replace(",", " ").split())


def _as(kind: type[int] | type[float], value: object) -> int | float | None:
    """A number, or the text of one, as an int or a float; None if it is neither."""
    if kind is int and isinstance(value, float):
        return int(value) if value.is_integer() else None
    if not isinstance(value, int | float | str):
        return None
    try:
        return kind(value)
    except (ValueError, OverflowError):
        return None
