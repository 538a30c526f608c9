"""Answers with labels, from a table: a row an answer, a column a rater."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.components import Sample
from harness.errors import DataError

if TYPE_CHECKING:
    from harness.calibration.scale import Scale
    from harness.data.tables import Row


class Item(NamedTuple):
    """An answer, each rater's label (None where there is none), and what it is resampled with.

    The sample holds question, references and answer, and no label: a judge sees the sample.
    """

    sample: Sample
    labels: tuple[float | None, ...]
    cluster: str
    where: str


@dataclass(frozen=True, slots=True)
class Labels:
    """Answers that have one label at least; `unlabelled` counts the rows that have none.

    `answer` is the key of a sample's metadata that holds its answer.
    """

    items: tuple[Item, ...]
    raters: tuple[str, ...]
    answer: str
    scale: Scale
    unlabelled: int = 0


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column holds what; rows with the same `cluster` are resampled together."""

    completion: str
    labels: tuple[str, ...]
    prompt: str | None = None
    references: tuple[str, ...] = ()
    id: str | None = None
    cluster: str | None = None


def read_labels(
    path: str | Path,
    columns: Columns,
    *,
    scale: Scale | None = None,
    choices: Sequence[str] = (),
    limit: int | None = None,
) -> Labels:
    """The rows of a table that have a label.

    Labels are numbers, or one of `choices`, which are ordered from the lowest and become 0, 1, …
    Without `scale` it is what the labels span. A row without a cluster column is resampled with
    those that have the same question, references and answer.

    Raises:
        DataError: naming the row, for a column that is not there and a label that is none; if no
            row has a label, or all labels are the same.
    """
    from harness.calibration.scale import Scale, find_scale
    from harness.data.tables import read_table

    named = {choice: float(place) for place, choice in enumerate(choices)}
    rows = list(itertools.islice(read_table(path), limit))
    items = [item for row in rows if (item := _item(row, columns, named))]
    values = [label for item in items for label in item.labels if label is not None]
    if not values:
        shown = " or ".join(repr(column) for column in columns.labels)
        raise DataError(f"{path}: no row has a label in {shown}")
    if len(set(values)) == 1:
        only = choices[int(values[0])] if choices else f"{values[0]:g}"
        every = "the one row" if len(items) == 1 else f"all {len(items)} rows"
        raise DataError(f"{path}: {only} is the label of {every}; agreement needs a difference")
    if choices:
        scale = Scale(0, len(choices) - 1, choices=tuple(choices))
    scale = scale or find_scale(values)
    for item in items:
        _check(item, scale)
    found = tuple(items)
    return Labels(found, columns.labels, columns.completion, scale, len(rows) - len(items))


def _item(row: Row, columns: Columns, choices: dict[str, float]) -> Item | None:
    """The row as an item, or None where it has no label."""
    from harness.data.samples import no_column
    from harness.fingerprint import sample_digest

    wanted = (columns.completion, columns.prompt, columns.cluster)
    for column in (*wanted, *columns.references, *columns.labels):
        if column is not None and column not in row.values:
            raise DataError(f"{row.where}: {no_column(column, row.values)}")
    labels = tuple(_label(row, column, choices) for column in columns.labels)
    if all(label is None for label in labels):
        return None
    sample = _sample(row, columns)
    cluster = _text(row, columns.cluster) if columns.cluster else sample_digest(sample)
    return Item(sample, labels, cluster, row.where)


def _sample(row: Row, columns: Columns) -> Sample:
    from harness.data.samples import kept, references_in, required, text_in

    answer = text_in(row, columns.completion, row.values[columns.completion])
    return Sample(
        id=required(row, columns.id) if columns.id else str(row.number),
        prompt=_text(row, columns.prompt) if columns.prompt else "",
        references=tuple(r for column in columns.references for r in references_in(row, column)),
        metadata={columns.completion: kept(row, columns.completion, answer)},
    )


def _text(row: Row, column: str) -> str:
    from harness.data.samples import text_in

    return text_in(row, column, row.values[column]) or ""


def _label(row: Row, column: str, choices: dict[str, float]) -> float | None:
    from harness.data.samples import text_in

    text = (text_in(row, column, row.values[column]) or "").strip()
    if not text:
        return None
    if choices:
        if text not in choices:
            named = ", ".join(choices)
            raise DataError(f"{row.where}: column {column!r} has {text!r}, none of {named}")
        return choices[text]
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isfinite(number):
        return number
    raise DataError(
        f"{row.where}: column {column!r} has {text!r}, no number; leave it empty where there is "
        "no label, and name words from the lowest to the highest: --choices bad,ok,good"
    )


def _check(item: Item, scale: Scale) -> None:
    for label in item.labels:
        if label is not None and not scale.has(label):
            raise DataError(
                f"{item.where}: the label {label:g} is not on the scale {scale}; "
                "give another: --scale LOW:HIGH:STEP"
            )
