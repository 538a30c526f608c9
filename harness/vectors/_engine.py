"""The approximate engine of an index: when it is worth while, and how its tree comes and is kept.

Nothing here locks. Only `change` and `renumber` alter a tree that searches use, and want it alone.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from harness.vectors import _tree
from harness.vectors._folder import Folder
from harness.vectors._space import Places
from harness.vectors._table import Table
from harness.vectors._tree import Tree
from harness.vectors.settings import Problem, VectorError, VectorSettings

_STEP = 1 << 16
_GROWTH = 2


def check_engine(settings: VectorSettings) -> None:
    """Raise VectorError `SETTINGS` or `NO_ENGINE` if the engine asked for cannot be had."""
    if settings.engine != "scann":
        return
    if settings.measure == "l1":
        raise VectorError(
            Problem.SETTINGS, "ScaNN has no measure l1; use engine=exact, or another measure"
        )
    if not _tree.available():
        raise VectorError(
            Problem.NO_ENGINE,
            "engine=scann needs ScaNN (Linux): pip install 'samescore[scann]', or use engine=exact",
        )


@dataclass(slots=True)
class Engine:
    """The tree of an index, if it has one; `folder` may keep a copy of it."""

    settings: VectorSettings
    folder: Folder | None
    tree: Tree | None = None

    @property
    def approximate(self) -> bool:
        """Whether ScaNN may be used at all."""
        if self.settings.engine == "exact" or self.settings.measure == "l1":
            return False
        return _tree.available()

    def worth(self, table: Table) -> bool:
        """Whether the rows of a table are many enough for a tree, and safe to give to ScaNN.

        It ends the process where a sum overflows.
        """
        least = max(self.settings.exact_below, _tree.LEAST)
        return table.count >= least and table.extent.tame and self.approximate

    def usable(self, table: Table) -> Tree | None:
        """The tree, if this table is to be searched by it."""
        return self.tree if self.worth(table) else None

    def due(self, table: Table) -> bool:
        """Whether a search wants a tree, and there is none."""
        return self.tree is None and self.worth(table)

    def outgrown(self, table: Table) -> bool:
        """Whether the tree has too few leaves for what was added."""
        return self.tree is not None and table.count >= _GROWTH * self.tree.built

    def useless(self, table: Table) -> bool:
        """Whether there is so little left that the tree need not be kept for better times."""
        return self.tree is not None and 2 * table.count < self.settings.exact_below

    def built(self, table: Table) -> Tree:
        """A tree over the living rows.

        Raises:
            VectorError: `NO_ENGINE`.
        """
        rows = table.living()
        return _tree.build(table.space, table.unit_vectors(rows), rows, self.settings)

    def saved(self, table: Table) -> Tree | None:
        """The tree that lies in the folder, brought up to date; None if it is too old."""
        if self.folder is None:
            return None
        tree = _tree.load(self.folder.tree_path, self._identity())
        if tree is None or table.count >= _GROWTH * tree.built:
            return None
        try:
            rows, dead = tree.missing(table.living())
            tree.delete(dead.tolist())
            _put(tree, table, rows)
        except RuntimeError:
            return None
        return tree

    def change(self, table: Table, rows: Places, dead: list[int]) -> None:
        """Let the tree follow a write."""
        if self.tree is None:
            return
        if not table.extent.tame:
            self.tree = None
            return
        try:
            _put(self.tree, table, rows)
            self.tree.delete(dead)
        except RuntimeError:  # ScaNN's own; what the tree holds now is not known
            self.tree = None

    def renumber(self, number_of: Places) -> None:
        """Let the tree follow a compaction."""
        if self.tree is not None:
            self.tree.renumber(number_of)

    def save(self) -> None:
        """Keep the tree beside the index; a disk that cannot take it costs a build, no more."""
        if self.folder is None or self.folder.readonly or self.tree is None:
            return
        with suppress(OSError, RuntimeError):
            self.tree.save(self.folder.tree_path, self._identity())

    def _identity(self) -> str:
        return _tree.identity(self.settings, self.folder.generation if self.folder else 0)


def _put(tree: Tree, table: Table, rows: Places) -> None:
    for start in range(0, len(rows), _STEP):
        part = np.asarray(rows[start : start + _STEP])
        tree.add(part, table.unit_vectors(part))
