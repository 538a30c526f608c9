"""Which fault a reply has: drawn from what is asked, never from the order of requests."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TypeVar

from harness.errors import HarnessError
from harness.testing._schema import Json
from harness.testing._verdict import question, schema_of


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked.

    `api` is `chat`, `completions`, `decisions` or `messages`. `times_asked` counts from 0 how often
    this very body came before, `times_opened` how often a request with this question did, whatever
    its limits and later turns. `canonical` is the body as sorted JSON, `key` names its question.
    """

    api: str
    body: Json
    times_asked: int
    times_opened: int
    canonical: bytes = field(repr=False)
    key: bytes = field(repr=False)

    @property
    def model(self) -> str:
        """The model that is asked."""
        return str(self.body.get("model"))

    @property
    def question(self) -> str:
        """The first thing that the user says."""
        return question(self.body)

    @property
    def schema(self) -> Json | None:
        """The JSON schema that the reply must keep to, if one was given."""
        return schema_of(self.body)


@dataclass(frozen=True, slots=True)
class Faults:
    """The share of replies with each fault, from 0 to 1; together at most 1.

    Example: `Faults(server_error=0.03, refusal=0.01)`.
    """

    rate_limit: float = 0.0
    "429 with Retry-After in seconds."
    rate_limit_ms: float = 0.0
    "429 with retry-after-ms."
    rate_limit_bare: float = 0.0
    "429 that does not say how long to wait."
    quota: float = 0.0
    "No money left: 429 insufficient_quota from OpenAI, 402 billing_error from Anthropic."
    server_error: float = 0.0
    "500."
    unavailable: float = 0.0
    "503 with Retry-After in seconds."
    overloaded: float = 0.0
    "529."
    hang: float = 0.0
    "The reply comes, but after a long time."
    cut: float = 0.0
    "Half of the body that Content-Length announces, then the end of the connection."
    disconnect: float = 0.0
    "The end of the connection before any byte."
    truncated: float = 0.0
    "Half of the text, as at the token limit: finish_reason length, stop_reason max_tokens."
    missing_key: float = 0.0
    "JSON without the last key that has a menu."
    off_menu: float = 0.0
    "JSON with a value that the schema does not allow: one above the highest, or none of these."
    wrong_type: float = 0.0
    "JSON with a word where a number belongs."
    prose: float = 0.0
    "Valid JSON in a fence, with prose and braces around it."
    html: float = 0.0
    "200 with a page of HTML."
    null: float = 0.0
    "200 with the body `null`."
    empty_object: float = 0.0
    "200 with the body `{}`."
    empty_content: float = 0.0
    "A complete reply with no text in it."
    refusal: float = 0.0
    "The model declines: OpenAI's field refusal, Anthropic's stop_reason refusal with details."
    content_filter: float = 0.0
    "A filter withholds the text: finish_reason content_filter, stop_reason refusal alone."
    bad_request: float = 0.0
    "400."
    unauthorized: float = 0.0
    "401."

    def __post_init__(self) -> None:
        rates = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, rate in rates.items():
            if not 0 <= rate <= 1:
                raise ValueError(f"fault {name} must have a rate from 0 to 1, not {rate!r}")
        if sum(rates.values()) > 1 + 1e-9:
            raise ValueError(f"rates of faults must sum to at most 1, not {sum(rates.values())}")

    @classmethod
    def mix(cls, **changes: float) -> Faults:
        """Faults as a bad hour brings them, in 19.5 % of replies.

        Args:
            changes: rates that differ from the mix's.
        """
        weather = cls(
            rate_limit=0.03, rate_limit_ms=0.01, rate_limit_bare=0.01, server_error=0.03,
            truncated=0.02, missing_key=0.005, off_menu=0.01, wrong_type=0.005, disconnect=0.02,
            cut=0.01, html=0.01, refusal=0.01, prose=0.02, hang=0.005,
        )  # fmt: skip
        return replace(weather, **changes)

    def draw(self, seed: int, request: Request) -> str:
        """The fault of the reply to a request; empty for none."""
        point = uniform(seed, str(request.times_asked).encode(), request.canonical)
        for name in NAMES:
            point -= getattr(self, name)
            if point < 0:
                return name
        return ""


NAMES: tuple[str, ...] = tuple(f.name for f in fields(Faults))
Plan = Faults | str | Sequence[str] | Callable[[Request], str]
T = TypeVar("T")


def drawing(plan: Plan, seed: int) -> Callable[[Request], str]:
    """What says which fault a request meets.

    Raises:
        HarnessError: when a fault is named that there is not.
    """
    if plan == Faults():
        return lambda request: ""
    if isinstance(plan, Faults):
        return lambda request: plan.draw(seed, request)
    if isinstance(plan, str):
        always = known(plan)
        return lambda request: always
    if callable(plan):
        return lambda request: known(plan(request))
    script = [known(name) for name in plan]
    return lambda r: script[r.times_opened] if r.times_opened < len(script) else ""


def known(name: str) -> str:
    """The name of a fault; empty for none.

    Raises:
        HarnessError: when there is no such fault.
    """
    if name and name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, 1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise HarnessError(f"there is no fault {name!r}{hint} There are: {', '.join(NAMES)}")
    return name


def uniform(seed: int, *told: bytes) -> float:
    """A number in [0, 1) of a seed and what is told."""
    digest = hashlib.blake2b(b":".join((str(seed).encode(), *told)), digest_size=7).digest()
    return int.from_bytes(digest) / 2**56
