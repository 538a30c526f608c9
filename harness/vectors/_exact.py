"""Exact search: scores of all rows in blocks, and the few that may be nearest measured exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.vectors._space import Doubles, Extent, Places, Scores, Space, Vectors
from harness.vectors.blas import one_thread

Flags = NDArray[np.bool_]

_BLOCK_SCORES = 1 << 18
_LEAST_BLOCK = 4096
_GROUP = 64
_FEW = 64
_MANY = 8


@dataclass(frozen=True, slots=True)
class Source:
    """Rows to search: all that the vectors have, or those of `rows` (ascending).

    With `rows`, `gathered` may hold their vectors side by side. `scale` and `offset` are of all
    rows, as are the `alive` flags, which are None where every row is.
    """

    vectors: Vectors
    rows: Places | None = None
    gathered: Vectors | None = None
    scale: Vectors | None = None
    offset: Vectors | None = None
    alive: Flags | None = None

    def __len__(self) -> int:
        return len(self.vectors) if self.rows is None else len(self.rows)

    def block(self, start: int, stop: int) -> tuple[Vectors, Vectors | None, Vectors | None]:
        """The vectors, scales and offsets of places `start` to `stop`."""
        if self.rows is None:
            return self.vectors[start:stop], *self._of(slice(start, stop))
        own = self.rows[start:stop]
        if self.gathered is not None:
            return self.gathered[start:stop], *self._of(own)
        return self.vectors[own], *self._of(own)

    def _of(self, which: slice | Places) -> tuple[Vectors | None, Vectors | None]:
        scale = None if self.scale is None else self.scale[which]
        return scale, None if self.offset is None else self.offset[which]


def nearest(
    space: Space, extent: Extent, queries: Doubles, source: Source, k: int
) -> tuple[Places, Places]:
    """A superset of the `k` nearest rows of each prepared query, few more than `k`, in no order.

    Returns:
        The query (by place) and the row of each pair.
    """
    if len(source) <= _FEW:
        return _all_pairs(len(queries), source)
    step = max(_LEAST_BLOCK, _BLOCK_SCORES // max(1, len(queries)))
    search = _Search(space, extent, queries, source, k)
    with one_thread():
        for start in range(0, len(source), step):
            search.look_at(start, min(start + step, len(source)))
    return search.found()


def _all_pairs(queries: int, source: Source) -> tuple[Places, Places]:
    rows = np.arange(len(source)) if source.rows is None else source.rows
    if source.alive is not None:
        rows = rows[source.alive[rows]]
    return np.repeat(np.arange(queries), len(rows)), np.tile(rows, queries)


class _Search:
    """A search under way: for each query, the score that k rows certainly reach, and who may.

    Every score is within `error` of the true one. Where float32 leaves too many that may be
    among the nearest, the search goes on in float64.
    """

    def __init__(
        self, space: Space, extent: Extent, queries: Doubles, source: Source, k: int
    ) -> None:
        self.space, self.extent, self.source = space, extent, source
        self.queries, self.k = queries, k
        self.reached = np.full(len(queries), -np.inf)
        self.hits: list[tuple[Places, Places, Doubles, Doubles]] = []
        self._choose(wide=not space.narrow(queries, extent))

    def _choose(self, *, wide: bool) -> None:
        self.wide = wide
        self.error = self.space.error(self.queries, self.extent.longest, wide=wide)

    def look_at(self, start: int, stop: int) -> None:
        """Keep the pairs of a block of rows that may be among the nearest."""
        scores = self._scores(start, stop)
        flat = self._possible(scores)
        bounded = bool((self.reached > -np.inf).all())
        if (
            not self.wide
            and bounded
            and too_many(flat.size, len(self.queries), scores.size, self.k)
        ):
            self._choose(wide=True)
            scores = self._scores(start, stop)
            flat = self._possible(scores)
        which, place = np.divmod(flat, stop - start)
        score, error = scores.ravel()[flat].astype(np.float64), self.error[which]
        self.hits.append((which, place + start, score - error, score + error))

    def _scores(self, start: int, stop: int) -> Scores:
        vectors, scale, offset = self.source.block(start, stop)
        if self.wide:
            scores: Scores = self.space.wide_scores(self.queries, vectors)
        else:
            scores = self.space.scores(self.queries, vectors, scale, offset)
        if self.source.alive is not None:
            dead = np.flatnonzero(~self.source.alive[start:stop])
            if dead.size:
                scores[:, dead] = np.nan
        return scores

    def _possible(self, scores: Scores) -> Places:
        """The places, in the flat scores, of those that may be among the k nearest."""
        known = np.where(np.isnan(scores), -np.inf, scores)
        self.reached = np.maximum(self.reached, reached_by(known, self.k) - self.error)
        least = (self.reached - self.error).astype(scores.dtype)
        least = np.nextafter(least, scores.dtype.type(-np.inf))
        return np.flatnonzero(scores >= least[:, None])

    def found(self) -> tuple[Places, Places]:
        """The pairs that may still be among the nearest, now that all rows were looked at."""
        if not self.hits:
            return np.empty(0, np.intp), np.empty(0, np.intp)
        which, place, low, high = (np.concatenate(parts) for parts in zip(*self.hits, strict=True))
        if len(self.hits) > 1:
            kept = high >= self._last(which, low)[which]
            which, place = which[kept], place[kept]
        return which, place if self.source.rows is None else self.source.rows[place]

    def _last(self, which: Places, score: Doubles) -> Doubles:
        """The k-th best score of each query, or -inf if it has not so many."""
        order = np.lexsort((-score, which))
        starts = np.searchsorted(which[order], np.arange(len(self.queries)))
        last = np.full(len(self.queries), -np.inf)
        full = np.bincount(which, minlength=len(self.queries)) >= self.k
        last[full] = score[order][starts[full] + self.k - 1]
        return last


def too_many(possible: int, queries: int, of: int, k: int) -> bool:
    """Whether so many pairs may be among the nearest that closer scores cost less than they do."""
    return possible > queries * _MANY * k + of // _MANY


def reached_by(scores: Scores, k: int) -> Doubles:
    """A score that at least `k` of each query's reach, or -inf: the k-th best, or somewhat less.

    Of many scores the k-th best maximum of a group of them serves, which is much cheaper.
    """
    count = scores.shape[1]
    if count <= k:
        return np.full(len(scores), -np.inf)
    groups = count // _GROUP
    if groups >= 4 * k:
        folded = scores[:, : groups * _GROUP].reshape(len(scores), _GROUP, groups)
        scores = folded.max(axis=1)
    place = scores.shape[1] - k
    reached: Doubles = np.partition(scores, place, axis=1)[:, place].astype(np.float64)
    return reached
