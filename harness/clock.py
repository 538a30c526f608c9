"""The time of day, in a process whose clock may be set while it runs."""

from __future__ import annotations

import time

_JUMP_S = 60.0  # what a clock may be corrected by; a larger step is a jump

# Unlike a monotonic clock, this one goes on while a laptop sleeps.
_STEADY = getattr(time, "CLOCK_BOOTTIME", None) or getattr(time, "CLOCK_MONOTONIC", None)


def _elapsed() -> float:
    return time.monotonic() if _STEADY is None else time.clock_gettime(_STEADY)


_BEGAN = time.time() - _elapsed()


def now() -> float:
    """Seconds since 1970 (UTC), which do not jump: what a process records stays in order."""
    told, steady = time.time(), _BEGAN + _elapsed()
    return told if abs(told - steady) < _JUMP_S else steady
