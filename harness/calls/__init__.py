"""Calls to services that cost money: bounded, retried, within a budget, and kept in the store.

A plugin writes a `Provider`, which knows one service and nothing else; a `Caller` makes its calls.
"""

from harness.calls.asking import Asked, ask
from harness.calls.caller import Caller
from harness.calls.loop import run
from harness.calls.session import Session, session
from harness.calls.settings import CallSettings
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
    "Asked",
    "CallError",
    "CallSettings",
    "Caller",
    "Capabilities",
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
