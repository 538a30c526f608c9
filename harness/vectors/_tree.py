"""ScaNN's tree of leaves with asymmetric hashing, over the rows of a table.

ScaNN numbers its points 0 to n - 1 and moves the last one into the place of a deleted one; which
row lies at which place is kept here, for its own wrapper looks that up too late to be safe beside
a writer. Where ScaNN finds less than it was asked for it pads with point 0 at the distance NaN.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import shutil
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.vectors._space import Places, Space, Vectors
from harness.vectors.settings import Problem, VectorError, VectorSettings

LEAST = 128
"""ScaNN needs some points to learn from."""

_HASH_DIMENSIONS = 2
_ANISOTROPY = 0.2
_MANIFEST = "manifest.json"
_ROWS = "rows.npy"
_STEP = 1 << 16
_ABSENT = -1


class _Searcher(Protocol):
    """ScaNN's own class, beneath its Python wrapper."""

    def search_batched(
        self, queries: Vectors, final: int, before: int, leaves: int, parallel: bool, batch: int
    ) -> tuple[NDArray[np.uint32], Vectors]: ...
    def upsert(
        self, places: Sequence[int | None], vectors: Sequence[Vectors], batch: int
    ) -> list[int]: ...
    def delete(self, places: Sequence[int]) -> list[int]: ...
    def serialize(self, folder: str, relative: bool) -> None: ...
    def size(self) -> int: ...
    def set_num_threads(self, threads: int) -> None: ...


@cache
def available() -> bool:
    """Whether ScaNN can be imported."""
    return importlib.util.find_spec("scann") is not None


