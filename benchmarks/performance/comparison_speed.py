"""How long `harness compare` takes for a store of many scores, and how much memory.

    python benchmarks/performance/comparison_speed.py                    # 2 runs of 500,000
    python benchmarks/performance/comparison_speed.py --rows 1000000

The store is written first, in a temporary folder: some 600 bytes a row, random keys, as in life.
Then the command runs in a process of its own; its CPU seconds include its start.
"""

from __future__ import annotations

import argparse
import itertools
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from harness.fingerprint import digest
from harness.store import Store
from harness.store.schema import metadata, to_json

SCORER = digest("scorer")
TEXT = "An answer of a few words, as a small model gives it. " * 4


def write(file: Path, rows: int) -> None:
    """A store with two finished runs over the same samples; 1 % of the scores are missing."""
    Store(file).close()
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        samples = ((digest(["sample", i]), f"Question {i}?", '["yes"]', None) for i in range(rows))
        insert(connection, "samples", samples)
        for number in range(2):
            write_run(connection, number, rows)


def write_run(connection: sqlite3.Connection, number: int, rows: int) -> None:
    """One run of the store."""
    rng, now = random.Random(number), time.time() + number
    part = {"reference": "x", "fingerprint": SCORER}
    config = {
        "generator": {"label": f"model {number}", "fingerprint": digest(number)},
        "scorers": {"x": {"label": "x", **part}},
        "samples": "the same",
        "repeats": 1,
        "cluster": None,
    }
    run = digest(config)[:12]
    record = (run, f"run {number}", "finished", rows, to_json(config), "{}", now, now, now)
    insert(connection, "runs", [record])
    keys = [digest([number, i]) for i in range(rows)]
    order = sorted(range(rows), key=keys.__getitem__)
    completions = (
        (keys[i], digest(["sample", i]), "g", 0, TEXT, "stop", None, None, 0.1, None, now)
        for i in order
    )
    insert(connection, "completions", completions)
    insert(connection, "run_rows", ((run, i, f"sample {i}", "", k) for i, k in enumerate(keys)))
    nothing = (None,) * 3
    values = ((keys[i], rng.random() if rng.random() < 0.99 else None) for i in order)
    scores = (
        (key, SCORER, v, None, None, "timeout" if v is None else None, *nothing, now)
        for key, v in values
    )
    insert(connection, "scores", scores)


def insert(connection: sqlite3.Connection, table: str, rows: Iterable[tuple[object, ...]]) -> None:
    """Rows of a table, of as many of its first columns as they have values."""
    rows = iter(rows)
    first = next(rows)
    names = [column.name for column in metadata.tables[table].columns][: len(first)]
    places = ",".join("?" * len(names))
    statement = f"INSERT INTO {table} ({','.join(names)}) VALUES ({places})"
    connection.executemany(statement, itertools.chain([first], rows))


def main() -> None:
    """Write, compare, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000, help="rows of each of the two runs")
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "store.db"
        write(file, rows)
        command = [sys.executable, "-m", "harness", "compare", "--store", str(file)]
        began = time.perf_counter()
        subprocess.run([*command, "last~1", "last", "--fail-if", "x<0"], check=True)
        wall = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"\n2 x {rows:,} rows: {used.ru_utime + used.ru_stime:.1f} s CPU, {wall:.1f} s, "
        f"{used.ru_maxrss / 1024:.0f} MiB"
    )


if __name__ == "__main__":
    main()
