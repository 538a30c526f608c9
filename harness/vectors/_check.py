"""What an index is given, looked at before anything of it is applied."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.datapoints import Datapoint, NumericRestrict, Query, Restrict
from harness.vectors._tags import NO_TAGS, Tags, metadata_text
from harness.vectors.settings import Problem, VectorError

Vectors = NDArray[np.float32]
Kinds = Mapping[str, type]
"""Whether the numbers of a namespace are int or float."""

_OPERATORS = ("LESS", "LESS_EQUAL", "EQUAL", "GREATER_EQUAL", "GREATER", "NOT_EQUAL")


@dataclass(frozen=True, slots=True)
class Batch:
    """Datapoints that may be applied: ids, their vectors, and tags by position where there are."""

    ids: list[str]
    vectors: Vectors
    tags: Mapping[int, Tags] = field(default_factory=dict)


class _Wrong(Exception):
    """A problem of one item, that has not got its place yet."""

    def __init__(self, problem: Problem, message: str) -> None:
        super().__init__(message)
        self.problem = problem


def checked(
    datapoints: Sequence[Datapoint], dimensions: int, kinds: Kinds
) -> tuple[Batch, list[VectorError]]:
    """The batch that datapoints make, and what is wrong: it may be used if nothing is."""
    errors: dict[int, VectorError] = {}
    vectors = _matrix([point.vector for point in datapoints], dimensions)
    if vectors is None:
        _each(errors, datapoints, lambda point: _vector(point.vector, dimensions))
        vectors = np.empty((0, dimensions), np.float32)
    tags = _all_tags(errors, datapoints, kinds)
    ids = [point.id for point in datapoints]
    return Batch(ids, vectors, tags), [errors[place] for place in sorted(errors)]


def checked_tags(
    datapoints: Sequence[Datapoint], kinds: Kinds
) -> tuple[Mapping[int, Tags], list[VectorError]]:
    """The tags of datapoints whose vectors do not count, and what is wrong with them."""
    errors: dict[int, VectorError] = {}
    tags = _all_tags(errors, datapoints, kinds)
    return tags, [errors[place] for place in sorted(errors)]


def _all_tags(
    errors: dict[int, VectorError], datapoints: Sequence[Datapoint], kinds: Kinds
) -> dict[int, Tags]:
    seen: set[str] = set()
    found = dict(kinds)
    tags: dict[int, Tags] = {}

    def examine(point: Datapoint) -> None:
        check_id(point.id, seen)
        if (own := tags_of(point, found)) is not NO_TAGS:
            tags[len(seen) - 1] = own

    before = len(errors)
    _each(errors, datapoints, examine)
    return tags if len(errors) == before else {}


def _each(
    errors: dict[int, VectorError],
    datapoints: Iterable[Datapoint],
    examine: Callable[[Datapoint], object],
) -> None:
    for place, point in enumerate(datapoints):
        try:
            examine(point)
        except _Wrong as wrong:
            errors.setdefault(place, _placed(wrong, place, point.id))


def _placed(wrong: _Wrong, place: int, key: object) -> VectorError:
    name = key if isinstance(key, str) else ""
    return VectorError(
        wrong.problem, f"datapoint {place} (id {key!r}): {wrong}", key=name, position=place
    )


def columns(
    ids: Sequence[str],
    vectors: ArrayLike,
    given: Mapping[str, Sequence[object] | None],
    dimensions: int,
    kinds: Kinds,
) -> Batch:
    """The batch that columns make.

    Raises:
        VectorError: for columns of different lengths, and the first datapoint that is wrong.
    """
    matrix = _as_float32(vectors)
    if matrix is None or matrix.ndim != 2 or matrix.shape[1] != dimensions:
        shape = "no numbers" if matrix is None else f"of shape {matrix.shape}"
        raise VectorError(
            Problem.DIMENSIONS, f"the vectors are {shape}; the index takes (n, {dimensions})"
        )
    own = {name: column for name, column in given.items() if column is not None}
    for name, column in {"ids": ids, **own}.items():
        if len(column) != len(matrix):
            raise VectorError(
                Problem.DIMENSIONS, f"{len(matrix)} vectors, but {name} has {len(column)} values"
            )
    _check_rows(ids, matrix)
    return Batch(list(ids), matrix, _column_tags(ids, own, kinds))


def _check_rows(ids: Sequence[str], matrix: Vectors) -> None:
    bad = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if bad.size:
        place = int(bad[0])
        raise _placed(_not_finite(), place, ids[place])
    seen: set[str] = set()
    for place, key in enumerate(ids):
        try:
            check_id(key, seen)
        except _Wrong as wrong:
            raise _placed(wrong, place, key) from None


def _column_tags(
    ids: Sequence[str], own: Mapping[str, Sequence[object]], kinds: Kinds
) -> dict[int, Tags]:
    found, tags = dict(kinds), {}
    names = list(own)
    for place, values in enumerate(zip(*own.values(), strict=True)):
        point = Datapoint(ids[place], **dict(zip(names, values, strict=True)))
        try:
            if (mine := tags_of(point, found)) is not NO_TAGS:
                tags[place] = mine
        except _Wrong as wrong:
            raise _placed(wrong, place, ids[place]) from None
    return tags


def check_id(key: object, seen: set[str]) -> None:
    """Take an id up among those seen, if it is one and new."""
    if not isinstance(key, str) or not key:
        raise _Wrong(Problem.EMPTY_ID, "the id must be a text, and not empty")
    _check_text("id", key)
    before = len(seen)
    seen.add(key)
    if len(seen) == before:
        seen.add(f"\0{before}")  # keeps one entry a datapoint
        raise _Wrong(Problem.DUPLICATE_ID, "the id is there twice in one batch")


def _check_text(what: str, text: object) -> None:
    if not isinstance(text, str):
        raise _Wrong(Problem.BAD_TEXT, f"the {what} is {text!r}, not a text")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _Wrong(
                Problem.BAD_TEXT, f"the {what} {text!r} has half of a surrogate pair"
            ) from None


def tags_of(point: Datapoint, kinds: MutableMapping[str, type]) -> Tags:
    """The tags of a datapoint; `kinds` takes up the namespaces of its numbers."""
    if not (point.restricts or point.numeric_restricts or point.crowding_tag or point.metadata):
        if point.text is None:
            return NO_TAGS
        _check_text("text", point.text)
        return Tags(text=point.text)
    _check_restricts(point.restricts)
    _check_numbers(point.numeric_restricts, kinds)
    _check_text("crowding tag", point.crowding_tag)
    if point.text is not None:
        _check_text("text", point.text)
    try:
        metadata = metadata_text(point.metadata)
    except (TypeError, ValueError, RecursionError) as error:
        raise _Wrong(Problem.BAD_METADATA, f"the metadata is not JSON: {error}") from None
    return Tags(
        tuple(point.restricts),
        tuple(point.numeric_restricts),
        point.crowding_tag,
        point.text,
        metadata,
    )


def _check_restricts(restricts: Iterable[Restrict], *, unique: bool = True) -> None:
    names = set()
    for restrict in restricts:
        name = restrict.namespace
        _check_text("namespace", name)
        if unique and name in names:
            raise _Wrong(Problem.DUPLICATE_NAMESPACE, f"the namespace {name!r} is there twice")
        names.add(name)
        for what, tokens in (("allow", restrict.allow), ("deny", restrict.deny)):
            if isinstance(tokens, str):
                raise _Wrong(Problem.BAD_TEXT, f"{what} of {name!r} is a text, not a tuple of them")
            for token in tokens:
                _check_text(f"token in {what} of {name!r}", token)


def _check_numbers(numbers: Iterable[NumericRestrict], kinds: MutableMapping[str, type]) -> None:
    names = set()
    for number in numbers:
        name = number.namespace
        _check_text("namespace", name)
        if name in names:
            raise _Wrong(
                Problem.DUPLICATE_NAMESPACE, f"the numeric namespace {name!r} is there twice"
            )
        names.add(name)
        if number.op is not None:
            raise _Wrong(
                Problem.OPERATOR_IN_DATAPOINT,
                f"the number of {name!r} has the operator {number.op}, which is for queries",
            )
        _check_number(number)
        kind = type(number.value)
        if kinds.setdefault(name, kind) is not kind:
            raise _Wrong(
                Problem.VALUE_TYPES,
                f"{name!r} has {number.value!r} here and {kinds[name].__name__} values elsewhere; "
                "a namespace has one type",
            )


def _check_number(number: NumericRestrict) -> None:
    value = number.value
    whole = type(value) is int and -(2**63) <= value < 2**63
    if not whole and not (type(value) is float and math.isfinite(value)):
        raise _Wrong(
            Problem.BAD_NUMBER,
            f"the value of {number.namespace!r} is {value!r}; it must be a finite float or an "
            "int of 64 bits",
        )


def _as_float32(vectors: object) -> Vectors | None:
    try:
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(np.asarray(vectors, dtype=np.float32))
    except (TypeError, ValueError, OverflowError):
        return None


def _matrix(vectors: Sequence[object], dimensions: int) -> Vectors | None:
    """All vectors as one array, or None if one of them cannot be taken (or must be looked at)."""
    if not vectors:
        return np.empty((0, dimensions), np.float32)
    matrix = _as_float32(vectors)
    if matrix is None:
        singles = [_as_float32(list(v) if isinstance(v, Iterable) else v) for v in vectors]
        shape = (dimensions,)
        if any(single is None or single.shape != shape for single in singles):
            return None
        matrix = np.stack([single for single in singles if single is not None])
    fits = matrix.shape == (len(vectors), dimensions)
    return matrix if fits and np.isfinite(matrix).all() else None


def _vector(vector: object, dimensions: int) -> Vectors:
    numbers = _as_float32(list(vector) if isinstance(vector, Iterable) else vector)
    if numbers is None or numbers.ndim != 1:
        raise _Wrong(Problem.DIMENSIONS, "the vector is no collection of numbers")
    if len(numbers) != dimensions:
        raise _Wrong(
            Problem.DIMENSIONS, f"the vector has {len(numbers)} dimensions, the index {dimensions}"
        )
    if not np.isfinite(numbers).all():
        raise _not_finite()
    return numbers


def _not_finite() -> _Wrong:
    return _Wrong(
        Problem.NOT_FINITE, "the vector has NaN, an infinity, or a number that float32 cannot hold"
    )


def check_like(query: Query, k: int) -> None:
    """Look at all of a query but its vector."""
    for name, count in (
        ("k", k),
        ("crowding_limit", query.crowding_limit),
        ("approximate_count", query.approximate_count),
    ):
        if count is not None and (type(count) is not int or count < 1):
            raise _Wrong(Problem.BAD_COUNT, f"{name} is {count!r}; it must be 1 or more")
    fraction = query.leaves_fraction
    if fraction is not None and not 0 < fraction <= 1:
        raise _Wrong(
            Problem.BAD_FRACTION,
            f"leaves_fraction is {fraction!r}; it must be above 0 and at most 1",
        )
    _check_restricts(query.restricts, unique=False)
    for number in query.numeric_restricts:
        _check_text("namespace", number.namespace)
        _check_number(number)
        if number.op not in _OPERATORS:
            raise _Wrong(
                Problem.OPERATOR_MISSING,
                f"the number of {number.namespace!r} needs an operator, one of "
                f"{', '.join(_OPERATORS)}; not {number.op!r}",
            )


def query_vectors(queries: Sequence[Query], k: int, dimensions: int) -> Vectors:
    """The vectors of queries, all of which were looked at.

    Raises:
        VectorError: for the first query that is wrong.
    """
    vectors = _matrix([query.vector for query in queries], dimensions)
    for place, query in enumerate(queries):
        try:
            check_like(query, k)
            if vectors is None:
                _check_query_vector(query, dimensions)
        except _Wrong as wrong:
            raise _placed_query(wrong, place) from None
    return np.empty((0, dimensions), np.float32) if vectors is None else vectors


def query_array(vectors: ArrayLike, like: Query, k: int, dimensions: int) -> Vectors:
    """An array of query vectors that was looked at; raises VectorError."""
    matrix = _as_float32(vectors)
    if matrix is None or matrix.ndim != 2 or matrix.shape[1] != dimensions:
        shape = "no numbers" if matrix is None else f"of shape {matrix.shape}"
        raise VectorError(
            Problem.DIMENSIONS, f"the queries are {shape}; the index takes (n, {dimensions})"
        )
    bad = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    try:
        check_like(like, k)
        if bad.size:
            raise _not_finite()
    except _Wrong as wrong:
        raise _placed_query(wrong, int(bad[0]) if bad.size else 0) from None
    return matrix


def _check_query_vector(query: Query, dimensions: int) -> None:
    if not isinstance(query.vector, Iterable) or not len(query.vector):
        raise _Wrong(Problem.NO_VECTOR, "it has no vector")
    _vector(query.vector, dimensions)


def _placed_query(wrong: _Wrong, place: int) -> VectorError:
    return VectorError(wrong.problem, f"query {place}: {wrong}", position=place)
