"""An index of vectors: exact search, ScaNN for many vectors, filters, and a folder to live in.

    with VectorIndex(VectorSettings(dimensions=384, measure="cosine"), folder=path) as index:
        index.upsert([Datapoint("a", vector, restricts=(Restrict("colour", ("red",)),))])
        index.search([Query(vector=vector)], k=10)

Light to import: numpy comes with the first index, ScaNN with the first approximate search.

What is promised. A write is applied whole or not at all; when the call returns, every later search
sees it, and no search sees a part of it or anything deleted. All methods may be called from any
thread; writes go one after the other. In a folder, a write that returned survives the death of the
process (SIGKILL), and with `sync=True` that of the machine. Distances are always computed exactly
from the stored vectors, so the exact and the approximate engine give the same number for the same
pair; what may be missed is a neighbour.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.datapoints import Datapoint, IndexDescription, Match, NumericRestrict, Query, Restrict
from harness.vectors.settings import (
    Engine,
    Measure,
    Normalise,
    Problem,
    VectorError,
    VectorSettings,
    crowding_number,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Engine",
    "Mask",
    "Measure",
    "Normalise",
    "Problem",
    "VectorError",
    "VectorIndex",
    "VectorSettings",
    "crowding_number",
]

Mask = Literal["restricts", "metadata"]
"""What an upsert under a mask replaces: both kinds of restricts, or the metadata; nothing else."""


class VectorIndex:
    """Datapoints under ids, in memory or in a folder, that can be searched and written to.

    It is an `Index`. The id order of equal distances is that of the last write. A second
    process (or object) that opens the same folder for writing is refused.

    Args:
        settings: what the index is; None takes them from the folder. In a folder that has an
            index, `dimensions`, `measure` and `normalise` must be its own.
        folder: where it lives, made if need be; None is in memory.
        readonly: see what is there now, beside a process that writes; not what it writes later.

    Raises:
        VectorError: `SETTINGS` (none given, or not the folder's), `LOCKED`, `DAMAGED`, `MISSING`
            (read only, or without settings, and no index in the folder), `STORAGE`.
    """

    def __init__(
        self,
        settings: VectorSettings | None = None,
        *,
        folder: str | Path | None = None,
        readonly: bool = False,
    ) -> None:
        from harness.vectors._index import Core

        self._core = Core(settings, None if folder is None else Path(folder), readonly=readonly)

    @staticmethod
    def exists(folder: str | Path) -> bool:
        """Whether a folder holds an index."""
        from harness.vectors._folder import exists

        return exists(Path(folder))

    @staticmethod
    def delete(folder: str | Path) -> None:
        """Delete the index in a folder, and the folder if nothing else is in it.

        Raises:
            VectorError: `MISSING` if there is none, `LOCKED` if it is open for writing.
        """
        from harness.vectors._folder import delete

        delete(Path(folder))

    @property
    def settings(self) -> VectorSettings:
        """What the index is."""
        return self._core.settings

    def __len__(self) -> int:
        """How many datapoints there are."""
        return self._core.count

    def __contains__(self, name: object) -> bool:
        return self._core.has(name)

    def ids(self) -> list[str]:
        """All ids, in the order of their last write."""
        return self._core.ids()

    def __enter__(self) -> VectorIndex:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def search(
        self, queries: Sequence[Query], *, k: int, full: bool = False, exact: bool = False
    ) -> list[list[Match]]:
        """Find the `k` nearest datapoints of each query's vector, nearest first.

        Fewer than `k` come only if fewer are eligible (under the crowding limit). Rules of
        eligibility: a datapoint must pass every restrict. A token restrict with an `allow` list
        wants one of its tokens among the datapoint's `allow` of that namespace, and none among
        the datapoint's `deny`; a token of the query's `deny` excludes datapoints that allow it.
        A namespace that the query does not name does not matter. A numeric restrict wants a
        number in its namespace. Datapoints without crowding tag are not limited.

        `distance`: the dot product (larger is nearer); 1 - cosine; the squared L2 distance; the
        L1 distance. It is 0.0 for an identical vector in the last three. `crowding_tag` and
        `text` are None where there is none.

        Args:
            queries: each with a vector; `text` is not looked at. Each query sees one state of
                the index; a call with very many queries may see later writes in later ones.
            k: at least 1.
            full: put the whole datapoint into each match.
            exact: leave the approximate engine aside (the truth to compare it with).

        Raises:
            VectorError: with the position of the query: `NO_VECTOR`, `DIMENSIONS`, `NOT_FINITE`,
                `OPERATOR_MISSING`, `BAD_NUMBER`, `BAD_COUNT` (k, crowding limit or
                approximate count below 1), `BAD_FRACTION`; or `NO_ENGINE`, `CLOSED`.
        """
        return self._core.search(queries, k, full=full, exact=exact)

    def nearest(
        self,
        vectors: NDArray[np.float32],
        *,
        k: int,
        like: Query | None = None,
        exact: bool = False,
    ) -> tuple[list[list[str]], NDArray[np.float64]]:
        """Find neighbours as `search` does, for an array of queries and without their values.

        Args:
            vectors: queries, (n, dimensions).
            k: at least 1.
            like: where the restricts, the crowding limit and the overrides of all come from.
            exact: leave the approximate engine aside.

        Returns:
            The ids of each query, nearest first; and the distances, (n, k), with NaN where a
            query has fewer.

        Raises:
            VectorError: as `search`.
        """
        return self._core.nearest(vectors, k, like or Query(), exact=exact)

    def check(self, datapoints: Sequence[Datapoint]) -> list[VectorError]:
        """All that an upsert of these would be refused for, at most one error a datapoint."""
        return self._core.check(datapoints)

    def upsert(self, datapoints: Sequence[Datapoint], *, mask: Collection[Mask] = ()) -> None:
        """Insert datapoints, or replace those of the same id; all of them or none.

        With a `mask`, only `restricts` (of both kinds) or `metadata` of datapoints that are there
        are replaced, and the vector, text and crowding tag given are not looked at.

        Raises:
            VectorError: for the first datapoint that cannot be taken, with its id and position:
                `DIMENSIONS`, `NOT_FINITE`, `EMPTY_ID`, `DUPLICATE_ID` (twice in the batch),
                `DUPLICATE_NAMESPACE` (token or numeric), `OPERATOR_IN_DATAPOINT`, `VALUE_TYPES`
                (integers and floats in one numeric namespace, of the batch or of the index),
                `BAD_NUMBER` (not finite, or beyond 64 bits), `BAD_METADATA` (no JSON values),
                `BAD_TEXT` (no text, or half of a surrogate pair); under a mask `UNKNOWN_ID`,
                `BAD_MASK`. And `READ_ONLY`, `CLOSED`, `STORAGE`.
        """
        self._core.upsert(datapoints, mask)

    def load(
        self,
        ids: Sequence[str],
        vectors: ArrayLike,
        *,
        restricts: Sequence[tuple[Restrict, ...]] | None = None,
        numeric_restricts: Sequence[tuple[NumericRestrict, ...]] | None = None,
        crowding_tags: Sequence[str] | None = None,
        texts: Sequence[str | None] | None = None,
    ) -> None:
        """Upsert many datapoints at once from columns of equal length; all of them or none.

        Args:
            ids: the ids, all different.
            vectors: (n, dimensions), numbers that float32 can hold.
            restricts: one value a datapoint, or None for none at all, as in what follows.
            numeric_restricts: as `Datapoint` has them.
            crowding_tags: empty for none.
            texts: None for none.

        Raises:
            VectorError: as `upsert`.
        """
        self._core.load(ids, vectors, restricts, numeric_restricts, crowding_tags, texts)

    def remove(self, ids: Sequence[str]) -> int:
        """Remove datapoints, and say how many were there; an id that is not there is no error."""
        return self._core.remove(ids)

    def read(self, ids: Sequence[str]) -> list[Datapoint]:
        """The datapoints of these ids, in order, less those that are not there.

        Vectors are tuples of the float32 numbers that were written, never normalised.
        """
        return self._core.read(ids)

    def describe(self) -> IndexDescription:
        """What the index is; `details` has its settings, and the state of the engine."""
        return self._core.describe()

    def digest(self) -> str:
        """A SHA-256 of all datapoints: equal content gives an equal one, in whatever order."""
        return self._core.digest()

    def prepare(self) -> None:
        """Build the approximate engine now, if it is due; otherwise the next search does.

        Once searched, an index rebuilds it by itself in the write that doubles its size, while
        searches go on.
        """
        self._core.prepare()

    def compact(self) -> None:
        """Drop the rows of what was deleted or replaced, in memory and in the folder.

        Searches go on meanwhile. It happens by itself when more is dead than alive.
        """
        self._core.compact()

    def close(self) -> None:
        """Save the approximate engine beside the index, and give the folder free.

        Every other method raises VectorError `CLOSED` from then on; a second close does nothing.
        """
        self._core.close()
