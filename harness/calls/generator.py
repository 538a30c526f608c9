"""Generators that ask a service: one conversation a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.calls.asking import ask
from harness.calls.caller import Caller
from harness.calls.loop import drained, run
from harness.calls.settings import CallSettings
from harness.calls.values import Message, NotAnswered, Provider, Reply, Request
from harness.components import Completion, Finish, Sample


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


class ChatGenerator:
    """A generator over a provider. An answer cut off at its limit is one: `finish="length"`."""

    def __init__(
        self, provider: Provider, settings: AnswerSettings, calls: CallSettings | None = None
    ) -> None:
        self.caller = Caller(provider, calls or CallSettings())
        self._settings = settings

    def identity(self) -> Mapping[str, str]:
        """What the provider's identity is."""
        return self.caller.provider.identity()

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        """One completion a sample, in order; a sample that cannot be answered has its error.

        Raises:
            HarnessError: where no call can succeed: a wrong key, an empty account.
        """
        return run(self._generate(samples, attempt))

    def request(self, prompt: str, attempt: int = 0) -> Request:
        """What is asked for a prompt."""
        s = self._settings
        asked = Message("user", s.template.replace("{prompt}", prompt))
        return Request(
            messages=(*((Message("system", s.system),) if s.system else ()), asked),
            max_tokens=s.max_tokens,
            temperature=s.temperature,
            top_p=s.top_p,
            frequency_penalty=s.frequency_penalty,
            presence_penalty=s.presence_penalty,
            seed=None if s.seed is None else s.seed + attempt,
            stop=s.stop,
            turn=attempt,
        )

    async def _generate(self, samples: Sequence[Sample], attempt: int) -> list[Completion]:
        return await drained([self._answer(s, attempt) for s in samples])

    async def _answer(self, sample: Sample, attempt: int) -> Completion:
        try:
            asked = await ask(
                self.caller, self.request(sample.prompt, attempt), _text, longer=False
            )
        except NotAnswered as error:
            said = f"{error.cause}: {error.reason}"
            return Completion(sample, "", "error", error.usage, attempt=attempt, error=said)
        finish: Finish = "length" if asked.cut else "stop"
        seconds = sum(call.latency_s for call in asked.calls)
        return Completion(sample, asked.value, finish, asked.usage, seconds, attempt)


def _text(reply: Reply) -> str:
    return reply.text
