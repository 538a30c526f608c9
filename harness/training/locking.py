"""One training at a time for an output folder."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from harness.errors import HarnessError


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a folder, in this process and in all of this machine.

    The folder itself is locked, so nothing is left in it, and a killed process holds nothing.
    Where a system or a network drive has no such lock there is none.

    Raises:
        HarnessError: if a training writes to it now.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            os.close(descriptor)
            raise HarnessError(
                f"another training writes to {folder} now; wait for it, or name another output"
            ) from error
    try:
        yield
    finally:
        os.close(descriptor)
