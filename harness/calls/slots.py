"""Who may call next: bounded, the urgent first, and fewer while the service limits the rate.

A single 429 says nothing about capacity: some services give them at random. So only many of the
last calls close the gate for all and lower the limit; how is as in TCP (additive increase,
multiplicative decrease).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable

_LOOKED_AT = 20  # calls that tell a quota that is used up from a 429 by chance
_LIMITED = 8
_LEAST = 10
_CUT, _GROWTH = 0.8, 1.05
_COOL_DOWN_S = 15.0
_PAUSE_S = 1.0
_BUSY = 0.8  # share of the limit in use, below which it was not the limit that held calls up


class Slots:
    """At most `most` at once; who waits longer for the same sample goes first.

    `limit` is how many may call now. Used on one event loop only.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.most, self.limit = most, float(most)
        self._least = min(_LEAST, most)
        self._clock = clock
        self._taken, self._open_at, self._cut_at = 0, 0.0, -_COOL_DOWN_S
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._recent: deque[bool] = deque(maxlen=_LOOKED_AT)
        self._since_change = 0
        self._timer: asyncio.TimerHandle | None = None

    async def take(self, urgency: int = 0) -> None:
        """Wait for a slot; the higher urgency goes first, then who came first."""
        if not self._waiting and self._free():
            self._taken += 1
            return
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (-urgency, next(self._order), turn))
        self._wake()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back()
            raise

    def give_back(self) -> None:
        """Let the next one have the slot."""
        self._taken -= 1
        self._wake()

    def tell(self, limited: bool, wait_s: float = 0.0) -> None:
        """How a call ended: whether it was told to wait, and how long."""
        self._recent.append(limited)
        if limited and sum(self._recent) >= _LIMITED:
            self.pause(wait_s or _PAUSE_S)
            self._cut()
        elif not limited:
            self._grow()

    def pause(self, seconds: float) -> None:
        """Close the gate: nobody starts for so long."""
        self._open_at = max(self._open_at, self._clock() + seconds)

    def _free(self) -> bool:
        return self._taken < int(self.limit) and self._clock() >= self._open_at

    def _wake(self) -> None:
        while self._waiting and self._free():
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                self._taken += 1
                turn.set_result(None)
        wait = self._open_at - self._clock()
        if self._waiting and wait > 0 and (self._timer is None or self._timer.cancelled()):
            self._timer = asyncio.get_running_loop().call_later(wait, self._opened)

    def _opened(self) -> None:
        self._timer = None
        self._recent.clear()
        self._wake()

    def _cut(self) -> None:
        if self._clock() - self._cut_at >= _COOL_DOWN_S:
            self._cut_at, self._since_change = self._clock(), 0
            self.limit = max(self._least, self.limit * _CUT)

    def _grow(self) -> None:
        """One round of the limit without trouble lets one in twenty more call."""
        self._since_change += self._taken >= _BUSY * self.limit
        if self._since_change >= self.limit and self.limit < self.most:
            self._since_change = 0
            self.limit = min(self.most, max(self.limit * _GROWTH, self.limit + 1))
