"""Calls that fail by chance, as the settings say; which ones follows from the seed."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable

from grpc import StatusCode

from harness.errors import HarnessError
from harness_vertex._emulator.errors import ServiceError


class Faults:
    """The rates of failures, by method.

    Raises:
        HarnessError: for one that is not [METHOD:]CODE=RATE, with a known code and a rate to 1.
    """

    def __init__(self, given: Iterable[str], seed: int) -> None:
        self._rates = [_rate(one) for one in given]
        self._random, self._lock = random.Random(seed), threading.Lock()

    def strike(self, method: str) -> None:
        """Raise ServiceError if this call is to fail."""
        for only, code, rate in self._rates:
            if only in ("", method) and self._drawn() < rate:
                raise ServiceError(code, f"The emulator made {method} fail, as --fail wants it.")

    def _drawn(self) -> float:
        with self._lock:
            return self._random.random()


def _rate(given: str) -> tuple[str, StatusCode, float]:
    what, _, number = given.partition("=")
    method, _, name = what.rpartition(":")
    try:
        code, rate = StatusCode[name], float(number)
    except (KeyError, ValueError):
        code, rate = StatusCode.OK, -1.0
    if code is StatusCode.OK or not 0 <= rate <= 1:
        raise HarnessError(
            f"fail={given!r} must be [METHOD:]CODE=RATE, as UNAVAILABLE=0.05 or "
            "UpsertDatapoints:RESOURCE_EXHAUSTED=0.1"
        )
    return method, code, rate
