"""What the wire adds to a search: the emulator of Vertex AI Vector Search in a process of its own.

    python benchmarks/performance/wire.py

One query after another over one channel, 10 neighbours of 1,000 vectors of 50 dimensions. The
floor is a gRPC call of the same bytes that does nothing. Every query is asked in all ways in turn,
so a search in this process finds the processor's caches as a server finds them, and what else the
machine does falls on all alike. "Over the search" is the median of each query's difference.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import ExitStack, contextmanager

import grpc
import numpy as np

import harness_vertex
from harness import Query
from harness.datapoints import Datapoint
from harness.indexing import IndexSpec
from harness.vectors import VectorIndex, VectorSettings

COUNT, DIMENSIONS, K = 1_000, 50, 10
ROUNDS, CALLS = 15, 200
_METHOD = "/floor.Echo/Echo"


def main() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((COUNT, DIMENSIONS)).astype(np.float32)
    points = [Datapoint(f"i{number}", vector) for number, vector in enumerate(vectors)]
    queries = [Query(vector=vector) for vector in vectors[:CALLS]]
    with ExitStack() as stack:
        ways = {"in this process": embedded(points), "gRPC alone": stack.enter_context(floor())}
        address = stack.enter_context(emulator())
        for via, network in (("private", "projects/1/global/networks/vpc"), ("public", "public")):
            ways[via] = served(address, via, network, points)
        report(measure(ways, queries))


def measure(
    ways: dict[str, Callable[[Query], object]], queries: list[Query]
) -> dict[str, list[float]]:
    """Seconds of every call, by way; the first round warms up and does not count."""
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(ROUNDS + 1):
        for query in queries:
            for way, ask in ways.items():
                began = time.perf_counter()
                ask(query)
                if number:
                    taken[way].append(time.perf_counter() - began)
    return taken


def report(taken: dict[str, list[float]]) -> None:
    print(f"{K} of {COUNT:,} x {DIMENSIONS}      p50 ms  p95 ms   over the search itself, p50 ms")
    search = np.array(taken["in this process"])
    for way, seconds in taken.items():
        p50, p95 = np.percentile(seconds, [50, 95]) * 1e3
        over = np.median(np.array(seconds) - search) * 1e3
        print(f"{way:<22} {p50:7.2f} {p95:7.2f}   {over:7.2f}")


def embedded(points: list[Datapoint]) -> Callable[[Query], object]:
    """A search without any wire."""
    index = VectorIndex(VectorSettings(DIMENSIONS))
    index.upsert(points)
    return lambda query: index.search([query], k=K)


def served(
    address: str, via: str, network: str, points: list[Datapoint]
) -> Callable[[Query], object]:
    """The same by the emulator; the plugin's client asks it."""
    settings = harness_vertex.VertexSettings(
        address=address, index=f"bench-{via}", network=network, encoder=None
    )
    index = harness_vertex.build(settings)
    index.create(IndexSpec(DIMENSIONS))
    index.serve()
    index.upsert(points)
    return lambda query: index.search([query], k=K)


@contextmanager
def emulator() -> Iterator[str]:
    """The address of an emulator in a process of its own."""
    command = [sys.executable, "-m", "harness", "vertex-emulator"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["address"]
        finally:
            process.terminate()


@contextmanager
def floor() -> Iterator[Callable[[Query], object]]:
    """A server in a process of its own that sends back as many bytes as it is told."""
    with subprocess.Popen([sys.executable, __file__, "--floor"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with grpc.insecure_channel(process.stdout.readline().decode().strip()) as channel:
            call = channel.unary_unary(_METHOD)
            asked = bytes(4 * DIMENSIONS)
            yield lambda query: call(asked)
        process.terminate()


def serve_floor() -> None:
    """Print the address, and answer until terminated."""
    handler = grpc.unary_unary_rpc_method_handler(lambda request, context: request)
    service = grpc.method_handlers_generic_handler("floor.Echo", {"Echo": handler})
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    serve_floor() if "--floor" in sys.argv else main()
