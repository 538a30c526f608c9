"""From completions to a metric's columns: texts, numbers, and lists of references."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness import Completion, HarnessError, Unscored
from harness_evaluate._loading import Metric

Row = dict[str, object]

# The trial's rows: partial matches of many lengths, so that no value of the set is a mean by luck.
_PREDICTIONS: dict[str, list[object]] = {
    "text": [
        "the cat sat on the mat today",
        "it rained all day in the north",
        "a dog",
        "yes",
        "they went home by train after the long show",
    ],
    "int": [0, 1, 1, 0, 1],
    "float": [0.1, 0.9, 0.8, 0.4, 0.6],
    "bool": [False, True, True, False, True],
}
_REFERENCES: dict[str, list[object]] = {
    "text": [
        "the cat sat on the mat yesterday",
        "it rained all day in the south of the land",
        "a cat",
        "yes",
        "nobody knows what happened then",
    ],
    "int": [0, 1, 0, 0, 1],
    "float": [0.2, 0.7, 0.8, 0.1, 0.9],
    "bool": [False, True, False, False, True],
}


class UnreadableError(ValueError):
    """A completion or its references cannot be put into the metric's columns."""

    def __init__(self, cause: Unscored, reason: str) -> None:
        super().__init__(reason)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a metric: the type of its values, and whether each is a list of them."""

    dtype: str
    many: bool

    @property
    def kind(self) -> str:
        """One of text, int, float, bool."""
        for prefix, kind in _KINDS.items():
            if self.dtype.startswith(prefix):
                return kind
        raise KeyError(self.dtype)

    def read(self, text: str) -> object:
        """Give a text as a value of this column; raises ValueError if it is none."""
        if self.kind == "text":
            return text
        if "_" in text:
            raise ValueError
        if self.kind == "bool":
            return _bool(text)
        if self.kind == "float":
            return _finite(float(text))
        limits = np.iinfo(self.dtype)
        if not limits.min <= int(text) <= limits.max:
            raise ValueError
        return int(text)


_KINDS = {
    "string": "text",
    "large_string": "text",
    "int": "int",
    "uint": "int",
    "float": "float",
    "bool": "bool",
}


class Columns:
    """The columns that a metric wants, of those that a completion can fill.

    `predictions` and `data` are the completion's text, `sources` the prompt, `references` the
    sample's references: all of them where the metric takes lists, else one a row. Raises
    HarnessError for a metric that wants anything else.
    """

    def __init__(self, metric: Metric) -> None:
        options = metric.features if isinstance(metric.features, list) else [metric.features]
        readable = [read for option in options if (read := _columns(option)) is not None]
        if not readable:
            raise HarnessError(
                f"the metric {metric.name} wants {metric.features}; a scorer can give it "
                "predictions (or data), references and sources of texts or numbers"
            )
        # Of several forms, the one in which a row may have all of its references.
        self.columns = max(readable, key=lambda columns: any(c.many for c in columns.values()))
        self.many = self.columns.get("references", Column("string", many=True)).many

    def rows(self, completion: Completion) -> list[Row]:
        """Give one row, or one for each reference; raises UnreadableError."""
        texts = {"sources": completion.sample.prompt}
        row: Row = {
            name: _read(name, column, texts.get(name, completion.text))
            for name, column in self.columns.items()
            if name != "references"
        }
        if "references" not in self.columns:
            return [row]
        if not completion.sample.references:
            raise UnreadableError(Unscored.NO_REFERENCE, "the sample has no reference")
        column = self.columns["references"]
        read = [_read("references", column, text) for text in completion.sample.references]
        return [row | {"references": cell} for cell in ([read] if self.many else read)]

    def trial(self) -> list[Row]:
        """Give five made-up rows."""
        rows: list[Row] = [{} for _ in range(5)]
        for name, column in self.columns.items():
            values = (_REFERENCES if name == "references" else _PREDICTIONS)[column.kind]
            for row, value in zip(rows, values, strict=True):
                row[name] = [value] if column.many else value
        return rows


def _columns(features: object) -> dict[str, Column] | None:
    if not isinstance(features, Mapping):
        return None
    found: dict[str, Column] = {}
    for name, feature in features.items():
        inner = getattr(feature, "feature", None)
        dtype = getattr(feature if inner is None else inner, "dtype", None)
        if not isinstance(dtype, str) or not dtype.startswith(tuple(_KINDS)):
            return None
        found[name] = Column(dtype, inner is not None)
    lists = {name for name, column in found.items() if column.many}
    known = found.keys() <= {"predictions", "data", "sources", "references"}
    answered = found.keys() & {"predictions", "data"}
    return found if known and answered and lists <= {"references"} else None


def _read(name: str, column: Column, text: str) -> object:
    try:
        return column.read(text.strip() if column.kind != "text" else text)
    except ValueError:
        cause = Unscored.NO_REFERENCE if name == "references" else Unscored.BAD_SCHEMA
        what = {"references": "reference", "sources": "prompt"}.get(name, "completion")
        reason = f"the metric wants {column.dtype}, and the {what} is {text[:60]!r}"
        raise UnreadableError(cause, reason) from None


def _bool(text: str) -> bool:
    values = {"true": True, "false": False}
    if text.lower() not in values:
        raise ValueError
    return values[text.lower()]


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError
    return value
