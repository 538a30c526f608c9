"""A provider in this process that replies as a function says: for tests of judges and rubrics.

Example:
    from harness.calls import CallSettings
    from harness.judging import RubricJudge, RubricSettings
    from harness.testing.scripted import Scripted

    def reply(request):
        return {"reason": "agrees", "score": 5 if "Paris" in request.messages[1].content else 0}

    judge = RubricJudge(Scripted(reply), RubricSettings(rubric="my.toml"), CallSettings())
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harness.calls import Capabilities, Reply, Request

Answer = Reply | str | Mapping[str, object]


@dataclass(slots=True, weakref_slot=True)
class Scripted:
    """A provider without a service.

    Args:
        reply: Gives the reply to a request: a `Reply`, its text, or an object that becomes JSON. It
            may raise a `CallError`.
        capabilities: What it says that it can do.
        name: What it is called; part of its identity.
    """

    reply: Callable[[Request], Answer]
    capabilities: Capabilities = field(default_factory=Capabilities)
    name: str = "scripted"
    asked: list[Request] = field(default_factory=list)
    """The requests that came, in order."""

    def identity(self) -> Mapping[str, str]:
        """Its name."""
        return {"service": self.name}

    async def send(self, request: Request) -> Reply:
        """What the function gives."""
        self.asked.append(request)
        given = self.reply(request)
        if isinstance(given, Reply):
            return given
        return Reply(given if isinstance(given, str) else json.dumps(given))

    async def close(self) -> None:
        """Nothing is open."""
