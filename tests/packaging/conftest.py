"""The distributions as they are published: the sdist, and the wheel that is made of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

PROJECT = Path(__file__).parents[2]


class Distributions(NamedTuple):
    """The two files that a release consists of."""

    sdist: Path
    wheel: Path


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """Without `-w` and `-s`, `build` makes the wheel from what is in the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "-n", "-o", str(folder), str(PROJECT))
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Distributions(sdist, wheel)


@pytest.fixture(scope="session")
def install(
    distributions: Distributions, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Make an environment with the wheel and some of its extras; gives its Python."""

    def environment(extras: str = "", python: str = sys.executable) -> Path:
        venv = tmp_path_factory.mktemp("venv")
        run(python, "-m", "venv", str(venv))
        made = venv / "bin" / "python"
        wanted = f"{distributions.wheel}[{extras}]" if extras else str(distributions.wheel)
        constraints = str(PROJECT / "constraints.txt")
        run(str(made), "-m", "pip", "install", "-q", "-c", constraints, wanted)
        return made

    return environment


def run(*command: str, cwd: Path | None = None, **env: str) -> str:
    """What a command prints; it must go well, and finds no package but by being installed."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=cwd, env={**clean, **env}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
