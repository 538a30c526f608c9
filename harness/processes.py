"""Whether a process that wrote down who it was is still there."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

_PROC = Path("/proc")


def this_process() -> str:
    """Who this process is, in a text that `is_gone` reads."""
    pid = os.getpid()
    return json.dumps({"host": _host(), "boot": _boot(), "pid": pid, "started": _started(pid)})


def is_gone(process: str) -> bool:
    """Whether a process has ended; False where that cannot be known, as of another machine."""
    was = json.loads(process)
    if was["host"] != _host():
        return False
    return bool(was["boot"] != _boot() or _ended(was["pid"], was["started"]))


def _ended(pid: int, started: str) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is another user's
        pass
    return _started(pid) != started


def _host() -> str:
    """This machine, or the container: numbers of processes are its own."""
    try:
        return f"{platform.node()} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return platform.node()


def _boot() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When a process began, as numbers are given anew; a zombie's is another one."""
    try:
        told = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return ""
    fields = told.rpartition(")")[2].split()
    return "ended" if fields[0] in "ZX" else fields[19]
