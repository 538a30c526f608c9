"""The index itself: its table, tree and folder, and who may do what when.

Writers go one after the other (`_turn`); the long part of their work (checking, building a tree,
copying a table) leaves searches alone. What a search reads changes under the write lock only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.datapoints import Datapoint, IndexDescription, Match, NumericRestrict, Query, Restrict
from harness.vectors import _check, _search
from harness.vectors._check import Batch
from harness.vectors._engine import Engine, check_engine
from harness.vectors._folder import Folder
from harness.vectors._lock import ReadWriteLock
from harness.vectors._log import Record
from harness.vectors._masks import masked
from harness.vectors._search import Found, Plan
from harness.vectors._space import Space, Vectors
from harness.vectors._table import Memory, Table
from harness.vectors._tags import NO_TAGS, Packed, unpacked
from harness.vectors._tree import Tree
from harness.vectors.settings import Problem, VectorError, VectorSettings

_TOGETHER = 256
"""How many queries are searched at once; a writer waits no longer than for these."""

_COMPACT_FROM = 10_000


class Core:
    """What `VectorIndex` stands before."""

    def __init__(
        self, settings: VectorSettings | None, path: Path | None, *, readonly: bool
    ) -> None:
        if path is None and settings is None:
            raise VectorError(Problem.SETTINGS, "an index in memory needs settings")
        self._folder = None if path is None else Folder(path, settings, readonly=readonly)
        self.settings = cast(VectorSettings, self._folder.settings if self._folder else settings)
        self._turn = Lock()
        self._lock = ReadWriteLock()
        self._closed = False
        self._readonly = readonly
        self._searched = False
        self._engine = Engine(self.settings, self._folder)
        given = self.settings
        self._space = Space(given.measure, given.normalise, given.dimensions)
        try:
            check_engine(self.settings)
            self._table = self._opened_table()
        except BaseException:
            if self._folder:
                self._folder.close()
            raise

    def _opened_table(self) -> Table:
        if self._folder is None:
            return Table(self._space, Memory(self.settings.dimensions))
        table = Table(self._space, self._folder.vectors)
        for record in self._folder.replay():
            _apply(table, record)
        table.measure()
        return table

    # Who may do what

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock.reading():
            self._refuse_if_closed()
            yield

    @contextmanager
    def _one_writer(self, *, readonly: bool = False) -> Iterator[None]:
        with self._turn:
            self._refuse_if_closed()
            if self._readonly and not readonly:
                raise VectorError(Problem.READ_ONLY, "the index is open read only")
            yield

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise VectorError(Problem.CLOSED, "the index is closed")

    # Reading

    @property
    def count(self) -> int:
        with self._reading():
            return self._table.count

    def has(self, name: object) -> bool:
        with self._reading():
            return name in self._table.row_of

    def ids(self) -> list[str]:
        with self._reading():
            return list(self._table.row_of)

    def read(self, ids: Sequence[str]) -> list[Datapoint]:
        with self._reading():
            rows = [row for key in ids if (row := self._table.row_of.get(key)) is not None]
            return [self._datapoint(row) for row in rows]

    def _datapoint(self, row: int) -> Datapoint:
        table = self._table
        vector = tuple(table.vectors[row].tolist())
        return table.tags_of(row).datapoint(table.names[row], vector)

    def search(
        self, queries: Sequence[Query], k: int, *, full: bool, exact: bool
    ) -> list[list[Match]]:
        vectors = _check.query_vectors(queries, k, self.settings.dimensions)
        groups: dict[_search.Group, list[int]] = {}
        for place, query in enumerate(queries):
            groups.setdefault(_search.group_of(query), []).append(place)
        make = self._full_matches if full else self._matches
        found: list[list[Match]] = [[] for _ in queries]
        for places in groups.values():
            like = queries[places[0]]
            plan = _search.plan_of(like, k, self.settings, exact=exact)
            for start, result in self._found(vectors[places], like, plan):
                rows, distances = result.rows.tolist(), result.distances.tolist()
                bounds = pairwise(result.starts.tolist())
                for place, (first, last) in zip(places[start:], bounds, strict=False):
                    found[place] = make(rows[first:last], distances[first:last])
        return found

    def nearest(
        self, vectors: ArrayLike, k: int, like: Query, *, exact: bool
    ) -> tuple[list[list[str]], NDArray[np.float64]]:
        checked = _check.query_array(vectors, like, k, self.settings.dimensions)
        plan = _search.plan_of(like, k, self.settings, exact=exact)
        ids: list[list[str]] = []
        distances = np.full((len(checked), k), np.nan)
        for _, found in self._found(checked, like, plan):
            names = [self._table.names[row] for row in found.rows.tolist()]
            for start, stop in pairwise(found.starts.tolist()):
                distances[len(ids), : stop - start] = found.distances[start:stop]
                ids.append(names[start:stop])
        return ids, distances

    def _found(self, vectors: Vectors, like: Query, plan: Plan) -> Iterator[tuple[int, Found]]:
        """What some queries at a time find; while one is looked at, its rows stay what they are."""
        if not plan.exact:
            self._searched = True
            if self._engine.due(self._table):
                self.prepare()
        for start in range(0, len(vectors), _TOGETHER):
            part = vectors[start : start + _TOGETHER]
            with self._reading():
                tree = self._engine.usable(self._table)
                yield start, _search.search(self._table, tree, part, like, plan)

    def _matches(self, rows: list[int], distances: list[float]) -> list[Match]:
        names, tags_of = self._table.names, self._table.tags.get
        return [
            Match(names[row], distance)
            if (tags := tags_of(row)) is None
            else Match(names[row], distance, tags.text, tags.crowding_tag or None)
            for row, distance in zip(rows, distances, strict=True)
        ]

    def _full_matches(self, rows: list[int], distances: list[float]) -> list[Match]:
        matches = self._matches(rows, distances)
        return [
            replace(match, datapoint=self._datapoint(row))
            for match, row in zip(matches, rows, strict=True)
        ]

    def describe(self) -> IndexDescription:
        with self._reading():
            tree = self._engine.tree
            details: dict[str, object] = {
                "settings": asdict(self.settings),
                "engine": "scann" if self._engine.worth(self._table) else "exact",
                "dead_rows": self._table.rows - self._table.count,
                "generation": self._folder.generation if self._folder else 0,
                "tree": None if tree is None else {"leaves": tree.leaves, "built_of": tree.built},
            }
            location = str(self._folder.path) if self._folder else "memory"
            given = self.settings
            return IndexDescription(
                self._table.count, given.dimensions, given.measure, location, details
            )

    def digest(self) -> str:
        with self._reading():
            table, digest = self._table, hashlib.sha256()
            for key in sorted(table.row_of):
                row = table.row_of[key]
                own = table.tags_of(row)
                digest.update(json.dumps([key, own.packed() if own is not NO_TAGS else 0]).encode())
                digest.update(table.vectors[row].tobytes())
            return digest.hexdigest()

    # Writing

    def check(self, datapoints: Sequence[Datapoint]) -> list[VectorError]:
        with self._reading():
            kinds = dict(self._table.filters.kinds)
        return _check.checked(datapoints, self.settings.dimensions, kinds)[1]

    def upsert(self, datapoints: Sequence[Datapoint], mask: Collection[str]) -> None:
        with self._one_writer():
            kinds = self._table.filters.kinds
            if mask:
                batch, errors = masked(datapoints, mask, self._table)
            else:
                batch, errors = _check.checked(datapoints, self.settings.dimensions, kinds)
            if errors:
                raise errors[0]
            self._write(batch)

    def load(
        self,
        ids: Sequence[str],
        vectors: ArrayLike,
        restricts: Sequence[tuple[Restrict, ...]] | None,
        numeric_restricts: Sequence[tuple[NumericRestrict, ...]] | None,
        crowding_tags: Sequence[str] | None,
        texts: Sequence[str | None] | None,
    ) -> None:
        given = {
            "restricts": restricts,
            "numeric_restricts": numeric_restricts,
            "crowding_tag": crowding_tags,
            "text": texts,
        }
        with self._one_writer():
            kinds = self._table.filters.kinds
            self._write(_check.columns(ids, vectors, given, self.settings.dimensions, kinds))

    def _write(self, batch: Batch) -> None:
        if not batch.ids:
            return
        with self._whole():
            if self._folder:
                self._folder.write(batch)
            with self._lock.writing():
                table, start = self._table, self._table.rows
                table.backing.append(batch.vectors)
                dead = table.add(batch.ids, batch.tags)
                table.measure()
                self._engine.change(table, np.arange(start, table.rows), dead)
        self._maintain()

    def remove(self, ids: Sequence[str]) -> int:
        with self._one_writer():
            there = [key for key in dict.fromkeys(ids) if key in self._table.row_of]
            if there:
                with self._whole():
                    if self._folder:
                        self._folder.write_removal(there)
                    with self._lock.writing():
                        dead = self._table.drop(there)
                        self._engine.change(self._table, np.empty(0, np.intp), dead)
                self._maintain()
            return len(there)

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Close the index if a write is interrupted half-way: what it holds then is not known.

        In the folder such a write is there whole or not at all, as after a kill.
        """
        try:
            yield
        except VectorError:
            raise
        except BaseException:
            self._shut()
            raise

    # Upkeep

    def _maintain(self) -> None:
        """What a write may owe; searches go on. The write holds, even if this comes to nothing."""
        with suppress(VectorError):
            self._pay()

    def _pay(self) -> None:
        dead = self._table.rows - self._table.count
        if dead > max(self._table.count, _COMPACT_FROM):
            self._compact()
        if self._engine.useless(self._table):
            self._swap_tree(None)
        owed = self._engine.due(self._table) or self._engine.outgrown(self._table)
        if self._searched and owed:
            self._swap_tree(self._engine.built(self._table))
            self._engine.save()

    def prepare(self) -> None:
        with self._one_writer(readonly=True):
            if not self._engine.due(self._table):
                return
            if saved := self._engine.saved(self._table):
                self._swap_tree(saved)
                return
            self._swap_tree(self._engine.built(self._table))
            self._engine.save()

    def _swap_tree(self, tree: Tree | None) -> None:
        with self._lock.writing():
            self._engine.tree = tree

    def compact(self) -> None:
        with self._one_writer():
            if self._table.rows > self._table.count:
                self._compact()

    def _compact(self) -> None:
        """Copy the living rows into a table (and files) of their own, and let these count."""
        old, folder = self._table, self._folder
        rows = old.living()
        ids = [old.names[row] for row in rows.tolist()]
        batch = Batch(ids, np.ascontiguousarray(old.vectors[rows]), old.tags_at(rows.tolist()))
        written = folder.next_generation(batch) if folder else None
        backing = written[0] if written else Memory(self.settings.dimensions)
        if not written:
            backing.append(batch.vectors)
        table = Table(self._space, backing)
        table.add(ids, batch.tags)
        table.measure()
        if folder and written:
            folder.switch(*written)
        number_of = np.full(old.rows, -1, np.intp)
        number_of[rows] = np.arange(len(rows))
        with self._lock.writing():
            self._table = table
            self._engine.renumber(number_of)
        self._engine.save()

    def close(self) -> None:
        with self._turn:
            tree = self._engine.tree
            if not self._closed and tree is not None and tree.changes:
                self._engine.save()
            self._shut()

    def _shut(self) -> None:
        with self._lock.writing():
            if self._closed:
                return
            self._closed = True
            self._engine.tree = None
            self._table = Table(self._space, Memory(self.settings.dimensions))
            if self._folder:
                self._folder.close()


def _apply(table: Table, record: Record) -> None:
    """Do again what a record of the log says was done."""
    if isinstance(ids := record.get("ids"), list):
        tags = cast("dict[str, Packed]", record.get("tags", {}))
        table.add(ids, {int(place): unpacked(own) for place, own in tags.items()})
    elif isinstance(removed := record.get("remove"), list):
        table.drop(removed)
