"""`openai`: judges and a generator over OpenAI's API, and over any server that speaks it.

Judges: `openai` grades by a rubric, `openai-pairwise` compares two answers, `openai-decisions` puts
a rubric to the decisions endpoint. This file is read whenever plugins are listed, so it imports
nothing heavy; `_provider.py` is where a call is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from harness import Component, Generator, Judge, hookimpl
from harness.calls.settings import AnswerSettings, CallSettings
from harness.judging import PairwiseSettings, RubricSettings

_REQUIRES = "samescore[openai]"


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Which model is called, where, and with whose key."""

    model: str
    """Model, as the service names it; a fine-tuned one is ft:NAME."""
    base_url: str = field(default="", metadata={"result": False})
    """Address of another server, as http://localhost:8080/v1; empty: OPENAI_BASE_URL, or OpenAI."""
    served_as: str = field(default="", metadata={"result": False})
    """What is served at base_url; stands for the address in fingerprints, if that changes."""
    key_env: str | None = field(default=None, metadata={"result": False})
    """Variable with the key; empty: no key; none: OPENAI_API_KEY, to OpenAI or localhost."""
    organization: str = field(default="", metadata={"result": False})
    """Organization that is billed; empty: OPENAI_ORG_ID, or the key's own."""
    project: str = field(default="", metadata={"result": False})
    """Project that is billed; empty: OPENAI_PROJECT_ID, or the key's own."""

    def __post_init__(self) -> None:
        """Raise ValueError for no model, or an address that is none or holds a secret."""
        if not self.model:
            raise ValueError("model is empty; name one")
        check_address("base_url", self.base_url)
        following = getattr(super(), "__post_init__", None)
        if following is not None:  # the next base of the settings has checks of its own
            following()


@dataclass(frozen=True, kw_only=True)
class ModelSettings(Connection):
    """What the model is, where its name does not tell."""

    reasoning_effort: Literal["", "none", "minimal", "low", "medium", "high", "xhigh", "max"] = ""
    """How much the model reasons before it answers, where it does; empty is the model's own."""
    sampling: Literal["auto", "on", "off"] = "auto"
    """Whether the model takes temperature and seed; auto: not where it reasons (o3, gpt-5, …)."""
    limit_as: Literal["auto", "max_completion_tokens", "max_tokens"] = field(
        default="auto", metadata={"result": False}
    )
    """Name of the limit in requests; auto: max_tokens for base_url, which every server knows."""


@dataclass(frozen=True, kw_only=True)
class OpenAIJudgeSettings(RubricSettings, ModelSettings, CallSettings):
    """Settings of the judge `openai`."""

    schema: Literal["auto", "on", "off"] = "auto"
    """Whether replies can be bound to a JSON schema; off asks for the form in words."""
    logprobs: Literal["auto", "on", "off"] = field(default="auto", metadata={"result": False})
    """Whether the model gives log-probabilities (method=logprobs); auto: not where it reasons."""


@dataclass(frozen=True, kw_only=True)
class OpenAIPairwiseSettings(PairwiseSettings, ModelSettings, CallSettings):
    """Settings of the judge `openai-pairwise`."""

    schema: Literal["auto", "on", "off"] = "auto"
    """Whether replies can be bound to a JSON schema; off asks for the form in words."""


@dataclass(frozen=True, kw_only=True)
class OpenAIDecisionsSettings(Connection, CallSettings):
    """Settings of the judge `openai-decisions`."""

    model: str = "gpt-6-luna"
    """Model of the decisions endpoint."""
    rubric: str = field(default="score", metadata={"result": False})
    """What is asked: score, score-free, criteria, or a TOML file."""


@dataclass(frozen=True, kw_only=True)
class OpenAISettings(AnswerSettings, ModelSettings, CallSettings):
    """Settings of the generator `openai`."""

    api: Literal["chat", "completions"] = "chat"
    """Endpoint: chat, or completions for base models, which go on from the prompt."""
    start_sequence: str = ""
    """Text after the prompt, which says that the answer begins; with api=completions."""

    def __post_init__(self) -> None:
        """Raise ValueError for what cannot be meant together."""
        AnswerSettings.__post_init__(self)
        ModelSettings.__post_init__(self)
        if self.start_sequence and self.api != "completions":
            raise ValueError("start_sequence is for base models; add api=completions")
        if self.reasoning_effort and self.api == "completions":
            raise ValueError("reasoning_effort is for chat models; leave it out")


def check_address(name: str, address: str) -> None:
    """Raise ValueError unless an address is empty or an http one without secrets in it."""
    url = urlsplit(address)
    if address and (url.scheme not in ("http", "https") or not url.hostname or url.port == 0):
        raise ValueError(f"{name} is no address; write it as http://localhost:8080/v1")
    if "@" in url.netloc or url.query or url.fragment:
        raise ValueError(f"{name} has a user, a query or a # in it; keys go by key_env")
    if url.path.rstrip("/").endswith("/completions"):
        raise ValueError(f"{name} goes on to an endpoint; end it before /chat or /completions")


def build_judge(settings: OpenAIJudgeSettings) -> Judge:
    """A judge that grades by a rubric."""
    from harness_openai._build import judge

    return judge(settings)


def build_pairwise(settings: OpenAIPairwiseSettings) -> Judge:
    """A judge that compares two answers."""
    from harness_openai._build import pairwise

    return pairwise(settings)


def build_decisions(settings: OpenAIDecisionsSettings) -> Judge:
    """A judge over the decisions endpoint."""
    from harness_openai._build import decisions

    return decisions(settings)


def build_generator(settings: OpenAISettings) -> Generator:
    """A generator over the chat or completions endpoint."""
    from harness_openai._build import generator

    return generator(settings)


@hookimpl
def harness_judges() -> Iterable[Component[Judge]]:
    """Register the judges."""
    yield Component(
        "openai",
        build=build_judge,
        settings=OpenAIJudgeSettings,
        summary="a model of OpenAI, or of any server with its API, grades by a rubric",
        requires=_REQUIRES,
    )
    yield Component(
        "openai-pairwise",
        build=build_pairwise,
        settings=OpenAIPairwiseSettings,
        summary="the same model compares two answers, in both orders",
        requires=_REQUIRES,
    )
    yield Component(
        "openai-decisions",
        build=build_decisions,
        settings=OpenAIDecisionsSettings,
        summary="OpenAI's decisions endpoint gives the probabilities of a rubric's answers",
        requires=_REQUIRES,
    )


@hookimpl
def harness_generators() -> Iterable[Component[Generator]]:
    """Register the generator."""
    yield Component(
        "openai",
        build=build_generator,
        settings=OpenAISettings,
        summary="answers of a model of OpenAI, or of any server with its API",
        requires=_REQUIRES,
        calls=True,
    )
