"""Where a run came from: code, packages, machine and command, so that it can be made again."""

from __future__ import annotations

import contextlib
import functools
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from harness.store.database import without_password


def provenance(distributions: Iterable[str] = ()) -> dict[str, object]:
    """Git commit and dirtiness of the working directory, versions, machine and command.

    `distributions` are those of the plugins: their versions and those of what they require
    are what a result can hang on.
    """
    return {
        "git": _git(),
        "packages": _versions(tuple(sorted(set(distributions)))),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "command": [Path(sys.argv[0]).name, *map(without_password, sys.argv[1:])],
    }


def _git() -> dict[str, object] | None:
    commit = _run("git", "rev-parse", "HEAD")
    if commit is None:
        return None
    changed = _run("git", "status", "--porcelain", "-uno")
    return {"commit": commit, "dirty": None if changed is None else bool(changed)}


def _run(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@functools.cache
def _versions(distributions: tuple[str, ...]) -> dict[str, str]:
    """The versions of distributions and of all that they require, extras too, where installed."""
    from packaging.requirements import Requirement

    names = {*distributions, "samescore"}
    for distribution in tuple(names):
        with contextlib.suppress(metadata.PackageNotFoundError):
            required = metadata.requires(distribution) or ()
            names.update(Requirement(text).name for text in required)
    found: dict[str, str] = {}
    for name in sorted(names, key=str.lower):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
