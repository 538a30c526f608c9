"""Calls with a timeout each, a deadline over all tries, and pauses that grow between them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from harness_vertex import VertexSettings
from harness_vertex._errors import Problem, problem_of

T = TypeVar("T")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 8.0
_TRIES_UNREACHED = 4


class Caller:
    """Makes calls as the settings say; one for all threads.

    A call that may be repeated without harm is repeated on UNAVAILABLE, DEADLINE_EXCEEDED and
    RESOURCE_EXHAUSTED until `deadline_s` is over. A service that never answered is given up
    after four tries: that is a wrong address more often than a restart.
    """

    def __init__(self, settings: VertexSettings) -> None:
        self._timeout_s, self._deadline_s = settings.timeout_s, settings.deadline_s
        self._reached = False

    def call(
        self,
        send: Callable[[float], T],
        doing: str,
        *,
        again: bool = True,
        timeout_s: float | None = None,
    ) -> T:
        """What `send(timeout)` gives.

        Args:
            send: makes the call with a timeout in seconds.
            doing: what is being done to what, for the message.
            again: whether it may be repeated.
            timeout_s: of one try; None is the settings'.

        Raises:
            VertexError: when it failed for good.
        """
        end, tries = time.monotonic() + self._deadline_s, 0
        while True:
            left = max(end - time.monotonic(), 0.001)
            try:
                got = send(min(timeout_s or self._timeout_s, left))
            except Exception as error:
                problem = problem_of(error)
                if problem is None:
                    raise
                failed: Exception = error
            else:
                self._reached = True
                return got
            tries += 1
            pause = _pause(tries)
            if not (again and self._worth(problem, tries)) or time.monotonic() + pause >= end:
                after = f" ({tries} tries)" if tries > 1 else ""
                raise problem.error(doing, after=after) from failed
            time.sleep(pause)

    def _worth(self, problem: Problem, tries: int) -> bool:
        given_up = problem.unreached and not self._reached and tries >= _TRIES_UNREACHED
        return problem.transient and not given_up


def _pause(tries: int) -> float:
    """Seconds before the next try: twice as long each time, less up to a half by chance."""
    longest = min(_FIRST_PAUSE_S * 2.0 ** (tries - 1), _LONGEST_PAUSE_S)
    return longest * random.uniform(0.5, 1.0)
