"""What bad weather takes of any client: one that costs nothing, and keeps the rules.

It asks as many at once, and starts no more a second than the machine did in good weather. It tries
again at once where nobody told it to wait, waits exactly as told where somebody did, and gives up a
reply that hangs at the same time limit. It never asks for one judgement twice, as that is paid for
twice, and does not know what is coming. No client that keeps these rules can expect to be faster.
"""

from __future__ import annotations

import heapq
import random
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from harness.testing.faults import Faults

_DRAWS = 60
_TOLD = ("rate_limit", "rate_limit_ms", "unavailable")
_FINAL = ("refusal", "content_filter", "prose")


@dataclass(frozen=True)
class Weather:
    """Judgements in number and at once, and seconds: a reply's, those told to wait, the limit."""

    count: int
    at_once: int
    latency_s: float
    wait_s: float
    timeout_s: float

    def ratios(self, calm_s: float) -> list[float]:
        """Seconds in the mix's weather by those in none, ascending, for many draws of faults.

        `calm_s` is what good weather took, which gives the rate at which calls can start.
        """
        gap = max(calm_s - self.latency_s, 0.0) / self.count
        rng = random.Random(0)
        calm = self._seconds([[] for _ in range(self.count)], gap)
        drawn = ([list(_faults(rng)) for _ in range(self.count)] for _ in range(_DRAWS))
        return sorted(self._seconds(faults, gap) / calm for faults in drawn)

    def said(self, calm_s: float) -> str:
        """The median of `ratios`, and where nine in ten lie."""
        found = self.ratios(calm_s)
        low, high = found[_DRAWS // 20], found[-_DRAWS // 20]
        return f"{statistics.median(found):.2f} ({low:.2f} to {high:.2f})"

    def _seconds(self, faults: list[list[str]], gap: float) -> float:
        """When the last reply is there; each judgement meets its faults, then has its reply."""
        due = [(0.0, place, 0) for place in range(self.count)]
        free = [0.0] * self.at_once
        started = -gap
        while due:
            ready, place, tries = heapq.heappop(due)
            started = max(ready, heapq.heappop(free), started + gap)
            fault = faults[place][tries] if tries < len(faults[place]) else ""
            ended = started + (self.timeout_s if fault == "hang" else self.latency_s)
            heapq.heappush(free, ended)
            if fault:
                wait = self.wait_s if fault in _TOLD else 0.0
                heapq.heappush(due, (ended + wait, place, tries + 1))
        return max(free)


def _faults(rng: random.Random) -> Iterator[str]:
    """The faults that one judgement meets before a reply that counts."""
    mix = Faults.mix()
    rates = {name: rate for name in Faults.__dataclass_fields__ if (rate := getattr(mix, name))}
    names, weights = [*rates, ""], [*rates.values(), 1 - sum(rates.values())]
    while (fault := rng.choices(names, weights)[0]) and fault not in _FINAL:
        yield fault