class Tree:
    """A searcher over some rows of a table; writing to it needs it alone."""

    def __init__(self, searcher: _Searcher, rows: Places, leaves: int, built: int) -> None:
        self._searcher = searcher
        self._rows = rows.copy()
        self._count = len(rows)
        self._place_of: NDArray[np.int64] = np.empty(0, np.int64)
        self._index_places()
        self.leaves, self.built = leaves, built
        self.changes = 0

    def __len__(self) -> int:
        return self._count

    def _index_places(self) -> None:
        rows = self._rows[: self._count]
        self._place_of = np.full(int(rows.max(initial=-1)) + 1, _ABSENT, np.int64)
        self._place_of[rows] = np.arange(self._count)

    def search(self, queries: Vectors, k: int, before: int, fraction: float) -> Places:
        """The rows of the `k` nearest of each query, (q, k), -1 where there are fewer.

        `before` approximate neighbours are ranked by exact distance; `fraction` is the share of
        the leaves that is looked at.
        """
        leaves = min(self.leaves, max(1, round(fraction * self.leaves)))
        places, distances = self._searcher.search_batched(
            queries, k, max(before, k), leaves, False, 0
        )
        rows: Places = self._rows[places]
        rows[np.isnan(distances)] = _ABSENT
        return rows

    def add(self, rows: Places, vectors: Vectors) -> None:
        """Take up rows that are not here yet."""
        end = self._count + len(rows)
        if end > len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty(max(end, 1024), np.intp)])
        self._searcher.upsert([None] * len(rows), list(vectors), len(rows))
        self._rows[self._count : end] = rows
        top = int(rows.max(initial=-1)) + 1
        if top > len(self._place_of):
            spare = np.full(max(top, 1024), _ABSENT, np.int64)
            self._place_of = np.concatenate([self._place_of, spare])
        self._place_of[rows] = np.arange(self._count, end)
        self._count = end
        self.changes += len(rows)

    def delete(self, rows: Sequence[int]) -> None:
        """Drop rows; those that are not here do not matter."""
        places = []
        for row in rows:
            place = self._place(row)
            if place == _ABSENT:
                continue
            places.append(place)
            self._count -= 1
            moved = int(self._rows[self._count])
            self._rows[place] = moved
            self._place_of[moved] = place
            self._place_of[row] = _ABSENT
        if places:
            self._searcher.delete(places)
            self.changes += len(places)

    def _place(self, row: int) -> int:
        return int(self._place_of[row]) if row < len(self._place_of) else _ABSENT

    def renumber(self, number_of: Places) -> None:
        """Call each row by a new number; the others must be gone."""
        self._rows[: self._count] = number_of[self._rows[: self._count]]
        self._index_places()
        self.changes += 1

    def missing(self, living: Places) -> tuple[Places, Places]:
        """What to add and what to delete to hold exactly the living rows."""
        own = np.sort(self._rows[: self._count])
        add = np.setdiff1d(living, own, assume_unique=True)
        return add, np.setdiff1d(own, living, assume_unique=True)

    def save(self, folder: Path, identity: str) -> None:
        """Write it into a folder, which appears when it is complete."""
        temporary = folder.with_name(folder.name + ".tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        self._searcher.serialize(str(temporary), True)
        np.save(temporary / _ROWS, self._rows[: self._count])
        manifest = {"identity": identity, "leaves": self.leaves, "built": self.built}
        files = {path.name: _checksum(path) for path in sorted(temporary.iterdir())}
        (temporary / _MANIFEST).write_text(json.dumps({**manifest, "files": files}))
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
        self.changes = 0


def identity(settings: VectorSettings, generation: int) -> str:
    """What a saved tree must be of to be used."""
    from importlib.metadata import version

    kind = f"{settings.measure} {settings.normalise} {settings.dimensions} {settings.leaf_size}"
    return f"scann {version('scann')} {kind} {generation}"


def build(space: Space, vectors: Vectors, rows: Places, settings: VectorSettings) -> Tree:
    """Learn a tree over rows and their (comparable) vectors.

    Raises:
        VectorError: `NO_ENGINE`, if ScaNN cannot be imported, or refuses.
    """
    leaves = max(1, round(len(rows) / settings.leaf_size))
    distance = "squared_l2" if space.measure == "squared_l2" else "dot_product"
    anisotropy = _ANISOTROPY if distance == "dot_product" else float("nan")
    ops = _scann("scann.scann_ops.py.scann_ops_pybind")
    builder = ops.builder(vectors, 10, distance)
    builder = builder.tree(num_leaves=leaves, num_leaves_to_search=leaves)
    builder = builder.score_ah(
        min(_HASH_DIMENSIONS, space.dimensions), anisotropic_quantization_threshold=anisotropy
    )
    try:
        searcher = builder.reorder(settings.approximate_count).build().searcher
    except RuntimeError as error:
        raise VectorError(
            Problem.NO_ENGINE, f"ScaNN cannot build a tree: {error}; use engine=exact"
        ) from error
    return Tree(searcher, rows, leaves, len(rows))


def load(folder: Path, identity: str) -> Tree | None:
    """The tree that was saved in a folder; None if there is none, or it is damaged or another's."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
        if manifest["identity"] != identity:
            return None
        if any(_checksum(folder / name) != crc for name, crc in manifest["files"].items()):
            return None
        rows: Places = np.load(folder / _ROWS, allow_pickle=False)
        ops = _scann("scann.scann_ops.py.scann_ops_pybind")
        searcher: _Searcher = ops.load_searcher(str(folder)).searcher
        if searcher.size() != len(rows):
            return None
        return Tree(searcher, rows, manifest["leaves"], manifest["built"])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return None


def _checksum(path: Path) -> int:
    crc = 0
    with path.open("rb") as handle:
        while chunk := handle.read(1 << 20):
            crc = zlib.crc32(chunk, crc)
    return crc


class _Builder(Protocol):
    def tree(self, *, num_leaves: int, num_leaves_to_search: int) -> _Builder: ...
    def score_ah(
        self, dimensions: int, *, anisotropic_quantization_threshold: float
    ) -> _Builder: ...
    def reorder(self, count: int) -> _Builder: ...
    def build(self) -> _Wrapper: ...


class _Wrapper(Protocol):
    searcher: _Searcher


class _Ops(Protocol):
    def builder(self, vectors: Vectors, k: int, distance: str) -> _Builder: ...
    def load_searcher(self, folder: str) -> _Wrapper: ...


def _scann(name: str) -> _Ops:
    try:
        importlib.import_module("scann")
        module: _Ops = importlib.import_module(name)
    except ImportError as error:
        raise VectorError(
            Problem.NO_ENGINE,
            f"the approximate engine needs ScaNN (Linux): {error}; "
            "pip install 'samescore[scann]', or use engine=exact",
        ) from error
    return module
