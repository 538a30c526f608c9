"""Generators that ask a service: one conversation a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.calls.asking import ask
from harness.calls.caller import Caller
from harness.calls.loop import drained, run
from harness.calls.settings import AnswerSettings, CallSettings
from harness.calls.values import Message, NotAnswered, Provider, Reply, Request
from harness.components import Completion, Finish, Sample


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
