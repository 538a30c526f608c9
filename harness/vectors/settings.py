"""The settings of a vector index, and what can be wrong with what it is given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Literal, get_args

from harness.errors import HarnessError

Measure = Literal["dot_product", "cosine", "squared_l2", "l1"]
Normalise = Literal["none", "unit_l2"]
Engine = Literal["auto", "exact", "scann"]

_LIMIT = 65_536


class Problem(StrEnum):
    """What is wrong with what an index was given, or with its folder."""

    DIMENSIONS = "dimensions"
    NOT_FINITE = "not_finite"
    EMPTY_ID = "empty_id"
    DUPLICATE_ID = "duplicate_id"
    DUPLICATE_NAMESPACE = "duplicate_namespace"
    OPERATOR_IN_DATAPOINT = "operator_in_datapoint"
    OPERATOR_MISSING = "operator_missing"
    VALUE_TYPES = "value_types"
    BAD_NUMBER = "bad_number"
    BAD_METADATA = "bad_metadata"
    BAD_TEXT = "bad_text"
    UNKNOWN_ID = "unknown_id"
    NO_VECTOR = "no_vector"
    BAD_COUNT = "bad_count"
    BAD_FRACTION = "bad_fraction"
    BAD_MASK = "bad_mask"
    SETTINGS = "settings"
    NO_ENGINE = "no_engine"
    CLOSED = "closed"
    READ_ONLY = "read_only"
    MISSING = "missing"
    LOCKED = "locked"
    DAMAGED = "damaged"
    STORAGE = "storage"


class VectorError(HarnessError):
    """An index cannot do what was asked; nothing of it was applied.

    `problem` is for programs. `id` and `position` (from 0) say which datapoint of a batch, or
    which query, is meant; they are empty and None where it is none of them.
    """

    def __init__(
        self, problem: Problem, message: str, *, key: str = "", position: int | None = None
    ) -> None:
        super().__init__(message)
        self.problem, self.id, self.position = problem, key, position


@dataclass(frozen=True, slots=True)
class VectorSettings:
    """What an index is. The first three are fixed for its life, the others may change at opening.

    Raises VectorError for a value out of its range.
    """

    dimensions: int
    "How many numbers a vector has (1 to 65536)."
    measure: Measure = "dot_product"
    "How near two vectors are: `dot_product` (larger is nearer), `cosine`, `squared_l2`, `l1`."
    normalise: Normalise = "none"
    "`unit_l2` compares vectors, stored and asked for, as if they had length 1."
    engine: Engine = "auto"
    "`exact`, `scann` (approximate, Linux), or `auto`: ScaNN where it is installed."
    exact_below: int = 20_000
    "With fewer datapoints than this, search is exact (also under `scann`)."
    leaf_size: int = 500
    "How many datapoints a leaf of the approximate engine's tree has on average."
    leaves_fraction: float = 0.1
    "Which share of the leaves a query looks at, unless it says so itself (above 0, up to 1)."
    approximate_count: int = 150
    "How many approximate neighbours are ranked exactly, unless the query says so itself."
    sync: bool = False
    "Wait at every write until the disk has it, so that it survives a power failure too."

    def __post_init__(self) -> None:
        _one_of("measure", self.measure, get_args(Measure))
        _one_of("normalise", self.normalise, get_args(Normalise))
        _one_of("engine", self.engine, get_args(Engine))
        _within("dimensions", self.dimensions, 1, _LIMIT)
        _within("exact_below", self.exact_below, 0, None)
        _within("leaf_size", self.leaf_size, 1, None)
        _within("approximate_count", self.approximate_count, 1, None)
        if not (isinstance(self.leaves_fraction, int | float) and 0 < self.leaves_fraction <= 1):
            raise _out_of_range("leaves_fraction", self.leaves_fraction, "above 0 and up to 1")


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise _out_of_range(name, value, "one of " + ", ".join(allowed))


def _within(name: str, value: object, least: int, most: int | None) -> None:
    integer = isinstance(value, int) and not isinstance(value, bool)
    if not integer or not least <= value <= (math.inf if most is None else most):  # type: ignore[operator]
        upper = "" if most is None else f", at most {most}"
        raise _out_of_range(name, value, f"an integer, at least {least}{upper}")


def _out_of_range(name: str, value: object, allowed: str) -> VectorError:
    return VectorError(
        Problem.SETTINGS, f"the index's setting {name} is {value!r}; it must be {allowed}"
    )


def crowding_number(tag: str) -> int:
    """A number for a crowding tag, 0 to 2**63 - 1: the same in every process, 0 for no tag."""
    if not tag:
        return 0
    number = int.from_bytes(blake2b(tag.encode("utf-8", "surrogatepass"), digest_size=8).digest())
    return (number >> 1) or 1


def differing(ours: Mapping[str, object], theirs: Mapping[str, object]) -> str:
    """What two mappings of settings differ in, as text; empty if in nothing."""
    return ", ".join(
        f"{name}={theirs.get(name)!r} and not {value!r}"
        for name, value in ours.items()
        if theirs.get(name) != value
    )
