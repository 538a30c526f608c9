"""What a fault server was asked, what it replied, and what that would have cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from harness.components import Usage
from harness.testing._schema import Json

Outcome = Literal["sent", "broken", "abandoned"]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its reply.

    `fault` is a name of `Faults`, or `rejected` (the request was wrong), `no_token` (the bucket was
    empty), `crowded` (too many at once), or empty. `outcome` is `sent`, `broken` (the fault cut it)
    or `abandoned` (the client, or the end of the server, did). Times are seconds since the server's
    start. No header's value is kept: `bearer` says that a key came as `Authorization: Bearer`.
    """

    number: int
    api: str
    path: str
    body: Json
    header_names: frozenset[str]
    bearer: bool
    arrived_s: float
    fault: str = ""
    status: int = 0
    reply: bytes = b""
    usage: Usage | None = None
    outcome: Outcome = "abandoned"
    left_s: float = 0.0


class Ledger:
    """All exchanges that have ended, and counts. It may be read while the server works."""

    def __init__(self) -> None:
        self._ended: list[Exchange] = []
        self._arrived = 0
        self.in_flight = 0
        self.max_in_flight = 0

    def arrive(self) -> int:
        """Count a request; its number."""
        self._arrived += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        return self._arrived

    def end(self, exchange: Exchange) -> None:
        """Record a request that has its reply, or will have none."""
        self.in_flight -= 1
        self._ended.append(exchange)

    @property
    def requests(self) -> tuple[Exchange, ...]:
        """The exchanges in the order of arrival."""
        return tuple(sorted(self._ended, key=lambda exchange: exchange.number))

    @property
    def billed(self) -> Usage:
        """The usage of the replies that were sent in full and say what they cost."""
        return self._sum("sent")

    @property
    def lost(self) -> Usage:
        """The usage of replies that were made, but cut short or given up by the client."""
        return self._sum("broken") + self._sum("abandoned")

    @property
    def by_fault(self) -> Counter[str]:
        """How many requests met each fault; those that met none are not counted."""
        return Counter(exchange.fault for exchange in tuple(self._ended) if exchange.fault)

    @property
    def abandoned(self) -> int:
        """How many requests were given up by the client before their reply."""
        return sum(exchange.outcome == "abandoned" for exchange in tuple(self._ended))

    def summary(self) -> dict[str, object]:
        """The counts as JSON."""
        billed, lost = self.billed, self.lost
        return {
            "requests": len(self._ended),
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "billed": {"input_tokens": billed.input_tokens, "output_tokens": billed.output_tokens},
            "lost": {"input_tokens": lost.input_tokens, "output_tokens": lost.output_tokens},
            "abandoned": self.abandoned,
            "by_fault": dict(self.by_fault),
        }

    def _sum(self, outcome: Outcome) -> Usage:
        ended = [e.usage for e in tuple(self._ended) if e.outcome == outcome and e.usage]
        return sum(ended, Usage())
