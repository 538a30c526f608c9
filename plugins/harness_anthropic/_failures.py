"""What a failure of the SDK means to the harness.

Sources: the SDK's exceptions (anthropic/_exceptions.py), and its error codes (types/shared).
"""

from __future__ import annotations

import email.utils
import math
import time
from collections.abc import Mapping
from datetime import datetime

import anthropic

from harness.calls import CallError, Failure, Reply
from harness.calls.keys import Key

_UNSENT = {"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "ProxyError"}
_SPENT = "credit balance is too low"
_WITHHELD = "blocked by content filtering policy"
_LONGEST_PAUSE_S = 10.0  # its limits fill up all the time, so there is no need to wait for all
_ACCOUNT_CODES = {
    "contract_spend_limit_reached",
    "enforced_spend_limit_reached",
    "organization_on_hold",
}


def call_error(error: Exception, key: Key) -> CallError:
    """The failure that an exception stands for, in words that do not hold the key."""
    if isinstance(error, anthropic.APIStatusError):
        return _refused(error, key)
    cause = error.__cause__ or error
    said = key.shown(f"{type(cause).__name__}: {cause}".removesuffix(": "))
    sent = type(cause).__name__ not in _UNSENT
    if isinstance(error, anthropic.APITimeoutError):
        return CallError(Failure.TIMEOUT, said, may_be_billed=sent)
    if isinstance(error, anthropic.APIConnectionError):
        return CallError(Failure.CONNECTION, said, may_be_billed=sent)
    return CallError(Failure.REQUEST, f"this cannot be asked: {said}")


def withheld(error: Exception, key: Key) -> Reply | None:
    """The refusal that a 400 stands for, where the service's filter withheld what was written."""
    if not isinstance(error, anthropic.BadRequestError):
        return None
    said = str(error.api_message)
    if _WITHHELD not in said.lower():
        return None
    return Reply(f"the service withheld the reply: {key.shown(said)}", "refusal")


def _refused(error: anthropic.APIStatusError, key: Key) -> CallError:
    code, headers = error.status_code, error.response.headers
    said = key.shown(f"{code} {error.api_message or error.body or error.message}")
    if _of_account(error):
        told = f"the key is that of the environment variable {key.variable}"
        said += f" ({told if key.variable else 'no key was sent; name one with key_env=NAME'})"
        return CallError(Failure.ACCOUNT, said)
    wait = retry_after_s(headers)
    if code in (429, 529) or (code == 503 and wait is not None):
        wait = (pause_s(headers) or None) if wait is None else wait
        return CallError(Failure.RATE_LIMIT, said, retry_after_s=wait)
    if code in (408, 409) or code >= 500:
        late = code in (408, 504)
        return CallError(Failure.SERVER_ERROR, said, retry_after_s=wait, may_be_billed=late)
    return CallError(Failure.REQUEST, said)


def _of_account(error: anthropic.APIStatusError) -> bool:
    return (
        error.status_code in (401, 402, 403)
        or error.type == "billing_error"
        or error.error_code in _ACCOUNT_CODES
        or (error.status_code == 400 and _SPENT in str(error.api_message).lower())
    )


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that a service asks to wait, as it says so; None where it does not."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return max(milliseconds / 1000, 0.0)
    said = headers.get("retry-after")
    seconds = _number(said)
    if seconds is not None:
        return max(seconds, 0.0)
    try:
        date = email.utils.parsedate_to_datetime(said or "")
        return max(date.timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None


def pause_s(headers: Mapping[str, str]) -> float:
    """Seconds to make no call, if the service says that none is left; otherwise 0."""
    if headers.get("anthropic-ratelimit-requests-remaining") != "0":
        return 0.0
    try:
        full = datetime.fromisoformat(headers.get("anthropic-ratelimit-requests-reset", ""))
        return min(max(full.timestamp() - time.time(), 0.0), _LONGEST_PAUSE_S)
    except (ValueError, OverflowError):
        return 0.0


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return None if math.isnan(value) else value
