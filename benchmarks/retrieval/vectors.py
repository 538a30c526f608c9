"""Vectors to measure an index with: clustered Gaussians, or real word vectors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness import Datapoint, Query, Restrict

Matrix = NDArray[np.float32]
SHARES = {"all": 1.0, "50%": 0.5, "10%": 0.1, "1%": 0.01, "0.1%": 0.001}
"""The filters: which share of the datapoints passes each, on average."""

_CLUSTERS = 200


class Data(NamedTuple):
    """Unit vectors to index, and queries that are not among them."""

    name: str
    vectors: Matrix
    queries: Matrix

    def datapoints(self) -> list[Datapoint]:
        """The vectors with their restricts: one token for each of the filters that they pass."""
        marks = np.random.default_rng(1).random(len(self.vectors)).tolist()
        rows = zip(self.vectors, marks, strict=True)
        return [
            Datapoint(f"v{n}", vector, None, tags(mark)) for n, (vector, mark) in enumerate(rows)
        ]


def tags(mark: float) -> tuple[Restrict, ...]:
    """The restrict of a datapoint whose mark, from 0 to 1, is below some of the shares."""
    return (Restrict("share", tuple(name for name, share in SHARES.items() if mark < share)),)


def query(vector: Matrix, share: str = "all", fraction: float | None = None) -> Query:
    """A query that only this share passes; "all" has no filter."""
    restricts = () if share == "all" else (Restrict("share", (share,)),)
    return Query(vector=vector, restricts=restricts, leaves_fraction=fraction)


def clustered(rows: int, dimensions: int = 32, queries: int = 200) -> Data:
    """Unit vectors around centres, of which a few are much more common than most."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((_CLUSTERS, dimensions)).astype(np.float32)
    shares = np.arange(1, _CLUSTERS + 1) ** -0.8
    which = rng.choice(_CLUSTERS, rows + queries, p=shares / shares.sum())
    vectors = centres[which] + 0.8 * rng.standard_normal((len(which), dimensions)).astype(
        np.float32
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Data(f"clustered {rows:,} x {dimensions}", vectors[:rows], vectors[rows:])


def glove(rows: int | None = None, queries: int = 1000) -> Data:
    """Word vectors of GloVe, of length 1; HarnessError if they have not been fetched."""
    from harness.models import find, locate

    vectors = np.load(locate(find("glove")) / "glove_6B_50d_emb.npy")
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    held = np.random.default_rng(0).choice(len(vectors), queries, replace=False)
    kept = np.delete(vectors, held, axis=0)[:rows]
    return Data(f"GloVe 6B, {len(kept):,} x {kept.shape[1]}", kept, vectors[held])
