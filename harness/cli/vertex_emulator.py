"""`harness vertex-emulator`: a Vertex AI Vector Search on this machine."""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
from argparse import SUPPRESS
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.cli._types import Commands


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "vertex-emulator",
        help="serve Vertex AI Vector Search on this machine",
        description="Serve Vertex AI Vector Search on loopback until SIGINT or SIGTERM. "
        "When it is ready it prints one line of JSON: address, tls_address, ca_file, private, pid.",
        argument_default=SUPPRESS,
    )
    add = parser.add_argument
    add("--port", type=int, metavar="N", help="port of 127.0.0.1 (0: a free one)")
    add("--tls", action="store_true", help="serve TLS too, for the SDK's high-level classes")
    add("--tls-port", type=int, metavar="N", help="port for TLS (0: a free one)")
    add("--private-port", type=int, metavar="N", help="port of private endpoints (10000)")
    add("--data-dir", metavar="DIR", help="where everything is kept (default: in memory)")
    add("--bucket", action="append", dest="buckets", metavar="NAME=DIR", help="what gs://NAME is")
    add("--lro-delay", type=float, metavar="S", help="seconds that operations take at least")
    add("--visibility-lag", type=float, metavar="S", help="seconds until searches see a write")
    add(
        "--fail", action="append", metavar="[METHOD:]CODE=RATE",
        help="share of calls that fail with a code, as UNAVAILABLE=0.05; may be given again",
    )  # fmt: skip
    add("--dot-sign", type=int, choices=(1, -1), help="sign of dot products on the wire (1)")
    add("--max-upsert", type=int, metavar="N", help="datapoints in one upsert (1000)")
    add("--max-neighbors", type=int, metavar="N", help="neighbours of one query (1000)")
    add("--seed", type=int, metavar="N", help="which calls fail")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    from dataclasses import fields

    from harness.testing.vertex import VertexEmulatorSettings, vertex_emulator
    from harness.vectors.blas import one_thread

    # gRPC's older listener answers 0.04 ms sooner; this is read when gRPC is loaded.
    os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
    names = [field.name for field in fields(VertexEmulatorSettings)]
    given = {name: value for name, value in vars(options).items() if name in names}
    given.update({k: tuple(v) for k, v in given.items() if isinstance(v, list)})
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    # Held all the time here, so that no search has to take and give back threads.
    with one_thread(), vertex_emulator(**given) as emulator:
        ready = {
            "address": emulator.address,
            "tls_address": emulator.tls_address,
            "ca_file": emulator.ca_file,
            "private": dict(emulator.private),
            "pid": os.getpid(),
        }
        print(json.dumps(ready), flush=True)
        while not stop.wait(60):  # a wait without end would hold signals back on Windows
            pass
    return 0
