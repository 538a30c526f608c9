"""The process that serves a model: llama.cpp's own server, until the parent ends.

It is a process of its own because llama.cpp takes over the signals of the one that it is in, holds
Python's lock while it loads, and ends the process where it cannot go on.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import TypedDict

_ERRORS_ONLY = 1
_LOOKS_EVERY_S = 1.0


class Config(TypedDict):
    """What is served: the file, its name, where, and how."""

    path: str
    name: str
    port: int
    shared_port: bool
    context: int
    slots: int
    threads: int


def main() -> None:
    """Serve what the first argument says, and write a line to stdout once that is so."""
    parent = os.getppid()
    told = os.dup(1)
    os.dup2(2, 1)  # what libraries print is for the log
    config: Config = json.loads(sys.argv[1])
    try:
        _held = _serve(config)  # serves for as long as it is
    except RuntimeError as error:  # llama.cpp has logged why
        sys.exit(str(error))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # llama.cpp's handler would leave a dead server
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.write(told, b"ready\n")
    _wait_for_the_end(parent)
    os._exit(0)  # at once: a request under way is nobody's any more


def _serve(config: Config) -> object:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = config["path"]
    params.model_alias = {config["name"]}
    params.hostnames, params.port = ["127.0.0.1"], config["port"]
    params.reuse_port = config["shared_port"]
    params.n_parallel = config["slots"]
    params.n_ctx = config["context"] * config["slots"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = config["threads"]
    # With flash attention a prompt's bits hang on how much of it was cached from the last one.
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.cache_ram_mib = 0  # else every prompt's state is kept, up to 8 GiB
    params.fit_params = params.warmup = False
    params.ui = params.endpoint_slots = False
    params.offline = True
    params.verbosity = _ERRORS_ONLY
    return xllamacpp.Server(params)


def _wait_for_the_end(parent: int) -> None:
    """Return when stdin is closed, or the parent is gone though a fork of it holds stdin open."""
    closed = threading.Event()

    def watch() -> None:
        sys.stdin.buffer.read()
        closed.set()

    threading.Thread(target=watch, daemon=True).start()
    while not closed.wait(_LOOKS_EVERY_S) and os.getppid() == parent:
        pass


if __name__ == "__main__":
    main()
