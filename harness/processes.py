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


def writing_to(database: Path) -> list[str]:
    """The processes that write to a SQLite file in WAL mode now, where the system tells."""
    try:
        inode = str(Path(f"{database}-shm").stat().st_ino)
        locks = (_PROC / "locks").read_text("ascii").splitlines()
    except OSError:
        return []
    fields = [line.split() for line in locks]
    # As "1: POSIX ADVISORY WRITE 4242 00:2a:77 120 120"; byte 120 is the writer's.
    found = [
        f[4] for f in fields if f[3] == "WRITE" and f[5].endswith(f":{inode}") and f[6] == "120"
    ]
    return [f"process {pid}{_command(pid)}" for pid in found]


def _command(pid: str) -> str:
    try:
        told = (_PROC / pid / "cmdline").read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""
    return f" ({' '.join(told.split(chr(0)))[:60].strip()})"


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
