"""Ctrl-C in a training: the first asks it to stop after the step, the second stops it at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

_STOPPING = b"\nharness: stopping after this step; Ctrl-C again to stop at once\n"


@contextlib.contextmanager
def stopping(*, told: bool = True) -> Iterator[Callable[[], bool]]:
    """Gives what says whether an interrupt came; the handler of before is back afterwards.

    Outside of the main thread, and where interrupts are ignored (nohup), nothing changes.
    """
    before = signal.getsignal(signal.SIGINT)
    ours = threading.current_thread() is threading.main_thread()
    if not ours or before in (None, signal.SIG_IGN):
        yield lambda: False
        return
    came = threading.Event()

    def handle(number: int, frame: object) -> None:
        if came.is_set():
            raise KeyboardInterrupt
        came.set()
        if told:
            with contextlib.suppress(OSError):
                os.write(2, _STOPPING)  # print may be what the signal came into the midst of

    signal.signal(signal.SIGINT, handle)
    try:
        yield came.is_set
    finally:
        signal.signal(signal.SIGINT, before)
