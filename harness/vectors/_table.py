"""The rows of an index: vectors, ids and tags by row number, of which none is ever used twice.

A row never changes. What is written anew gets a new row, and the old one is dead; so rows are
ordered by their last write, and whoever knows a row number can mistake it for no other.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.datapoints import Query
from harness.vectors._exact import Source
from harness.vectors._filters import Filters, filter_key
from harness.vectors._space import Extent, Places, Space, Vectors, norms
from harness.vectors._tags import NO_TAGS, Tags

_BLOCK_BYTES = 64 << 20
_CACHE_BYTES = 128 << 20
_CHUNK = 1 << 16
Item = TypeVar("Item", bound=np.generic)


class Backing(Protocol):
    """Where vectors are kept, in the order of their rows."""

    def append(self, vectors: Vectors) -> None: ...

    def view(self, count: int) -> Vectors:
        """The first `count` vectors, (count, dimensions); a view that stays as it is."""
        ...


class Memory:
    """Vectors in memory."""

    def __init__(self, dimensions: int) -> None:
        self._rows = np.empty((0, dimensions), np.float32)
        self._count = 0

    def append(self, vectors: Vectors) -> None:
        end = self._count + len(vectors)
        if end > len(self._rows):
            grown = np.empty((max(end, 2 * len(self._rows)), self._rows.shape[1]), np.float32)
            grown[: self._count] = self._rows[: self._count]
            self._rows = grown
        self._rows[self._count : end] = vectors
        self._count = end

    def view(self, count: int) -> Vectors:
        return self._rows[:count]


class _Growing(Generic[Item]):
    """An array that grows at its end."""

    def __init__(self, dtype: type[Item]) -> None:
        self._values: NDArray[Item] = np.empty(1024, dtype)
        self._count = 0

    def extend(self, values: NDArray[Item]) -> None:
        end = self._count + len(values)
        if end > len(self._values):
            grown: NDArray[Item] = np.empty(max(end, 2 * len(self._values)), self._values.dtype)
            grown[: self._count] = self._values[: self._count]
            self._values = grown
        self._values[self._count : end] = values
        self._count = end

    @property
    def values(self) -> NDArray[Item]:
        return self._values[: self._count]


@dataclass(frozen=True, slots=True)
class Eligible:
    """The rows that pass a filter, and a flag for every row."""

    source: Source
    rows: Places
    flags: NDArray[np.bool_]

    @property
    def bytes(self) -> int:
        gathered = 0 if self.source.gathered is None else self.source.gathered.nbytes
        return self.rows.nbytes + self.flags.nbytes + gathered


class Table:
    """All rows, dead ones too. Reads may go on side by side; a write goes alone."""

    def __init__(self, space: Space, backing: Backing) -> None:
        self.space, self.backing = space, backing
        self.names: list[str] = []
        self.row_of: dict[str, int] = {}
        self.tags: dict[int, Tags] = {}
        self.filters = Filters()
        self.extent = Extent()
        self._alive = _Growing(np.bool_)
        self._scale = _Growing(np.float32)
        self._offset = _Growing(np.float32)
        self._codes = _Growing(np.int64)
        self._code_of: dict[str, int] = {"": 0}
        self._measured = 0
        self._eligible: OrderedDict[object, Eligible] = OrderedDict()
        self._cache_lock = Lock()

    @property
    def count(self) -> int:
        """How many rows are alive."""
        return len(self.row_of)

    @property
    def rows(self) -> int:
        """How many rows there are, dead or alive."""
        return len(self.names)

    @property
    def vectors(self) -> Vectors:
        return self.backing.view(self.rows)

    @property
    def alive(self) -> NDArray[np.bool_]:
        return self._alive.values

    @property
    def codes(self) -> NDArray[np.int64]:
        """A number for the crowding tag of each row, 0 for none."""
        return self._codes.values

    def add(self, ids: Sequence[str], tags: Mapping[int, Tags]) -> list[int]:
        """Take up new rows (their vectors are with the backing), and give the rows they replace.

        `measure` must follow before the next search.
        """
        start = self.rows
        self._alive.extend(np.ones(len(ids), np.bool_))
        self.names.extend(ids)
        dead = []
        for row, key in enumerate(ids, start):
            old = self.row_of.pop(key, None)  # so that the order of ids is that of rows
            self.row_of[key] = row
            if old is not None:
                dead.append(old)
        self._bury(dead)
        codes = np.zeros(len(ids), np.int64)
        for place, own in tags.items():
            self.tags[start + place] = own
            self.filters.add(start + place, own)
            codes[place] = self._code_of.setdefault(own.crowding_tag, len(self._code_of))
        self._codes.extend(codes)
        self._eligible.clear()
        return dead

    def drop(self, ids: Iterable[str]) -> list[int]:
        """Remove ids that are there, and give the rows that they had."""
        dead = [row for key in ids if (row := self.row_of.pop(key, None)) is not None]
        self._bury(dead)
        self._eligible.clear()
        return dead

    def _bury(self, rows: list[int]) -> None:
        if rows:
            self.alive[rows] = False
            for row in rows:
                self.tags.pop(row, None)

    def measure(self) -> None:
        """Take the lengths of the vectors that came since the last time."""
        while self._measured < self.rows:
            stop = min(self._measured + _CHUNK, self.rows)
            lengths = norms(self.vectors[self._measured : stop])
            self.extent = self.extent.around(lengths)
            if (scale := self.space.scale(lengths)) is not None:
                self._scale.extend(scale)
            if (offset := self.space.offset(lengths)) is not None:
                self._offset.extend(offset)
            self._measured = stop

    def source(self) -> Source:
        """All living rows, to search."""
        scale, offset = self._columns()
        alive = None if self.count == self.rows else self.alive
        return Source(self.vectors, None, None, scale, offset, alive)

    def _columns(self) -> tuple[Vectors | None, Vectors | None]:
        return (
            self._scale.values if self.space.scaled else None,
            self._offset.values if self.space.moved else None,
        )

    def eligible(self, query: Query) -> Eligible | None:
        """The living rows that pass the query's restricts; None for all of them."""
        key = filter_key(query)
        if not key:
            return None
        with self._cache_lock:
            if key in self._eligible:
                self._eligible.move_to_end(key)
                return self._eligible[key]
        found = self._gather(self.filters.eligible(query, self.alive))
        with self._cache_lock:
            self._eligible[key] = found
            while sum(kept.bytes for kept in self._eligible.values()) > _CACHE_BYTES:
                self._eligible.popitem(last=False)
        return found

    def _gather(self, rows: Places) -> Eligible:
        flags = np.zeros(self.rows, np.bool_)
        flags[rows] = True
        small = len(rows) * self.space.dimensions * 4 <= _BLOCK_BYTES
        gathered = self.vectors[rows] if small else None
        return Eligible(Source(self.vectors, rows, gathered, *self._columns()), rows, flags)

    def living(self) -> Places:
        """The rows that are alive, ascending."""
        return np.flatnonzero(self.alive)

    def tags_of(self, row: int) -> Tags:
        return self.tags.get(row, NO_TAGS)

    def tags_at(self, rows: Iterable[int]) -> dict[int, Tags]:
        """The tags of rows by their place among these, of those that have any."""
        found = ((place, self.tags.get(row)) for place, row in enumerate(rows))
        return {place: own for place, own in found if own is not None}

    def unit_vectors(self, rows: Places) -> Vectors:
        """The vectors of rows as they are compared: of length 1, if that is so."""
        every = len(rows) == self.rows
        chosen = self.vectors if every else self.vectors[rows]
        scale, _ = self._columns()
        if scale is None:
            return np.ascontiguousarray(chosen)
        return np.ascontiguousarray(chosen * (scale if every else scale[rows])[:, None])
