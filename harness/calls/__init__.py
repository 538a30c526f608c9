"""Calls to services that cost money: bounded, retried, within a budget, and kept in the store.

A plugin writes a `Provider`, which knows one service and nothing else; a `Caller` makes its calls.
Names are imported when they are first used: plugins are listed without an event loop.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.calls.asking import Asked, ask
    from harness.calls.caller import Caller
    from harness.calls.generator import ChatGenerator
    from harness.calls.loop import run
    from harness.calls.sessions import Session, session
    from harness.calls.settings import AnswerSettings, CallSettings
    from harness.calls.values import (
        CallError,
        Capabilities,
        Failure,
        Message,
        NotAnswered,
        Provider,
        Reply,
        Request,
        Stopped,
        Token,
        Unreadable,
    )

__all__ = [
    "AnswerSettings",
    "Asked",
    "CallError",
    "CallSettings",
    "Caller",
    "Capabilities",
    "ChatGenerator",
    "Failure",
    "Message",
    "NotAnswered",
    "Provider",
    "Reply",
    "Request",
    "Session",
    "Stopped",
    "Token",
    "Unreadable",
    "ask",
    "run",
    "session",
]

# The names that are not in harness.calls.values, by the module that they come from.
_ELSEWHERE = {
    "asking": "Asked ask",
    "caller": "Caller",
    "generator": "ChatGenerator",
    "loop": "run",
    "sessions": "Session session",
    "settings": "AnswerSettings CallSettings",
}
_HOME = {name: module for module, names in _ELSEWHERE.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'harness.calls' has no attribute {name!r}")
    module = importlib.import_module(f"harness.calls.{_HOME.get(name, 'values')}")
    value: object = getattr(module, name)
    globals()[name] = value
    return value
