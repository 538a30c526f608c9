"""The endpoints: what a request looks like there, and what its reply means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from harness.calls import Reply, Request
from harness_openai._reading import (
    Json,
    finish_of,
    first_choice,
    get,
    model_of,
    text_of,
    tokens_of,
    usage_of,
)


class Shape(Protocol):
    """One endpoint."""

    @property
    def path(self) -> str:
        """Where it is, below the address."""
        ...

    def identity(self) -> Mapping[str, str]:
        """What decides a reply beside the request and the model."""
        ...

    def body(self, model: str, request: Request) -> dict[str, object]:
        """What is sent."""
        ...

    def read(self, answer: Json) -> Reply:
        """What came back; raises Broken."""
        ...


@dataclass(frozen=True, slots=True)
class Chat:
    """Chat completions. `limit` is the name of the token limit, `effort` the reasoning effort."""

    limit: str
    effort: str = ""
    path: str = "/chat/completions"

    def identity(self) -> Mapping[str, str]:
        """The endpoint, and the effort where one is set."""
        return {"api": "chat"} | ({"reasoning_effort": self.effort} if self.effort else {})

    def body(self, model: str, request: Request) -> dict[str, object]:
        """Messages, schema, log-probabilities and sampling parameters: only those that are set."""
        body: dict[str, object] = {
            "model": model,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            self.limit: request.max_tokens,
            **_sampling(request),
        }
        if self.effort:
            body["reasoning_effort"] = self.effort
        if request.schema is not None:
            bound = {"name": "reply", "strict": True, "schema": dict(request.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": bound}
        if request.top_logprobs:
            body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
        return body

    def read(self, answer: Json) -> Reply:
        """The first choice's message."""
        choice = first_choice(answer)
        message = get(choice, "message", dict)
        refused, usage, model = message.get("refusal"), usage_of(answer), model_of(answer)
        if isinstance(refused, str) and refused:
            return Reply(refused, "refusal", usage, model)
        finish = finish_of(choice)
        text = text_of(message, "content", finish)
        return Reply(text, finish, usage, model, tokens=tokens_of(choice.get("logprobs")))


@dataclass(frozen=True, slots=True)
class Completions:
    """Completions of base models. `start` comes after the prompt."""

    start: str = ""
    path: str = "/completions"

    def identity(self) -> Mapping[str, str]:
        """The endpoint, and what comes after the prompt."""
        return {"api": "completions", "start": self.start}

    def body(self, model: str, request: Request) -> dict[str, object]:
        """The messages' texts as one prompt, and the sampling parameters that are set."""
        prompt = "\n\n".join(m.content for m in request.messages) + self.start
        limit = request.max_tokens
        return {"model": model, "prompt": prompt, "max_tokens": limit, **_sampling(request)}

    def read(self, answer: Json) -> Reply:
        """The first choice's text."""
        choice = first_choice(answer)
        finish = finish_of(choice)
        text = text_of(choice, "text", finish)
        return Reply(text, finish, usage_of(answer), model_of(answer))


@dataclass(frozen=True, slots=True)
class Decisions:
    """The decisions endpoint; the questions are the request's `extra["questions"]`.

    The reply's text is the JSON of the answers, in order. Where one is declined, all is a refusal.
    """

    path: str = "/decisions"

    def identity(self) -> Mapping[str, str]:
        """The endpoint."""
        return {"api": "decisions"}

    def body(self, model: str, request: Request) -> dict[str, object]:
        """The first two messages: what is wrong with a reply is of no use to this endpoint."""
        said = [
            {"type": "message", "role": m.role, "content": m.content} for m in request.messages[:2]
        ]
        return {"model": model, "input": said, "questions": request.extra["questions"]}

    def read(self, answer: Json) -> Reply:
        """The answers as they are."""
        answers, usage, model = get(answer, "answers", list), usage_of(answer), model_of(answer)
        for place, one in enumerate(answers):
            if isinstance(one, dict) and one.get("type") == "refusal":
                asked = one.get("name") or place
                return Reply(f"the model declined question {asked!r}", "refusal", usage, model)
        return Reply(json.dumps(answers, ensure_ascii=False), "stop", usage, model)


def _sampling(request: Request) -> dict[str, object]:
    given: dict[str, object | None] = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "frequency_penalty": request.frequency_penalty,
        "presence_penalty": request.presence_penalty,
        "seed": request.seed,
        "stop": list(request.stop) or None,
    }
    return {name: value for name, value in given.items() if value is not None}
