"""How near vectors are: exact distances in float64, and fast scores in float32 to preselect by.

A score is larger for what is nearer. It comes with a bound on its rounding error, so that
what the fast scores drop is certainly not among the nearest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.vectors.settings import Measure, Normalise

Vectors = NDArray[np.float32]
Doubles = NDArray[np.float64]
Places = NDArray[np.intp]
Scores = NDArray[np.float32] | NDArray[np.float64]

_PAIR_NUMBERS = 1 << 22
_SMALLEST, _LARGEST = 1e-15, 1e15
_LEAST_SCORE, _MOST_SCORE = 1e-30, 1e37


@dataclass(frozen=True, slots=True)
class Extent:
    """The shortest (but 0) and the longest of the vectors that were seen."""

    shortest: float = np.inf
    longest: float = 0.0

    def around(self, norms: Doubles) -> Extent:
        """The extent of these too."""
        lengths = norms[norms > 0]
        if not lengths.size:
            return self
        return Extent(
            min(self.shortest, float(lengths.min())), max(self.longest, float(lengths.max()))
        )

    @property
    def tame(self) -> bool:
        """Whether float32 can hold squares and inverses of these."""
        return self.longest == 0 or (self.shortest > _SMALLEST and self.longest < _LARGEST)


class Space:
    """One measure, with or without normalisation, in so many dimensions."""

    def __init__(self, measure: Measure, normalise: Normalise, dimensions: int) -> None:
        self.measure, self.dimensions = measure, dimensions
        self.unit = normalise == "unit_l2" or measure == "cosine"
        self.larger_is_nearer = measure == "dot_product"
        self.scaled, self.moved = self.unit, measure == "squared_l2"

    def prepared(self, queries: Vectors) -> Doubles:
        """Queries in float64, of length 1 where that is what is compared."""
        wide = queries.astype(np.float64)
        return _unit(wide) if self.unit else wide

    def distances(self, queries: Doubles, which: Places, vectors: Vectors) -> Doubles:
        """The distance of each vector, (n, dimensions), to the prepared query `which` names."""
        step = max(1, _PAIR_NUMBERS // self.dimensions)
        parts = [
            self.distances_to(queries[which[start : start + step]], vectors[start : start + step])
            for start in range(0, len(vectors), step)
        ]
        return np.concatenate(parts) if parts else np.empty(0)

    def distances_to(self, queries: Doubles, vectors: Vectors) -> Doubles:
        """The distance of each vector to the prepared query beside it, or to the only one."""
        wide = vectors.astype(np.float64)
        if self.unit:
            wide = _unit(wide)
        if self.measure == "dot_product":
            return _row_sums(queries * wide)
        if self.measure == "l1":
            return _row_sums(np.abs(queries - wide))
        squares = _row_sums((queries - wide) ** 2)
        if self.measure == "squared_l2":
            return squares
        # Half the squared distance of unit vectors: exactly 0 for equal ones, as 1 - cos is not.
        null = ~queries.any(axis=1) | ~wide.any(axis=1)
        return np.where(null, 1.0, squares / 2)

    def order(self, distances: Doubles) -> Doubles:
        """What to sort by, ascending, to have the nearest first."""
        return -distances if self.larger_is_nearer else distances

    def scale(self, norms: Doubles) -> Vectors | None:
        """What to multiply products with stored vectors by, in float32; None for nothing."""
        if not self.scaled:
            return None
        with np.errstate(over="ignore"):
            inverse: Doubles = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)
            return inverse.astype(np.float32)

    def offset(self, norms: Doubles) -> Vectors | None:
        """What to add to products with stored vectors, in float32; None for nothing."""
        if not self.moved:
            return None
        lengths = (norms > 0).astype(np.float64) if self.unit else norms
        with np.errstate(over="ignore"):
            return (-(lengths**2)).astype(np.float32)

    def scores(
        self, queries: Doubles, vectors: Vectors, scale: Vectors | None, offset: Vectors | None
    ) -> Scores:
        """Scores of (n, dimensions) vectors for (q, dimensions) prepared queries: (q, n)."""
        if self.measure == "l1":
            return self.wide_scores(queries, vectors)
        narrow = (queries * 2 if offset is not None else queries).astype(np.float32)
        found: Vectors = narrow @ vectors.T
        if scale is not None:
            found *= scale
        if offset is not None:
            found += offset
        return found

    def wide_scores(self, queries: Doubles, vectors: Vectors) -> Doubles:
        """The scores in float64, for what float32 cannot tell apart."""
        wide = vectors.astype(np.float64)
        if self.unit:
            wide = _unit(wide)
        if self.measure == "l1":
            from scipy.spatial.distance import cdist

            found: Doubles = -cdist(queries, wide, "cityblock")
            return found
        products = queries @ wide.T
        if self.measure == "squared_l2":
            return 2 * products - _row_sums(wide**2)
        return products

    def error(self, queries: Doubles, longest: float, *, wide: bool) -> Doubles:
        """How far a score may be from the true one, for each query.

        The classic bound n * u * |x| * |y| on the error of an inner product (Higham, Accuracy
        and Stability of Numerical Algorithms, 2002, section 3.1), with room for the rest.
        """
        rounding = 2.0**-53 if wide or self.measure == "l1" else 2.0**-24
        found: Doubles = (self.dimensions + 8) * rounding * self._largest(queries, longest)
        return found

    def narrow(self, queries: Doubles, extent: Extent) -> bool:
        """Whether float32 can hold the scores of these queries: none overflows or vanishes."""
        if not extent.tame or self.measure == "l1":
            return False
        largest = self._largest(queries, extent.longest)
        return bool((largest > _LEAST_SCORE).all() and (largest < _MOST_SCORE).all())

    def _largest(self, queries: Doubles, longest: float) -> Doubles:
        """How large a score of each query can be, where no vector is longer than this."""
        lengths: Doubles = np.sqrt(_row_sums(queries**2))
        stored = 1.0 if self.unit else longest
        if self.measure == "l1":
            lengths = float(np.sqrt(self.dimensions)) * (lengths + stored)
        elif self.measure == "squared_l2":
            lengths = stored * (2 * lengths + stored)
        else:
            lengths = stored * lengths
        return lengths


def norms(vectors: Vectors) -> Doubles:
    """The lengths of vectors, in float64."""
    step = max(1, _PAIR_NUMBERS // max(1, vectors.shape[1]))
    parts = [
        np.sqrt(_row_sums(vectors[start : start + step].astype(np.float64) ** 2))
        for start in range(0, len(vectors), step)
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def _row_sums(values: Doubles) -> Doubles:
    sums: Doubles = values.sum(axis=1)
    return sums


def _unit(wide: Doubles) -> Doubles:
    lengths = np.sqrt(_row_sums(wide**2))
    lengths[lengths == 0] = 1
    unit: Doubles = wide / lengths[:, None]
    return unit
