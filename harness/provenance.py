"""Where a run came from: code, packages, machine and command, so that it can be made again."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata


def provenance() -> dict[str, object]:
    """Git commit and dirtiness of the working directory, package versions, machine, command."""
    return {
        "git": _git(),
        "packages": _versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "command": [os.path.basename(sys.argv[0]), *sys.argv[1:]],  # noqa: PTH119 - argv is text
    }


def _git() -> dict[str, object] | None:
    commit = _run("git", "rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "dirty": bool(_run("git", "status", "--porcelain", "-uno"))}


def _run(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _versions() -> dict[str, str]:
    """The distributions that are imported by now: those are what can have made a result."""
    modules = {name.partition(".")[0] for name in list(sys.modules)}
    owners = _owners()
    names = {owner for module in modules for owner in owners.get(module, ())}
    return {name: metadata.version(name) for name in sorted(names, key=str.lower)}


@functools.cache
def _owners() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()
