"""llama.cpp's server in a process of its own, which ends with this one."""

from __future__ import annotations

import asyncio
import atexit
import functools
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from harness import HarnessError
from harness.calls.loop import hop

_POLL_S = 0.02
_END_S = 3.0
_LOOPBACK = "127.0.0.1"
_LOGGED = re.compile(r"^[\d.]+ E (.+)$", re.MULTILINE)
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Serving:
    """What a server serves: a GGUF file under a name, and how it computes."""

    path: str
    name: str
    context: int
    slots: int
    threads: int


@functools.cache
def server_of(serving: Serving) -> Server:
    """The one server of this process for a model that is served so."""
    server = Server(serving)
    atexit.register(server.stop)
    return server


class Server:
    """A server that starts when it is first needed, and again if it has died.

    Its port is taken when this object is made and held until `stop`, so that the address stands
    before anything is started.
    """

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._held, self._shared = _taken_port()
        self._port = int(self._held.getsockname()[1])
        if not self._shared:
            self._held.close()
        self._child: _Child | None = None
        self._starting = asyncio.Lock()
        self._owner = os.getpid()

    @property
    def address(self) -> str:
        """Where it serves, or will."""
        return f"http://{_LOOPBACK}:{self._port}/v1"

    async def up(self) -> None:
        """Return when it serves; starts it unless it does.

        Raises:
            HarnessError: if it cannot start, with what llama.cpp says.
        """
        if self._child is None or not self._child.serves:
            await hop(self._start())

    def stop(self) -> None:
        """End the process, and give the port back."""
        self._held.close()
        child, self._child = self._child, None
        if child is not None and os.getpid() == self._owner:  # the end of a fork is not ours
            child.end()

    async def _start(self) -> None:
        async with self._starting:
            if self._child is not None and self._child.ended:
                self._child.end()
                self._child = None
            if self._child is None:
                self._child = _Child(self._serving, self._port, self._shared)
            child = self._child  # one that loads since before an interruption goes on
            if not await child.ready():
                raise HarnessError(f"local: {self._serving.path} cannot be served: {child.why()}")


class _Child:
    """The process, and what it logs."""

    def __init__(self, serving: Serving, port: int, shared_port: bool) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the process)
        config = {**asdict(serving), "port": port, "shared_port": shared_port}
        script = Path(__file__).with_name("_serving.py")
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(script), json.dumps(config)],
            env={"OMP_WAIT_POLICY": "passive", **os.environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is for us: replies under way are still wanted
        )
        self._told = False

    @property
    def ended(self) -> bool:
        """Whether the process is no more."""
        return self._process.poll() is not None

    @property
    def serves(self) -> bool:
        """Whether requests are answered."""
        return self._told and not self.ended

    async def ready(self) -> bool:
        """Wait until it serves; False if it ends before."""
        told = self._process.stdout
        assert told is not None
        os.set_blocking(told.fileno(), False)
        while not self._told and not self.ended:
            self._told = bool(told.read())
            await asyncio.sleep(0 if self._told else _POLL_S)
        return self.serves

    def why(self) -> str:
        """What it said before it ended: the first error, or else the last line."""
        self._log.seek(0)
        text = self._log.read().decode("utf-8", "replace").strip()
        errors = _LOGGED.findall(text)
        said = errors[0] if errors else text.rpartition("\n")[2]
        return " ".join(said.split())[:_SHOWN] or f"it ended with code {self._process.returncode}"

    def end(self) -> None:
        """Let it end, by force if need be."""
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _taken_port() -> tuple[socket.socket, bool]:
    """A free port of loopback, bound; and whether the server can bind it beside us."""
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    shared = hasattr(socket, "SO_REUSEPORT")
    try:
        if shared:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((_LOOPBACK, 0))
    except OSError as error:
        held.close()
        raise HarnessError(f"local: no port of {_LOOPBACK} can be had: {error}") from error
    return held, shared
