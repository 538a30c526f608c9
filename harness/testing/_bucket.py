"""A limit of requests a second, and the headers by which a service tells it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Literal

Shape = Literal["openai", "anthropic"]


class Bucket:
    """Tokens that come back at a rate, up to a number."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at = float(burst), time.monotonic()

    def take(self) -> float:
        """Take one; seconds until there is one, or 0 where one was had."""
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return self._wait()
        self._tokens -= 1
        return 0.0

    def headers(self, shape: Shape) -> tuple[tuple[str, str], ...]:
        """How many are left, and when there is one again, in the words of the service."""
        left = str(int(self._tokens))
        if shape == "openai":
            wait = f"{self._wait() * 1000:.0f}ms"
            return ("x-ratelimit-remaining-requests", left), ("x-ratelimit-reset-requests", wait)
        reset = datetime.now(UTC) + timedelta(seconds=self._wait())
        return (
            ("anthropic-ratelimit-requests-remaining", left),
            ("anthropic-ratelimit-requests-reset", reset.isoformat().replace("+00:00", "Z")),
        )

    def _wait(self) -> float:
        return max(0.0, (1 - self._tokens) / self._rate)
