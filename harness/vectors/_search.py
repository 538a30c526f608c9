"""How a search is made: exact or by the tree, and what is done where the tree finds too little."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from harness.datapoints import Query
from harness.vectors import _exact
from harness.vectors._exact import Source
from harness.vectors._filters import Key, filter_key, within_limit
from harness.vectors._single import nearest_to_one
from harness.vectors._space import Doubles, Places, Vectors
from harness.vectors._table import Eligible, Table
from harness.vectors._tree import Tree
from harness.vectors.settings import VectorSettings

_EXACT_SHARE = 0.15
"""Up to this share of eligible rows, to scan them costs less than to find enough by the tree."""

_MOST_CANDIDATES = 0.25
"""From this share of all rows among the candidates, the tree saves nothing."""

_SPARE = 1.3
_CROWD_SPARE = 4


@dataclass(frozen=True, slots=True)
class Found:
    """The neighbours of many queries in a row: those of query i are `starts[i]:starts[i + 1]`."""

    rows: Places
    distances: Doubles
    starts: Places

    def of(self, place: int) -> tuple[Places, Doubles]:
        own = slice(int(self.starts[place]), int(self.starts[place + 1]))
        return self.rows[own], self.distances[own]


@dataclass(frozen=True, slots=True)
class Plan:
    """What the queries of one group have in common."""

    k: int
    crowding_limit: int | None
    approximate_count: int
    leaves_fraction: float
    exact: bool


Group = tuple[Key, int | None, int | None, float | None]


def group_of(query: Query) -> Group:
    """What queries must have in common to be searched together."""
    return (
        filter_key(query),
        query.crowding_limit,
        query.approximate_count,
        query.leaves_fraction,
    )


def plan_of(query: Query, k: int, settings: VectorSettings, *, exact: bool) -> Plan:
    """The plan for all queries like this one."""
    fraction = query.leaves_fraction
    return Plan(
        k,
        query.crowding_limit,
        query.approximate_count or settings.approximate_count,
        settings.leaves_fraction if fraction is None else fraction,
        exact,
    )


def search(table: Table, tree: Tree | None, vectors: Vectors, like: Query, plan: Plan) -> Found:
    """The nearest living rows of each query, under the filter of `like`.

    Needs the table and the tree to stay as they are.
    """
    queries = table.space.prepared(vectors)
    eligible = table.eligible(like)
    count = table.count if eligible is None else len(eligible.rows)
    wanted = _candidates(plan, count, table.count)
    if plan.exact or tree is None or not wanted or not table.space.narrow(queries, table.extent):
        return _exactly(table, queries, eligible, plan)
    which, rows = _by_tree(tree, queries, eligible, plan, wanted, count / table.count)
    found = _ranked(table, queries, which, rows, plan)
    short = np.flatnonzero(np.diff(found.starts) < min(plan.k, count))
    if not short.size:
        return found
    return _merged(found, short, _exactly(table, queries[short], eligible, plan))


def _candidates(plan: Plan, eligible: int, alive: int) -> int:
    """How many neighbours to ask the tree for; 0 if it is not worth while."""
    if not eligible or (eligible < alive and eligible <= _EXACT_SHARE * alive):
        return 0
    share = eligible / alive
    wanted = plan.k if share == 1 else int(_SPARE * plan.k / share) + 8
    if plan.crowding_limit is not None:
        wanted *= _CROWD_SPARE
    return wanted if max(wanted, plan.approximate_count) < _MOST_CANDIDATES * alive else 0


def _by_tree(
    tree: Tree, queries: Doubles, eligible: Eligible | None, plan: Plan, wanted: int, share: float
) -> tuple[Places, Places]:
    before = int(max(plan.approximate_count, wanted if share == 1 else 0) / share)
    narrow = np.ascontiguousarray(queries, np.float32)
    rows = tree.search(narrow, wanted, before, plan.leaves_fraction)
    there = rows >= 0
    if eligible is not None:
        there &= eligible.flags[rows]
    which, place = np.nonzero(there)
    return which, rows[which, place]


def _exactly(table: Table, queries: Doubles, eligible: Eligible | None, plan: Plan) -> Found:
    source = table.source() if eligible is None else eligible.source
    if plan.crowding_limit is not None:
        return _exactly_uncrowded(table, queries, source, plan)
    if len(queries) == 1:
        alive = table.count if eligible is None else len(eligible.rows)
        if one := nearest_to_one(table.space, table.extent, queries, source, alive, plan.k):
            return Found(*one, np.array([0, len(one[0])]))
    which, rows = _exact.nearest(table.space, table.extent, queries, source, plan.k)
    return _ranked(table, queries, which, rows, plan)


def _exactly_uncrowded(table: Table, queries: Doubles, source: Source, plan: Plan) -> Found:
    """Rank more and more rows, until each query has enough under the crowding limit."""
    enough = _CROWD_SPARE * plan.k + 64
    while True:
        which, rows = _exact.nearest(table.space, table.extent, queries, source, enough)
        found = _ranked(table, queries, which, rows, plan)
        if enough >= len(source) or np.diff(found.starts).min(initial=plan.k) >= plan.k:
            return found
        enough *= _CROWD_SPARE


def _ranked(table: Table, queries: Doubles, which: Places, rows: Places, plan: Plan) -> Found:
    """Measure pairs of queries and rows exactly, and keep the nearest that the plan allows."""
    distances = table.space.distances(queries, which, table.vectors[rows])
    order = np.lexsort((rows, table.space.order(distances), which))
    which, rows, distances = which[order], rows[order], distances[order]
    if plan.crowding_limit is None:
        kept = _first(which, len(queries), plan.k)
    else:
        kept = _uncrowded(table.codes[rows], which, len(queries), plan.crowding_limit, plan.k)
    starts = np.searchsorted(which[kept], np.arange(len(queries) + 1))
    return Found(rows[kept], distances[kept], starts)


def _first(which: Places, queries: int, k: int) -> Places:
    starts = np.searchsorted(which, np.arange(queries))
    return np.flatnonzero(np.arange(len(which)) - starts[which] < k)


def _uncrowded(codes: Places, which: Places, queries: int, limit: int, k: int) -> Places:
    starts = np.searchsorted(which, np.arange(queries + 1)).tolist()
    values = codes.tolist()
    kept = [
        start + place
        for start, stop in pairwise(starts)
        for place in within_limit(values[start:stop], limit, k)
    ]
    return np.array(kept, np.intp)


def _merged(found: Found, replaced: Places, by: Found) -> Found:
    """The neighbours found, but of some queries those found by another search."""
    parts = [found.of(place) for place in range(len(found.starts) - 1)]
    for number, place in enumerate(replaced.tolist()):
        parts[place] = by.of(number)
    counts = [len(rows) for rows, _ in parts]
    starts = np.concatenate([[0], np.cumsum(counts)])
    return Found(
        np.concatenate([rows for rows, _ in parts]),
        np.concatenate([distances for _, distances in parts]),
        starts,
    )
