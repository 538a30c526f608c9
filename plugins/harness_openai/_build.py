"""The components that settings describe, over one provider each."""

from __future__ import annotations

import os
import re
from typing import Literal

from harness import Generator, Judge, PluginError
from harness.calls import Capabilities
from harness.calls.generator import ChatGenerator
from harness.judging import PairwiseJudge, RubricJudge
from harness_openai import (
    Connection,
    ModelSettings,
    OpenAIDecisionsSettings,
    OpenAIJudgeSettings,
    OpenAIPairwiseSettings,
    OpenAISettings,
    check_address,
)
from harness_openai._decisions import DecisionsJudge
from harness_openai._provider import OFFICIAL, OpenAIProvider, official
from harness_openai._shapes import Chat, Completions, Decisions, Shape

Switch = Literal["auto", "on", "off"]

_REASONS = re.compile(r"(?:.*/)?(?:ft:)?(?:o[1-9]|gpt-[5-9]|codex)(?![a-z])")
_NO_SCHEMA = re.compile(r"(?:.*/)?(?:ft:)?(?:gpt-3\.5|gpt-4(?![o.]))")


def judge(s: OpenAIJudgeSettings) -> Judge:
    """A judge that grades by a rubric."""
    can = capabilities(s, s.schema, s.logprobs)
    return RubricJudge(_provider(s, chat(s), can, s.timeout_s), s)


def pairwise(s: OpenAIPairwiseSettings) -> Judge:
    """A judge that compares two answers."""
    return PairwiseJudge(_provider(s, chat(s), capabilities(s, s.schema), s.timeout_s), s)


def decisions(s: OpenAIDecisionsSettings) -> Judge:
    """A judge over the decisions endpoint."""
    can = Capabilities(schema=False, temperature=False)
    return DecisionsJudge(_provider(s, Decisions(), can, s.timeout_s), s.rubric, s)


def generator(s: OpenAISettings) -> Generator:
    """A generator over the chat or completions endpoint."""
    can = capabilities(s)
    for name in ("temperature", "top_p", "seed"):
        if getattr(s, name) is not None and not can.temperature:
            raise PluginError(
                f"openai: {s.model} takes no {name}; leave it out, "
                "or declare that it does with sampling=on"
            )
    shape = chat(s) if s.api == "chat" else Completions(s.start_sequence)
    return ChatGenerator(_provider(s, shape, can, s.timeout_s), s, s)


def capabilities(
    s: ModelSettings, schema: Switch = "auto", logprobs: Switch = "auto"
) -> Capabilities:
    """What a model can be asked for: as declared, else by the family that its name tells.

    A model that reasons takes no temperature and gives no log-probabilities, unless
    `reasoning_effort=none` keeps it from reasoning. What is unknown is taken to have everything:
    a server that has not refuses, or what is missing from its reply is noticed.
    """
    plain = s.reasoning_effort == "none" or not _REASONS.match(s.model)
    samples = _on(s.sampling, plain)
    return Capabilities(
        schema=_on(schema, not _NO_SCHEMA.match(s.model)),
        logprobs=_on(logprobs, plain),
        temperature=samples,
        seed=samples,
    )


def _on(switch: Switch, auto: bool) -> bool:
    return auto if switch == "auto" else switch == "on"


def _address(s: Connection) -> str:
    if s.base_url:
        return s.base_url.rstrip("/")
    ambient = os.environ.get("OPENAI_BASE_URL", "")
    try:
        check_address("OPENAI_BASE_URL", ambient)
    except ValueError as error:
        raise PluginError(f"openai: {error}") from error
    return ambient.rstrip("/") or OFFICIAL


def chat(s: ModelSettings) -> Chat:
    """The chat endpoint as a model's settings have it."""
    auto = "max_completion_tokens" if official(_address(s)) else "max_tokens"
    return Chat(auto if s.limit_as == "auto" else s.limit_as, s.reasoning_effort)


def _provider(s: Connection, shape: Shape, can: Capabilities, timeout_s: float) -> OpenAIProvider:
    return OpenAIProvider(s, _address(s), shape, can, timeout_s)
