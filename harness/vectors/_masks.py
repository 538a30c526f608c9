"""Writes under a mask: only some of the tags of datapoints that are there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from harness.datapoints import Datapoint
from harness.vectors._check import Batch, checked_tags
from harness.vectors._table import Table
from harness.vectors._tags import NO_TAGS, Tags
from harness.vectors.settings import Problem, VectorError


def masked(
    datapoints: Sequence[Datapoint], mask: Collection[str], table: Table
) -> tuple[Batch, list[VectorError]]:
    """The rows that are there, with the tags that the mask names replaced."""
    if unknown := set(mask) - {"restricts", "metadata"}:
        raise VectorError(
            Problem.BAD_MASK, f"no mask {sorted(unknown)}; there are restricts and metadata"
        )
    given, errors = checked_tags(datapoints, table.filters.kinds)
    for place, point in enumerate(datapoints):
        if point.id not in table.row_of:
            message = f"datapoint {place} (id {point.id!r}): it is not in the index"
            errors.append(VectorError(Problem.UNKNOWN_ID, message, key=point.id, position=place))
    if errors:
        return Batch([], table.vectors[:0]), sorted(errors, key=lambda e: e.position or 0)
    rows = [table.row_of[point.id] for point in datapoints]
    tags = {}
    for place, row in enumerate(rows):
        own = _replaced(table.tags_of(row), given.get(place, NO_TAGS), mask)
        if own != NO_TAGS:
            tags[place] = own
    return Batch([point.id for point in datapoints], table.vectors[rows], tags), []


def _unknown(place: int, name: str) -> VectorError:
    message = f"datapoint {place} (id {name!r}): it is not in the index"
    return VectorError(Problem.UNKNOWN_ID, message, key=name, position=place)


def _replaced(old: Tags, new: Tags, mask: Collection[str]) -> Tags:
    if "restricts" in mask:
        old = replace(old, restricts=new.restricts, numeric_restricts=new.numeric_restricts)
    return replace(old, metadata=new.metadata) if "metadata" in mask else old
