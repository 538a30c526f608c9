"""The settings that every component has which makes calls."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class CallSettings:
    """How calls are made: how many at once, how long, and for how much. No result hangs on it.

    A part of the settings of components: `class MySettings(CallSettings, RubricSettings)`. It has
    no slots, so that it can be one of several bases.
    """

    concurrency: int = field(default=64, metadata={"result": False})
    """Most calls under way at once; fewer while the service limits the rate."""
    timeout_s: float = field(default=120.0, metadata={"result": False})
    """Seconds until a call without a reply is given up, and made again."""
    deadline_s: float = field(default=900.0, metadata={"result": False})
    """Seconds for one sample, waiting for rate limits and asking again included."""
    tries: int = field(default=6, metadata={"result": False})
    """Calls for one answer while the service fails; waiting for a rate limit is none."""
    budget_usd: float | None = field(default=None, metadata={"result": False})
    """Most money for a run, in US dollars; needs the prices. None is no limit."""
    budget_tokens: int | None = field(default=None, metadata={"result": False})
    """Most tokens for a run, asked and answered together; none is no limit."""
    input_price: float | None = field(default=None, metadata={"result": False})
    """US dollars for a million tokens asked; costs are unknown without it."""
    output_price: float | None = field(default=None, metadata={"result": False})
    """US dollars for a million tokens answered."""
    cached_price: float | None = field(default=None, metadata={"result": False})
    """US dollars for a million tokens that the service had cached; without it input_price."""

    def __post_init__(self) -> None:
        """Raise ValueError for a number out of range, or a budget without prices."""
        for name in ("concurrency", "tries"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it is at least 1")
        for name in ("timeout_s", "deadline_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it is above 0")
        for name in ("budget_usd", "budget_tokens", "input_price", "output_price", "cached_price"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name} is {value}; it is 0 or more")
        priced = self.input_price is not None and self.output_price is not None
        if self.budget_usd is not None and not priced:
            raise ValueError("budget_usd needs input_price and output_price (US dollars a million)")
