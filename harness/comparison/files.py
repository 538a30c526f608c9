"""Sides from tables of scores that another tool wrote."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from harness.comparison.sides import Rows, Side
from harness.data.rows import Row
from harness.errors import DataError

ENDINGS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
ATTEMPT = "attempt"
_NO_NUMBER = ("nan", "na", "n/a", "none", "null")


@dataclass(frozen=True, slots=True)
class ScoreColumns:
    """Which columns of a table hold what; `by` names what splits it into sides."""

    scores: tuple[str, ...] = ()
    id: str = "id"
    cluster: str | None = None
    by: str | None = None


def read_scores(path: str | Path, columns: ScoreColumns) -> list[Side]:
    """The sides of a table: one, or one for each value of the column `by`, in their order.

    A row is a sample, or an attempt at one where there is a column `attempt`. An empty cell, or
    NaN, is no score; its cause is what stands in the column `SCORE.unscored`, if there is one,
    as in what `harness export` writes.

    Raises:
        DataError: for a column that is not there, an id that is missing or stands there twice,
            or a cell that is no number.
    """
    from harness.data.tables import read_table

    rows = read_table(path)
    first = next(rows)
    _check(first, columns)
    parts: dict[str, Rows] = {}
    seen: dict[tuple[str, str, str], int] = {}
    for row in chain([first], rows):
        part = _text(row, columns.by) if columns.by else ""
        sample = _text(row, columns.id)
        key = part, sample, str(row.values.get(ATTEMPT, ""))
        if seen.setdefault(key, row.number) != row.number:
            raise _twice(row, columns, seen[key])
        cluster = _text(row, columns.cluster) if columns.cluster else ""
        verdicts = {label: _verdict(row, label) for label in columns.scores}
        parts.setdefault(part, Rows(columns.scores)).add(sample, cluster, verdicts)
    if columns.by and len(parts) < 2:
        raise DataError(f"{path} has one {columns.by} only: {next(iter(parts))}")
    return [_side(str(path), columns, part, rows) for part, rows in parts.items()]


def _side(path: str, columns: ScoreColumns, part: str, rows: Rows) -> Side:
    return Side(
        name=part or Path(path).name,
        source=f"{columns.by}={part} of {path}" if part else path,
        suite="",
        ids=rows.ids(),
        scored={label: rows.scored(label) for label in columns.scores},
        rows=rows.count,
        clusters=rows.clusters(),
    )


def _check(row: Row, columns: ScoreColumns) -> None:
    """Refuse columns that are not there, and a table of which no score is named."""
    if not columns.scores:
        found = [name for name in row.values if name != columns.id and _is_number(row, name)]
        known = f"; numbers stand in {', '.join(found)}" if found else ""
        raise DataError(f"{row.file}: name the columns with scores: --score NAME{known}")
    named = {"--id": [columns.id], "--score": columns.scores}
    named |= {"--cluster": [columns.cluster or columns.id], "--by": [columns.by or columns.id]}
    for option, names in named.items():
        for name in names:
            if name not in row.values:
                hint = _hint(name, row)
                raise DataError(f"{row.file}: there is no column {name!r} for {option}; {hint}")


def _hint(name: str, row: Row) -> str:
    near = difflib.get_close_matches(name, row.values, 1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(row.values)}"


def _text(row: Row, column: str) -> str:
    value = row.values.get(column)
    if value is None or not str(value).strip():
        raise DataError(f"{row.where}: the column {column!r} is empty; every row needs it")
    return str(value)


def _twice(row: Row, columns: ScoreColumns, before: int) -> DataError:
    return DataError(
        f"{row.where}: the {columns.id} {_text(row, columns.id)!r} stands in row {before} already; "
        "a column `attempt` tells attempts at one sample apart"
    )


def _verdict(row: Row, label: str) -> float | str:
    value = row.values.get(label)
    text = "" if value is None else str(value).strip()
    if not text or text.lower() in _NO_NUMBER:
        return str(row.values.get(f"{label}.unscored") or "empty")
    number = _number(value if isinstance(value, bool) else text)
    if number is None:
        raise DataError(
            f"{row.where}: column {label!r} has {text[:40]!r}, no number; leave it empty where "
            "there is no score"
        )
    return number


def _is_number(row: Row, name: str) -> bool:
    return _number(row.values[name]) is not None


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def is_table(text: str) -> bool:
    """Whether an argument names a table, and no run."""
    return Path(text).suffix.lower() in ENDINGS
