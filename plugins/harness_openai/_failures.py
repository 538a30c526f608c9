"""What a failure of a call means, and what the user can do about it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

import openai

from harness.calls import CallError, Failure
from harness.calls.keys import Key

_SHOWN = 400  # characters of what a service says
_NO_QUOTA = {
    "insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "account_deactivated",
}  # fmt: skip
_FILTERED = {"content_filter", "content_policy_violation", "invalid_prompt"}
_PERHAPS_BILLED = {408, 504, 524}  # a gateway gave up; the model may have worked all the same
_LONGEST_PAUSE_S = 10.0
_NOT_SENT = ("Connect", "Proxy", "Local", "Unsupported", "Pool", "InvalidURL")

_REMEDIES = {
    "max_tokens": "set limit_as=max_completion_tokens",
    "max_completion_tokens": "set limit_as=max_tokens",
    "temperature": "leave temperature unset and set sampling=off",
    "seed": "leave seed unset and set sampling=off",
    "response_format": "set schema=off",
    "top_logprobs": "use method=votes in place of method=logprobs",
    "logprobs": "use method=votes in place of method=logprobs",
    "reasoning_effort": "leave reasoning_effort unset, or choose another",
    "top_p": "leave top_p unset",
    "frequency_penalty": "leave frequency_penalty unset",
    "presence_penalty": "leave presence_penalty unset",
    "stop": "leave stop unset",
}


@dataclass(frozen=True, slots=True)
class Refused:
    """An error that the service sent: its status, code, message, and the reply's headers."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def filtered(self) -> bool:
        """Whether the service refused the content, not the form, of the request."""
        return self.status == 400 and self.code in _FILTERED


def refused(error: openai.APIStatusError) -> Refused:
    """What an error of the SDK says."""
    body = error.body if isinstance(error.body, dict) else {"message": error.body}
    return _refused(error.status_code, body, error.response.headers)


def refused_within(answer: Mapping[str, object]) -> Refused | None:
    """The error in a reply with status 200, as some gateways send it."""
    inner = answer.get("error")
    if not inner or answer.get("choices") or answer.get("answers"):
        return None
    body = inner if isinstance(inner, dict) else {"message": inner}
    code = body.get("code")
    status = code if type(code) is int and 400 <= code < 600 else 500
    return _refused(status, body, {})


def _refused(status: int, body: Mapping[str, object], headers: Mapping[str, str]) -> Refused:
    code = str(body.get("code") or body.get("type") or "")
    said = str(body.get("message") or body.get("detail") or "it does not say why")
    if re.match(r"\s*<(!doctype|html|head)", said, re.IGNORECASE):
        said = "a page of HTML"
    return Refused(status, "" if code == str(status) else code, said, headers)


class Failures:
    """Makes the errors of one provider; none of them holds the key, or an error of the SDK."""

    def __init__(self, key: Key, address: str, model: str) -> None:
        self._key, self._address, self._model = key, address, model

    def of_status(self, r: Refused, body: Mapping[str, object]) -> CallError:
        """The error for what the service refused; `body` is what it was sent."""
        wait = retry_after(r.headers)
        if r.status in (401, 402, 403) or r.code in _NO_QUOTA:
            return self._error(Failure.ACCOUNT, r, self._account(r))
        if r.status == 429 and "too large" in r.message:  # for the limit of a minute: no wait helps
            return self._error(Failure.REQUEST, r, "")
        if r.status in (429, 529) or (r.status == 503 and wait is not None):
            return self._error(Failure.RATE_LIMIT, r, "", retry_after_s=wait)
        if r.status in (408, 409) or r.status >= 500:
            billed = r.status in _PERHAPS_BILLED
            return self._error(Failure.SERVER_ERROR, r, "", wait, billed)
        return self._error(Failure.REQUEST, r, self._remedy(r, body))

    def of(self, error: Exception) -> CallError:
        """The error for whatever else was raised."""
        if isinstance(error, openai.APITimeoutError):
            return CallError(Failure.TIMEOUT, "no reply in time", may_be_billed=True)
        if isinstance(error, openai.APIConnectionError):
            cause = type(error.__cause__).__name__
            why = f": {error.__cause__}" if str(error.__cause__ or "") else ""
            said = self.said(f"no connection to {self._address} ({cause}{why})")
            sent = not cause.startswith(_NOT_SENT)
            return CallError(Failure.CONNECTION, said, may_be_billed=sent)
        if isinstance(error, UnicodeError):
            return CallError(Failure.REQUEST, "a text has characters that cannot be sent as UTF-8")
        return CallError(Failure.REQUEST, self.said(f"{type(error).__name__}: {error}"))

    def broken(self, why: str) -> CallError:
        """The error for a reply that is none."""
        said = self.said(f"the reply is broken: {why}")
        return CallError(Failure.SERVER_ERROR, said, may_be_billed=True)

    def _error(
        self,
        failure: Failure,
        r: Refused,
        remedy: str,
        retry_after_s: float | None = None,
        billed: bool = False,
    ) -> CallError:
        code = f" {r.code}" if r.code else ""
        said = self.said(f"{r.status}{code}: {r.message}") + (f"; {remedy}" if remedy else "")
        return CallError(failure, said, retry_after_s=retry_after_s, may_be_billed=billed)

    def said(self, text: str) -> str:
        """What a service says as one line, short, and without the key."""
        return " ".join(self._key.hide(text).split())[:_SHOWN]

    def _account(self, r: Refused) -> str:
        variable = self._key.variable
        if not variable:
            return "no key was sent; name the environment variable that holds one: key_env=NAME"
        if r.status == 402 or r.code in _NO_QUOTA:
            return f"the account of the key in {variable} has nothing left to spend"
        return f"the key comes from the environment variable {variable}"

    def _remedy(self, r: Refused, body: Mapping[str, object]) -> str:
        if r.status == 404:
            return f"is there a model {self._model!r} at {self._address}? Most end in /v1"
        named = (n for n in _REMEDIES if n in body and re.search(rf"\b{n}\b", r.message))
        return _REMEDIES.get(next(named, ""), "")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait: `retry-after-ms`, or `Retry-After` as seconds or a date; else None."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
        if seconds >= 0:
            return seconds
    try:
        at = parsedate_to_datetime(headers["retry-after"]).timestamp()
    except (KeyError, ValueError, OverflowError, OSError):
        return None
    return max(0.0, at - time.time())


def pause(headers: Mapping[str, str]) -> float:
    """Seconds that no further call should be made: 0 unless a rate is used up.

    A rate that is used up is full again after the time in the header; one call may be made long
    before, so the pause is short.
    """
    waits = [
        duration(headers.get(f"x-ratelimit-reset-{what}", ""))
        for what in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{what}") == "0"
    ]
    return min(max(waits, default=0.0), _LONGEST_PAUSE_S)


def duration(text: str) -> float:
    """Seconds of a text such as `1h2m3.5s` or `20ms`; 0 for what is none."""
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "": 1.0}
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|)", text)
    if "".join(number + unit for number, unit in parts) != text:
        return 0.0
    return sum(float(number) * units[unit] for number, unit in parts)
