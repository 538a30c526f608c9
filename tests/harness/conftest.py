"""Processes that start at once: most of what a short command takes is to import libraries."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.testing import installed
from harness.testing.postgresql import PostgresServer

_LAUNCHER = """
import json, os, runpy, sys, traceback
import pandas, pytest, rich.console, rich.table, scipy.stats, sqlalchemy
import sqlalchemy.dialects.postgresql, sqlalchemy.dialects.sqlite

def run(folder, env, module, arguments):
    os.chdir(folder)
    os.environ.update(env)
    for name, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(env["LAUNCHED"] + name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.argv = [module, *arguments]
    sys.path.insert(0, folder)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        return int(stop.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
    return 0

for line in sys.stdin:
    child = os.fork()
    if not child:
        os._exit(run(*json.loads(line)))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Launcher:
    """Runs `python -m MODULE ARGUMENTS`, each in a process of its own, forked from one.

    That one has imported the libraries that the core needs, and nothing of the core.
    """

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", _LAUNCHER]
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def run(self, folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a module in a folder, in the environment of the test as it is now."""
        assert self._process.stdin
        assert self._process.stdout
        files = folder.parent / f"{folder.name}-"
        env = {**os.environ, "LAUNCHED": str(files)}
        request = json.dumps([str(folder), env, module, arguments])
        print(request, file=self._process.stdin, flush=True)
        code = int(self._process.stdout.readline())
        out, err = (Path(f"{files}{name}").read_text() for name in ("out", "err"))
        return subprocess.CompletedProcess(arguments, code, out, err)

    def close(self) -> None:
        """Let the process end."""
        self._process.communicate()


@pytest.fixture(scope="session")
def launcher() -> Iterator[Launcher]:
    """Starts up once, and then a process a command."""
    started = Launcher()
    yield started
    started.close()


@pytest.fixture
def toy() -> Iterator[None]:
    """The plugin of toy.py, installed."""
    spec = importlib.util.spec_from_file_location("toy", Path(__file__).with_name("toy.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "toy", module)  # dataclasses look it up
        spec.loader.exec_module(module)
        with installed(module):
            yield


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that is not made yet, in each kind of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'here.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()
