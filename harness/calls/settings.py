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
        following = getattr(super(), "__post_init__", None)
        if following is not None:  # the next base of a component's settings has checks of its own
            following()


@dataclass(frozen=True, kw_only=True)
class AnswerSettings:
    """What a service is asked for an answer; a part of the settings of generators."""

    system: str = ""
    """System message; empty is none."""
    template: str = "{prompt}"
    """What is asked; {prompt} stands for the sample's prompt, other braces are text."""
    max_tokens: int = 1024
    """Most tokens of an answer."""
    temperature: float | None = None
    """Temperature of sampling; none is the service's own."""
    top_p: float | None = None
    """Sample from the likeliest tokens that make up this probability; none is the service's own."""
    frequency_penalty: float | None = None
    """Taken from a token's logit for each time that it was there already, from -2 to 2."""
    presence_penalty: float | None = None
    """Taken from a token's logit if it was there already, from -2 to 2."""
    stop: tuple[str, ...] = ()
    """Texts that end an answer, and are left out of it."""
    seed: int | None = None
    """Seed of sampling, where the service takes one; repeats of a sample get seeds of their own."""

    def __post_init__(self) -> None:
        """Raise ValueError for a number out of range, or a template without {prompt}."""
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens is {self.max_tokens}; it is at least 1")
        if "{prompt}" not in self.template:
            raise ValueError(f"template {self.template!r} has no {{prompt}} in it")
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            raise ValueError(f"temperature is {self.temperature}; it lies in 0..2")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}; it lies above 0, up to 1")
        following = getattr(super(), "__post_init__", None)
        if following is not None:
            following()
