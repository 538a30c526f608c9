"""Processes that are killed as often as one likes.

Each is forked from one that has imported what it needs: to import torch takes longer than to train.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

COMMAND = """
import sys
from harness.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""What the command `harness` does."""

_SERVER = """
import json, os, signal, sys, time, traceback

def live(code, arguments, folder, env):
    os.chdir(folder)
    os.environ.update(env)
    for name, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(env["LIFE"] + name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(env.get("LIFE_INPUT", os.devnull), os.O_RDONLY), 0)
    sys.argv = ["life", *arguments]
    sys.path.insert(0, folder)
    status = 0
    try:
        exec(compile(code, "<life>", "exec"), {"__name__": "__main__"})
    except SystemExit as stop:
        status = int(stop.code or 0)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    os._exit(status)

def ended(child, seconds, lines, out):
    until = time.monotonic() + (120 if lines else seconds)
    while time.monotonic() < until:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        if lines and open(out, "rb").read().count(b"\\n") >= lines:
            until, lines = time.monotonic() + seconds, 0
        time.sleep(0.0005)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]

def serve():
    for line in sys.stdin:
        *what, seconds, lines = json.loads(line)
        files = [what[-1]["LIFE"] + name for name in ("out", "err")]
        for file in files:
            open(file, "w").close()
        began, child = time.monotonic(), os.fork()
        if not child:
            live(*what)
        code = os.waitstatus_to_exitcode(ended(child, seconds, lines, files[0]))
        print(json.dumps([code, time.monotonic() - began]), flush=True)
"""


class Life(NamedTuple):
    """How a process ended: its exit code, -9 for one that was killed, and what it printed."""

    code: int
    seconds: float
    out: str
    err: str


class Lives:
    """Starts processes in a folder, one at a time, from one that has run `imports`."""

    def __init__(self, folder: Path, imports: str = "import harness.engine, pandas") -> None:
        self.folder = folder
        self._env = {"PYTHONPATH": str(ROOT), "LIFE": str(folder.parent / f"{folder.name}-life-")}
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", f"{_SERVER}\n{imports}\nserve()"]
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, env={**os.environ, **self._env}
        )

    def __enter__(self) -> Lives:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def live(
        self, code: str, *arguments: object, seconds: float = 120, lines: int = 0, **env: str
    ) -> Life:
        """Run Python in a process, and kill it so many seconds after it printed so many lines."""
        assert self._process.stdin
        assert self._process.stdout
        environment = {**os.environ, **self._env, **env}
        what = [code, [str(a) for a in arguments], str(self.folder), environment]
        print(json.dumps([*what, seconds, lines]), file=self._process.stdin, flush=True)
        status, took = json.loads(self._process.stdout.readline())
        told = (
            Path(self._env["LIFE"] + name).read_text(errors="replace") for name in ("out", "err")
        )
        return Life(status, took, *told)

    def usual(self, code: str, *arguments: object, **env: str) -> float:
        """How long it takes when nobody kills it; it must go well."""
        life = self.live(code, *arguments, seconds=120, lines=0, **env)
        assert life.code == 0, life.err
        return life.seconds
