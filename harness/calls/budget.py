"""A budget: what a call may cost is reserved before it is sent, and settled after.

So what is spent never goes beyond the budget by more than what services billed above the
reservation; whoever finds the budget reached waits for calls under way to give back what they did
not use, and is refused when there are none.
"""

from __future__ import annotations

import asyncio

from harness.calls.settings import CallSettings
from harness.components import Usage


def priced(usage: Usage, settings: CallSettings) -> Usage:
    """The usage with its cost in US dollars, where the prices are known."""
    if settings.input_price is None or settings.output_price is None:
        return usage
    cheap = settings.input_price if settings.cached_price is None else settings.cached_price
    asked = (usage.input_tokens - usage.cached_tokens) * settings.input_price
    cost = asked + usage.cached_tokens * cheap + usage.output_tokens * settings.output_price
    return Usage(usage.input_tokens, usage.output_tokens, cost / 1e6, usage.cached_tokens)


class Budget:
    """What one component may spend in one run. Used on one event loop only."""

    def __init__(self, settings: CallSettings) -> None:
        self._settings = settings
        self._spent, self._reserved = Usage(cost_usd=0.0), Usage(cost_usd=0.0)
        self._under_way = 0
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def limited(self) -> bool:
        """Whether there is a limit at all."""
        return self._settings.budget_usd is not None or self._settings.budget_tokens is not None

    @property
    def spent(self) -> Usage:
        """What was settled so far."""
        return self._spent

    async def reserve(self, most: Usage) -> bool:
        """Set aside what a call may cost at most; False if the budget does not hold it."""
        most = priced(most, self._settings)
        while self.limited and not self._holds(most):
            if not self._under_way:
                return False
            changed = asyncio.get_running_loop().create_future()
            self._waiting.append(changed)
            await changed
        self._reserved, self._under_way = _plus(self._reserved, most, 1), self._under_way + 1
        return True

    def settle(self, most: Usage, used: Usage | None) -> None:
        """Give a reservation back; `used` is what it cost in truth, None for nothing."""
        self._reserved = _plus(self._reserved, priced(most, self._settings), -1)
        self._under_way -= 1
        if used is not None:
            self._spent = _plus(self._spent, priced(used, self._settings), 1)
        waiting, self._waiting = self._waiting, []
        for changed in waiting:
            if not changed.done():
                changed.set_result(None)

    def said(self) -> str:
        """What is left of it, for people."""
        s, tokens = self._settings, self._spent.input_tokens + self._spent.output_tokens
        limits = [f"{s.budget_tokens} tokens"] if s.budget_tokens is not None else []
        limits += [f"${s.budget_usd:g}"] if s.budget_usd is not None else []
        return (
            f"the budget of {' and '.join(limits)} is reached: {tokens} tokens"
            f"{f' and ${self._spent.cost_usd or 0:.4f}' if s.budget_usd is not None else ''} spent"
        )

    def _holds(self, most: Usage) -> bool:
        s = self._settings
        total = _plus(_plus(self._spent, self._reserved, 1), most, 1)
        tokens = total.input_tokens + total.output_tokens
        return (s.budget_tokens is None or tokens <= s.budget_tokens) and (
            s.budget_usd is None or (total.cost_usd or 0) <= s.budget_usd
        )


def _plus(a: Usage, b: Usage, sign: int) -> Usage:
    return Usage(
        a.input_tokens + sign * b.input_tokens,
        a.output_tokens + sign * b.output_tokens,
        (a.cost_usd or 0) + sign * (b.cost_usd or 0),
    )
