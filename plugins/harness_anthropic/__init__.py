"""`anthropic` and `anthropic-pairwise`: Claude as a judge; `anthropic`: Claude as a generator.

The service has no seed, no log-probabilities and no penalties, and its newer models no temperature:
a setting that asks for one is refused when the component is built. What weighs a judge's levels
elsewhere is done by votes here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from harness import Component, Generator, Judge, hookimpl
from harness.calls import CallSettings
from harness.calls.settings import AnswerSettings
from harness.judging import PairwiseSettings, RubricSettings

MOST_TOKENS = 21_333
"""What a model writes in ten minutes, by the SDK's reckoning: more needs streaming."""
_NEVER = {
    "seed": "leave it out, and repeat (votes, repeats) to see how much replies differ",
    "frequency_penalty": "leave it out",
    "presence_penalty": "leave it out",
}
_OLD = "leave it out (a judge: method=votes,votes=5), or for an old model allow_temperature=true"


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Which model, and where it is served; a part of the settings of every component here."""

    model: str
    """Name of the model at the service."""
    base_url: str = field(default="", metadata={"result": False})
    """Address of another service of this shape; empty: ANTHROPIC_BASE_URL, or Anthropic."""
    served_as: str = field(default="", metadata={"result": False})
    """What base_url serves: stands for the address in fingerprints, so that it may change."""
    key_env: str | None = field(default=None, metadata={"result": False})
    """Variable with the key; empty: no key; none: ANTHROPIC_API_KEY, to Anthropic or localhost."""
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    """How hard the model tries, where it can be told; none is the model's own."""
    thinking: Literal["adaptive", "disabled"] | None = None
    """Whether the model thinks first, within max_tokens; none is the model's own way."""
    allow_temperature: bool = False
    """Send temperature and top_p all the same: older models take them, newer ones answer 400."""
    cache: Literal["off", "5m", "1h"] = field(default="off", metadata={"result": False})
    """How long the service keeps the system message; what writing it costs more is not counted."""

    def __post_init__(self) -> None:
        """Raise ValueError for an address or a number that cannot be used, or what nobody sends."""
        if not self.model:
            raise ValueError("model is empty; name one")
        check_address("base_url", self.base_url)
        for name, why in _NEVER.items():
            self._refuse(name, why)
        if not self.allow_temperature:
            self._refuse("temperature", _OLD)
            self._refuse("top_p", _OLD)
        if getattr(self, "max_tokens", 0) > MOST_TOKENS:
            raise ValueError(f"max_tokens is above {MOST_TOKENS}: only streaming gives more")

    def _refuse(self, name: str, why: str) -> None:
        if (value := getattr(self, name, None)) is not None:
            raise ValueError(f"{name}={value} is nothing that this service takes: {why}")


def check_address(name: str, address: str) -> None:
    """Raise ValueError unless an address is empty, or http and nothing more: messages show it."""
    if not address:
        return
    url = urlsplit(address)
    if url.username or url.password or url.query or url.fragment:
        raise ValueError(f"{name} holds more than an address; a key belongs in key_env's variable")
    if url.scheme not in ("http", "https") or not url.hostname or url.port == 0:
        raise ValueError(f"{name} is {address!r}; it starts with https:// or http://")
    if url.path.rstrip("/").endswith("/v1"):
        raise ValueError(f"{name} is {address!r}; leave /v1 out: the SDK adds it")


@dataclass(frozen=True, kw_only=True)
class AnthropicJudgeSettings(RubricSettings, CallSettings, Connection):
    """Settings of the judge `anthropic`."""

    def __post_init__(self) -> None:
        """Let every part check its own."""
        for part in (RubricSettings, CallSettings, Connection):
            part.__post_init__(self)


@dataclass(frozen=True, kw_only=True)
class AnthropicPairwiseSettings(PairwiseSettings, CallSettings, Connection):
    """Settings of `anthropic-pairwise`."""

    def __post_init__(self) -> None:
        """Let every part check its own."""
        for part in (PairwiseSettings, CallSettings, Connection):
            part.__post_init__(self)


@dataclass(frozen=True, kw_only=True)
class AnthropicSettings(AnswerSettings, CallSettings, Connection):
    """Settings of the generator `anthropic`."""

    def __post_init__(self) -> None:
        """Let every part check its own."""
        for part in (AnswerSettings, CallSettings, Connection):
            part.__post_init__(self)


def build_judge(settings: AnthropicJudgeSettings) -> Judge:
    """A judge by a rubric."""
    from harness.judging import RubricJudge
    from harness_anthropic._provider import AnthropicProvider

    return RubricJudge(AnthropicProvider(settings, settings), settings)


def build_pairwise(settings: AnthropicPairwiseSettings) -> Judge:
    """A judge that compares with another answer."""
    from harness.judging import PairwiseJudge
    from harness_anthropic._provider import AnthropicProvider

    return PairwiseJudge(AnthropicProvider(settings, settings), settings)


def build_generator(settings: AnthropicSettings) -> Generator:
    """A generator of answers."""
    from harness.calls.generator import ChatGenerator
    from harness_anthropic._provider import AnthropicProvider

    return ChatGenerator(AnthropicProvider(settings, settings), settings, settings)


@hookimpl
def harness_judges() -> Iterable[Component[Judge]]:
    """Register `anthropic` and `anthropic-pairwise`."""
    yield Component(
        "anthropic",
        build=build_judge,
        settings=AnthropicJudgeSettings,
        summary="a Claude model grades by a rubric",
        requires="samescore[anthropic]",
    )
    yield Component(
        "anthropic-pairwise",
        build=build_pairwise,
        settings=AnthropicPairwiseSettings,
        summary="a Claude model compares with another answer, in both orders",
        requires="samescore[anthropic]",
    )


@hookimpl
def harness_generators() -> Iterable[Component[Generator]]:
    """Register `anthropic`."""
    yield Component(
        "anthropic",
        build=build_generator,
        settings=AnthropicSettings,
        summary="a Claude model answers",
        requires="samescore[anthropic]",
        calls=True,
    )
