"""Which rows pass the restricts of a query: lists of rows by token, columns of numbers.

Rows are only ever added; whether one is still alive is the caller's to say.
"""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.datapoints import NumericOp, NumericRestrict, Query, Restrict
from harness.vectors._tags import Tags

Rows = NDArray[np.intp]
Flags = NDArray[np.bool_]
Key = tuple[object, ...]
"""A filter in one spelling: equal keys pass the same rows."""


def filter_key(query: Query) -> Key:
    """The filter of a query; empty if it lets everything pass."""
    if not query.restricts and not query.numeric_restricts:
        return ()
    tokens = {
        (restrict.namespace, tuple(sorted(set(restrict.allow))), tuple(sorted(set(restrict.deny))))
        for restrict in query.restricts
        if restrict.allow or restrict.deny
    }
    numbers = {
        (n.namespace, n.op, type(n.value).__name__, n.value) for n in query.numeric_restricts
    }
    if not tokens and not numbers:
        return ()
    return (tuple(sorted(tokens)), tuple(sorted(numbers, key=repr)))


class _Column:
    """The numbers of one namespace: rows, and a value for each."""

    def __init__(self, kind: type) -> None:
        self.rows = array("q")
        self.values: array[int] | array[float] = array("q") if kind is int else array("d")


class Filters:
    """The tags of rows, in the form that filters want."""

    def __init__(self) -> None:
        self._allowed: dict[tuple[str, str], array[int]] = defaultdict(lambda: array("q"))
        self._denied: dict[tuple[str, str], array[int]] = defaultdict(lambda: array("q"))
        self._columns: dict[str, _Column] = {}
        self.kinds: dict[str, type] = {}

    def add(self, row: int, tags: Tags) -> None:
        """Take up a row, whose number is above all before."""
        for restrict in tags.restricts:
            for token in set(restrict.allow):
                self._allowed[restrict.namespace, token].append(row)
            for token in set(restrict.deny):
                self._denied[restrict.namespace, token].append(row)
        for number in tags.numeric_restricts:
            kind = self.kinds.setdefault(number.namespace, type(number.value))
            column = self._columns.setdefault(number.namespace, _Column(kind))
            column.rows.append(row)
            column.values.append(number.value)  # type: ignore[arg-type]

    def eligible(self, query: Query, alive: Flags) -> Rows:
        """The rows, ascending, that are alive and pass the query's restricts."""
        wanted = [self._wanting(restrict) for restrict in query.restricts if restrict.allow]
        wanted += [self._passing(number) for number in query.numeric_restricts]
        wanted.sort(key=len)
        rows = wanted[0] if wanted else np.flatnonzero(alive)
        rows = rows[alive[rows]]
        for others in wanted[1:]:
            rows = rows[_flags(others, len(alive))[rows]]
        barred = [rows for restrict in query.restricts for rows in self._barred(restrict)]
        if barred:
            rows = rows[~_flags(np.concatenate(barred), len(alive))[rows]]
        return rows

    def _wanting(self, restrict: Restrict) -> Rows:
        lists = [self._list(self._allowed, restrict.namespace, token) for token in restrict.allow]
        return lists[0] if len(lists) == 1 else np.unique(np.concatenate(lists))

    def _barred(self, restrict: Restrict) -> list[Rows]:
        name = restrict.namespace
        denied = [self._list(self._denied, name, token) for token in restrict.allow]
        return denied + [self._list(self._allowed, name, token) for token in restrict.deny]

    def _passing(self, number: NumericRestrict) -> Rows:
        column = self._columns.get(number.namespace)
        if column is None:
            return np.empty(0, np.intp)
        rows = np.array(column.rows, np.intp)
        if column.values.typecode == "q":
            return rows[_compare_integers(np.array(column.values, np.int64), number)]
        values = np.array(column.values, np.float64)
        return rows[_COMPARE[_operator(number)](values, float(number.value))]

    @staticmethod
    def _list(lists: dict[tuple[str, str], array[int]], name: str, token: str) -> Rows:
        found = lists.get((name, token))
        return np.empty(0, np.intp) if found is None else np.array(found, np.intp)


def _flags(rows: Rows, count: int) -> Flags:
    flags = np.zeros(count, np.bool_)
    flags[rows] = True
    return flags


Values = NDArray[np.int64] | NDArray[np.float64]
_COMPARE: dict[NumericOp, Callable[[Values, int | float], Flags]] = {
    "LESS": lambda values, bound: values < bound,
    "LESS_EQUAL": lambda values, bound: values <= bound,
    "EQUAL": lambda values, bound: values == bound,
    "GREATER_EQUAL": lambda values, bound: values >= bound,
    "GREATER": lambda values, bound: values > bound,
    "NOT_EQUAL": lambda values, bound: values != bound,
}


def _operator(number: NumericRestrict) -> NumericOp:
    assert number.op is not None  # queries are checked for it
    return number.op


def _compare_integers(values: NDArray[np.int64], number: NumericRestrict) -> Flags:
    """Compare without rounding the integers to floats, of which 2**53 + 1 is none."""
    op, bound = _operator(number), number.value
    if isinstance(bound, int) or bound.is_integer():
        return _COMPARE[op](values, int(bound))
    if op in ("LESS", "LESS_EQUAL"):
        return values <= math.floor(bound)
    if op in ("GREATER", "GREATER_EQUAL"):
        return values >= math.ceil(bound)
    return np.full(len(values), op == "NOT_EQUAL")


def within_limit(codes: Sequence[int], limit: int, k: int) -> list[int]:
    """The first `k` places at which no code but 0 stands for more than the `limit`-th time."""
    counts: dict[int, int] = {}
    places: list[int] = []
    for place, code in enumerate(codes):
        counts[code] = counts.get(code, 0) + 1
        if code == 0 or counts[code] <= limit:
            places.append(place)
            if len(places) == k:
                break
    return places
