"""Matrix products on one thread: the threads of a BLAS cost small products far more than they give.

A product of some thousand rows takes 40 times the CPU time when a second thread spins beside it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Protocol


class _Library(Protocol):
    """One BLAS that this process has loaded, as threadpoolctl sees it."""

    def get_num_threads(self) -> int: ...
    def set_num_threads(self, num_threads: int) -> None: ...


_lock = Lock()
_inside = 0
_before: list[tuple[_Library, int]] = []


@cache
def _libraries() -> list[_Library]:
    try:
        module = importlib.import_module("threadpoolctl")
    except ImportError:
        return []
    found: list[_Library] = module.ThreadpoolController().select(user_api="blas").lib_controllers
    return found


@contextmanager
def one_thread() -> Iterator[None]:
    """Let numpy's BLAS use one thread, if threadpoolctl is there; otherwise nothing changes.

    The last one to leave gives the threads back, so that calls may overlap.
    """
    global _inside
    libraries = _libraries()
    if not libraries:
        yield
        return
    with _lock:
        _inside += 1
        if _inside == 1:
            for library in libraries:
                if (threads := library.get_num_threads()) != 1:
                    _before.append((library, threads))
                    library.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            while not _inside and _before:
                library, threads = _before.pop()
                library.set_num_threads(threads)
