"""Exact search for a single query: the same rows and distances in fewer calls to numpy.

A query that comes alone, as over a wire, costs the calls and not the arithmetic.
"""

from __future__ import annotations

import numpy as np

from harness.vectors._exact import Source, reached_by, too_many
from harness.vectors._space import Doubles, Extent, Places, Space, Vectors
from harness.vectors.blas import one_thread

_MOST_SCORES = 1 << 18


def nearest_to_one(
    space: Space, extent: Extent, query: Doubles, source: Source, alive: int, k: int
) -> tuple[Places, Doubles] | None:
    """The `k` nearest rows of one prepared query, (1, dimensions), and their distances, in order.

    `alive` is how many rows of the source are. Gives None where the blocks of the general search
    are needed: few rows, very many, or too many whose scores float32 cannot tell apart.
    """
    if not k < alive or len(source) > _MOST_SCORES or not space.narrow(query, extent):
        return None
    places = _possible(space, extent, query, source, k)
    if too_many(places.size, 1, len(source), k):
        return None
    rows = places if source.rows is None else source.rows[places]
    near: Vectors = source.vectors[rows]
    distances = space.distances_to(query, near)
    order = np.lexsort((rows, space.order(distances)))[:k]
    return rows[order], distances[order]


def _possible(space: Space, extent: Extent, query: Doubles, source: Source, k: int) -> Places:
    """The places of all that may be among the k nearest, of which more than k are alive."""
    with one_thread():
        scores = space.scores(query, *source.block(0, len(source)))
    if source.alive is not None:
        own = source.alive if source.rows is None else source.alive[source.rows]
        scores[0, ~own] = -np.inf
    error = float(space.error(query, extent.longest, wide=False)[0])
    least = float(reached_by(scores, k)[0]) - 2.5 * error  # half an error more than float32 rounds
    return np.flatnonzero(scores[0] >= least)
