"""How long the pages of `harness view` take, on a store with a million scored samples.

    python benchmarks/performance/viewing.py                  # a store in a temporary folder
    python benchmarks/performance/viewing.py --rows 20000 --store /tmp/view.db

The store holds two runs of so many rows each, two scorers a run. Every page is asked for until
nothing is read behind it any more; `first` is the slowest answer meanwhile, `then` the median of
seven after. Times are the server's, without the network.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from starlette.types import ASGIApp, Message, Scope

from harness.store import Store
from harness.store.schema import RunRecord
from harness.viewer.app import application

_TEXT = "the river rises in hills above town and a flood took two arches of stone"
_WORDS = _TEXT.split()
_AT_ONCE = 20_000
RUNS = ("aaaa00000001", "bbbb00000002")


def config(model: str) -> dict[str, object]:
    """A run's settings: two scorers over one data set."""
    generator = {"label": model, "name": model, "fingerprint": model}
    scorers = {name: {"name": name, "fingerprint": f"fp-{name}"} for name in ("f1", "judge")}
    return {"generator": generator, "scorers": scorers, "samples": "one", "repeats": 1}


def samples(rows: int) -> Iterator[tuple[str, str, str, None]]:
    """The content of each sample: a prompt of some words, one reference."""
    rng = np.random.default_rng(1)
    for i in range(rows):
        words = " ".join(_WORDS[j] for j in rng.integers(0, len(_WORDS), 12))
        yield f"s{i:08d}", f"Question {i}: {words}?", json.dumps([words]), None


def fill(file: Path, rows: int) -> None:
    """Write the store; rows go in by key, which is the fastest."""
    now = time.time()
    with Store(file) as store:
        for place, run in enumerate(RUNS):
            name = f"million::bench[{place}]"
            record = RunRecord(run, name, "running", rows, config(f"model-{place}"), {}, now)
            store.begin(record, {"g": {"name": "g"}})
            store.finish(run, "finished")
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.executemany("INSERT INTO samples VALUES (?,?,?,?)", samples(rows))
        for place in range(len(RUNS)):
            for start in range(0, rows, _AT_ONCE):
                _fill_some(connection, place, range(start, min(rows, start + _AT_ONCE)), now)
    connection.close()


def _fill_some(connection: sqlite3.Connection, place: int, some: range, now: float) -> None:
    rng = np.random.default_rng([place, some.start])
    values = rng.beta(5, 2 + place / 10, (len(some), 2)).round(4).tolist()
    keys = [f"{place}{i * 2654435761 % 2**32:08x}" for i in some]
    made = [
        (key, f"s{i:08d}", "g", 0, f"Answer {i}: {_WORDS[i % 15]} {_WORDS[i % 7]} {_WORDS[i % 11]}")
        for key, i in zip(keys, some, strict=True)
    ]
    names = "key, sample, generator, attempt, text, finish, created"
    connection.executemany(
        f"INSERT INTO completions ({names}) VALUES (?,?,?,?,?,'stop',{now})", made
    )
    names = "completion, scorer, value, unscored, created"
    for column, name in enumerate(("f1", "judge")):
        scored = [
            (key, f"fp-{name}", None if i % 100 == 7 and column else value[column],
             "timeout" if i % 100 == 7 and column else None)
            for key, i, value in zip(keys, some, values, strict=True)
        ]  # fmt: skip
        connection.executemany(f"INSERT INTO scores ({names}) VALUES (?,?,?,?,{now})", scored)
    placed = [(RUNS[place], i, f"q{i}", "", key) for key, i in zip(keys, some, strict=True)]
    connection.executemany("INSERT INTO run_rows VALUES (?,?,?,?,?)", placed)


def answered(app: ASGIApp, address: str) -> tuple[int, bytes]:
    """The status and the body of an answer, asked for without a network."""
    path, _, query = address.partition("?")
    scope: Scope = {
        "type": "http", "method": "GET", "path": path, "query_string": query.encode(),
        "headers": [(b"host", b"localhost")], "http_version": "1.1", "scheme": "http",
        "raw_path": path.encode(), "root_path": "", "server": ("localhost", 80),
    }  # fmt: skip
    status, body = 0, bytearray()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)
        body.extend(message.get("body", b""))

    async def answer() -> None:
        await app(scope, receive, send)

    asyncio.run(answer())
    return status, bytes(body)


def timed(app: ASGIApp, address: str) -> tuple[float, float, float]:
    """The slowest answer while something is read behind the page, that time, the median after."""
    begun, slowest = time.perf_counter(), 0.0
    while True:
        start = time.perf_counter()
        status, body = answered(app, address)
        slowest = max(slowest, time.perf_counter() - start)
        if status not in (200, 503):
            raise SystemExit(f"{address}: {status}\n{body.decode()[-800:]}")
        if b" data-live" not in body:
            break
        time.sleep(0.2)
    whole, after = time.perf_counter() - begun, []
    for _ in range(7):
        start = time.perf_counter()
        answered(app, address)
        after.append(time.perf_counter() - start)
    return slowest, whole, statistics.median(after)


PAGES = (
    "/",
    "/runs/{a}",
    "/runs/{a}/samples",
    "/runs/{a}/samples?page=19000",
    "/runs/{a}/samples?scorer=f1&sort=score",
    "/runs/{a}/samples?scorer=judge&low=0.2&high=0.3&sort=-score&page=300",
    "/runs/{a}/samples?scorer=judge&unscored=timeout",
    "/runs/{a}/samples?q=Question+77777",
    "/runs/{a}/samples?q=nowhere",
    "/runs/{a}/samples?q=flood+took&scorer=f1&sort=score&low=0.5",
    "/runs/{a}/samples/500000",
    "/runs/{a}/samples/500000?scorer=f1&sort=score",
    "/compare?a={a}&b={b}",
    "/compare?a={a}&b={b}&scorer=judge&only=worse&page=999",
    "/compare/12345?a={a}&b={b}",
    "/live",
)


def main() -> None:
    """Print a line a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--store", help="a store that this script has filled before, or is to fill")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(options.store or Path(folder) / "store.db")
        if not file.exists():
            fill(file, options.rows)
        app = application(str(file))
        print(f"{'page':<72}{'first ms':>9}{'read s':>8}{'then ms':>9}")
        for page in PAGES:
            first, read, then = timed(app, page.format(a=RUNS[0], b=RUNS[1]))
            print(f"{page:<72}{1e3 * first:9.0f}{read:8.1f}{1e3 * then:9.0f}", flush=True)


if __name__ == "__main__":
    main()
