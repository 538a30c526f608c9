"""The examiner: puts one rubric to one model, and reads what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from harness.calls import (
    Caller,
    CallSettings,
    Message,
    NotAnswered,
    Provider,
    Reply,
    Request,
    ask,
)
from harness.components import Unscored
from harness.errors import PluginError
from harness.fingerprint import digest
from harness.judging.ballots import Ballot
from harness.judging.prompt import Field, code_for, schema, system_message, user_message
from harness.judging.reading import Verdict, read_verdict
from harness.judging.rubric import Rubric
from harness.judging.settings import AskingSettings, Method
from harness.judging.weighting import NoWeights, weigh, weighable

_ALTERNATIVES = 20  # of each token: the most that services give
_JUDGEMENTS = 4  # under way for each call that may be


class Examiner:
    """Asks for verdicts, one ballot an ask.

    Args:
        provider: The model.
        settings: How it is asked; the calls' settings too, unless `calls` has them.
        calls: How calls are made.
        rubric: What is asked.
        task: What the judge is to do, the first sentence that it is told.
        fields: What the material is, as a part of a sentence.
        method: How a verdict is taken.

    Raises:
        PluginError: for what this model, by its capabilities, cannot be asked for.
    """

    def __init__(
        self,
        provider: Provider,
        settings: AskingSettings,
        calls: CallSettings | None,
        *,
        rubric: Rubric,
        task: str,
        fields: str,
        method: Method = "single",
    ) -> None:
        _check(provider, settings, rubric, method)
        own = settings if isinstance(settings, CallSettings) else CallSettings()
        self.caller = Caller(provider, calls or own)
        self.rubric = rubric
        # The caller bounds the calls; a judgement that waits to try again makes none.
        self.concurrency = _JUDGEMENTS * self.caller.settings.concurrency
        self._system = Message("system", system_message(rubric, task, fields))
        self._settings, self._method = settings, method
        self._bound = provider.capabilities.schema
        self._schema = schema(rubric, settings.reason_chars) if self._bound else None

    def identity(self) -> Mapping[str, str]:
        """The provider's identity, and digests of the rubric and of all that is said and asked."""
        example, _ = self.request([("question", ""), ("answer", "")])
        asked = digest(example.canonical())
        return {
            **self.caller.provider.identity(),
            "rubric": self.rubric.digest,
            "prompt": asked,
        }

    def request(self, fields: Sequence[Field], turn: int = 0) -> tuple[Request, str | None]:
        """What is asked, and the code that the verdict must have where no schema binds it."""
        settings, can = self._settings, self.caller.provider.capabilities
        code = code_for(self.rubric, fields)
        said = user_message(self.rubric, fields, code, bound=self._bound)
        temperature = settings.temperature
        if temperature is None and can.temperature and self._method != "votes":
            temperature = 0.0
        request = Request(
            messages=(self._system, Message("user", said)),
            max_tokens=settings.max_tokens,
            schema=self._schema,
            top_logprobs=_ALTERNATIVES if self._method == "logprobs" else 0,
            temperature=temperature,
            seed=None if settings.seed is None else settings.seed + turn,
            turn=turn,
        )
        return request, None if self._bound else code

    async def ballot(self, fields: Sequence[Field], turn: int = 0) -> Ballot:
        """One ask; a verdict that cannot be had is a ballot with the cause.

        Raises:
            HarnessError: when no call can succeed, or the run was stopped.
        """
        request, code = self.request(fields, turn)
        try:
            asked = await ask(self.caller, request, self._reader(code))
        except NotAnswered as error:
            return Ballot({}, {}, error.reason, error.cause, error.usage, error.calls)
        ballot = self._weighed(asked.reply, asked.value, code)
        return replace(ballot, usage=asked.usage, calls=asked.calls)

    def _reader(self, code: str | None) -> Callable[[Reply], Verdict]:
        return lambda reply: read_verdict(reply.text, self.rubric, code)

    def _weighed(self, reply: Reply, verdict: Verdict, code: str | None) -> Ballot:
        if self._method != "logprobs":
            given = {q.name: q.shares_of(verdict.answers[q.name]) for q in self.rubric.questions}
            return Ballot(given, {}, verdict.reason)
        try:
            shares, masses = weigh(reply, verdict, self.rubric, code)
        except NoWeights as error:
            return Ballot({}, {}, str(error), Unscored.BAD_SCHEMA)
        return Ballot(shares, masses, verdict.reason)


def _check(provider: Provider, settings: AskingSettings, rubric: Rubric, method: Method) -> None:
    can, name = provider.capabilities, provider.name
    if settings.temperature is not None and not can.temperature:
        raise PluginError(f"{name}: this model takes no temperature; leave temperature out")
    if settings.seed is not None and not can.seed:
        raise PluginError(f"{name}: this model takes no seed; leave seed out")
    if method != "logprobs":
        return
    if not can.logprobs:
        raise PluginError(f"{name}: no log-probabilities of this model; use method=votes,votes=5")
    why = weighable(rubric)
    if why:
        raise PluginError(f"{name}: method=logprobs weighs tokens, and {why}; use method=votes")
