"""A server on loopback that replies as OpenAI and Anthropic do, with the faults that both have.

Example:
    from harness.testing.faults import Faults, FaultServer

    with FaultServer(Faults.mix(), latency=0.1) as server:
        client = openai.AsyncOpenAI(base_url=server.openai_url, api_key="any", max_retries=0)
        ...
        assert server.ledger.max_in_flight <= 64

The fixture `fault_server` makes such servers in a test, and closes them. For benchmarks there is
`python -m harness.testing.faults --mix --latency 0.1`: it serves in a process of its own, prints
one line of JSON with its addresses, and ends with the process that started it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from harness.errors import HarnessError
from harness.testing import _apis
from harness.testing._apis import APIS, Api
from harness.testing._bucket import Bucket, Shape
from harness.testing._ledger import Exchange, Ledger, Outcome
from harness.testing._mix import Faults, Plan, Request, drawing, known, uniform
from harness.testing._replies import Answer, Headers, Made, failed, made
from harness.testing._schema import Json
from harness.testing._verdict import (
    alternatives,
    canonical,
    conversation,
    honest,
    question,
    verdict,
)

if TYPE_CHECKING:
    from harness.testing._http import Loopback, Wire

_OPTIONS: Mapping[str, tuple[type[int] | type[float], float | None, str]] = {
    "port": (int, 0, "where to listen; 0 means a port that is free"),
    "seed": (int, 0, "of the draws"),
    "latency": (float, 0.0, "seconds to a reply"),
    "jitter": (float, 0.0, "share by which the latency varies"),
    "retry_after": (float, 1.0, "seconds that a 429 or a 503 tells the client to wait"),
    "hang": (float, 30.0, "seconds before a reply that hangs"),
    "rate": (float, None, "requests a second; more get 429"),
    "burst": (int, 1, "requests at once after a pause"),
    "max_concurrent": (int, None, "requests under way; more get 429"),
}

_REFUSED = ("rejected", "no_token", "crowded")
_ENDINGS: Mapping[str, Literal["cut", "none"]] = {"cut": "cut", "disconnect": "none"}

__all__ = [
    "Exchange",
    "FaultServer",
    "Faults",
    "Ledger",
    "Request",
    "alternatives",
    "question",
    "verdict",
]


class FaultServer:
    """Serves from `with` to the end of the block, in a thread of its own.

    What a request meets depends on the seed, on what it asks and on how often that was asked, not
    on the order or number of requests under way; only the limits of rate and concurrency do.
    """

    def __init__(
        self,
        faults: Plan = "",
        *,
        seed: int = 0,
        answer: Answer | None = None,
        latency: float = 0.0,
        jitter: float = 0.0,
        retry_after: float = 1.0,
        hang: float = 30.0,
        rate: float | None = None,
        burst: int = 1,
        max_concurrent: int | None = None,
        models: Sequence[str] = ("small", "large"),
        port: int = 0,
    ) -> None:
        """Set up a server.

        Args:
            faults: rates (`Faults`); or the name of a fault that every reply has; or names, for
                the first time that a question is asked, the second and so on, then none; or a
                function that gives each request the name of its fault, empty for none.
            seed: of the draws.
            answer: gives a reply's text or JSON; default `verdict`. It runs in the server's thread.
            latency: seconds from a request to its reply, also where that is a fault.
            jitter: the share of the latency by which a reply may be earlier or later.
            retry_after: seconds that a 429 or a 503 tells the client to wait.
            hang: seconds before a reply that hangs.
            rate: requests a second; what comes too soon gets 429 at once, with the time to wait.
            burst: how many requests may come at once after a pause.
            max_concurrent: how many requests may be under way; one more gets 429 at once.
            models: what `GET /v1/models` lists; any name is served.
            port: 0 means one that is free.

        Raises:
            HarnessError: when a fault is unknown, or a number cannot be.
        """
        _check(burst, max_concurrent, jitter, latency=latency, retry_after=retry_after, hang=hang)
        if rate is not None and not rate > 0:
            raise HarnessError(f"rate must be above 0 requests a second, not {rate!r}")
        self._draw, self._seed, self._answer = drawing(faults, seed), seed, answer
        self._latency, self._jitter, self._hang = latency, jitter, hang
        self._retry_after, self._most, self._models = retry_after, max_concurrent, tuple(models)
        self._bucket = Bucket(rate, burst) if rate is not None else None
        self._asked: Counter[bytes] = Counter()
        self._opened: Counter[bytes] = Counter()
        self._working = 0
        self._port, self._began = port, time.monotonic()
        self._server: Loopback | None = None
        self._error: Exception | None = None
        self.ledger = Ledger()
        """What was asked and replied."""

    def __enter__(self) -> Self:
        try:
            from harness.testing._http import Loopback
        except ModuleNotFoundError as error:
            raise HarnessError("the fault server needs h11: pip install h11") from error
        self._began = time.monotonic()
        self._server = Loopback(self._handle, self._port)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Break what is under way.

        Raises:
            HarnessError: when `answer` or the function of `faults` has raised an exception.
        """
        if self._server is not None:
            self._server.close()
        if self._error is not None and kind is None:
            raise HarnessError(f"no reply could be made: {self._error!r}") from self._error

    @property
    def url(self) -> str:
        """The address without a path.

        Raises:
            HarnessError: outside `with`.
        """
        if self._server is None:
            raise HarnessError("the fault server serves inside `with` only")
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def openai_url(self) -> str:
        """What openai's clients take as `base_url`."""
        return f"{self.url}/v1"

    @property
    def anthropic_url(self) -> str:
        """What anthropic's clients take as `base_url`."""
        return self.url

    def _handle(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Wire:
        """Make the reply to a request; it is called in the server's thread."""
        from harness.testing._http import Wire

        path = target.partition("?")[0]
        if (method, path) == ("GET", "/ledger"):
            told = json.dumps({**self.ledger.summary(), "cpu_s": time.process_time()}).encode()
            return Wire(200, told, (("Content-Type", "application/json"),), lambda whole: None)
        exchange, shape = self._arrived(path, headers, body), _shape(path, headers)
        try:
            reply = self._reply(method, exchange, shape, headers)
        except Exception as error:  # what the test's own function raised is told at the end
            self._error = self._error or error
            reply = failed(shape, "", 0, 500, "the test's function raised an error")
        self._working += reply.fault not in _REFUSED
        exchange = replace(
            exchange, fault=reply.fault, status=reply.status, reply=reply.body, usage=reply.usage
        )
        return Wire(
            reply.status,
            reply.body,
            self._headers(exchange, shape, reply),
            done=partial(self._left, exchange),
            delay=self._delay(exchange),
            ending=_ENDINGS.get(reply.fault, "whole"),
        )

    def _arrived(self, path: str, headers: Mapping[str, str], body: bytes) -> Exchange:
        try:
            asked: object = json.loads(body)
        except (ValueError, RecursionError):
            asked = None
        return Exchange(
            number=self.ledger.arrive(),
            api=APIS[path].name if path in APIS else "",
            path=path,
            body=asked if isinstance(asked, dict) else {},
            header_names=frozenset(headers),
            bearer=headers.get("authorization", "").startswith("Bearer "),
            arrived_s=time.monotonic() - self._began,
        )

    def _left(self, exchange: Exchange, whole: bool) -> None:
        broken = exchange.fault in _ENDINGS
        outcome: Outcome = "sent" if whole else "broken" if broken else "abandoned"
        self._working -= exchange.fault not in _REFUSED
        left = time.monotonic() - self._began
        self.ledger.end(replace(exchange, outcome=outcome, left_s=left))

    def _reply(
        self, method: str, exchange: Exchange, shape: Shape, headers: Mapping[str, str]
    ) -> Made:
        path, body = exchange.path, exchange.body
        refused = partial(failed, shape, "rejected", 0)
        if not exchange.bearer and "x-api-key" not in headers:
            return refused(401, "no key was given: Authorization: Bearer KEY")
        if path == "/v1/models" and method == "GET":
            return Made(200, json.dumps(_apis.models(shape, self._models)).encode())
        api = APIS.get(path)
        if api is None:
            return refused(404, f"{path} is not served; there are {', '.join(APIS)}")
        if method != "POST":
            return refused(405, f"{path} takes POST")
        if not body:
            return refused(400, "the body is no JSON object")
        key = conversation(body)
        try:
            objection = api.refuses(body, headers)
            value = "" if objection or self._answer else honest(body, key)
        except ValueError as error:
            objection = str(error)
        if objection:
            return refused(400, objection)
        return self._limited(shape) or self._made(api, body, key, value)

    def _limited(self, shape: Shape) -> Made | None:
        if self._most is not None and self._working >= self._most:
            return failed(shape, "crowded", self._retry_after)
        wait = self._bucket.take() if self._bucket else 0.0
        return failed(shape, "no_token", wait) if wait > 0 else None

    def _made(self, api: Api, body: Json, key: bytes, value: str | Json) -> Made:
        told = canonical(body)
        same = hashlib.blake2b(told, digest_size=16).digest()
        request = Request(api.name, body, self._asked[same], self._opened[key], told, key)
        self._asked[same] += 1
        self._opened[key] += 1
        fault = known(self._draw(request))
        value = self._answer(request) if self._answer else value
        return made(api, request, fault, value, self._retry_after)

    def _headers(self, exchange: Exchange, shape: Shape, reply: Made) -> Headers:
        name = "request-id" if shape == "anthropic" else "x-request-id"
        own = (("Content-Type", reply.kind), (name, f"req_{exchange.number:08d}"), *reply.headers)
        return (*own, *self._bucket.headers(shape)) if self._bucket else own

    def _delay(self, exchange: Exchange) -> float:
        if exchange.fault in _REFUSED:
            return 0.0
        late = self._hang if exchange.fault == "hang" else 0.0
        if not self._latency * self._jitter:
            return self._latency + late
        share = self._jitter * (2 * uniform(self._seed, canonical(exchange.body)) - 1)
        return self._latency * (1 + share) + late


def _shape(path: str, headers: Mapping[str, str]) -> Shape:
    known_by = path.startswith("/v1/messages") or "anthropic-version" in headers
    return "anthropic" if known_by else "openai"


def _check(burst: int, most: int | None, jitter: float, **seconds: float) -> None:
    for name, number in seconds.items():
        if not 0 <= number < float("inf"):
            raise HarnessError(f"{name} must be 0 seconds or more, not {number!r}")
    if not 0 <= jitter <= 1:
        raise HarnessError(f"jitter must be from 0 to 1, not {jitter!r}")
    for name, count in [("burst", burst), ("max_concurrent", most)]:
        if count is not None and count < 1:
            raise HarnessError(f"{name} must be at least 1, not {count!r}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM comes, or the process that started this one has ended."""
    given, stop, parent = _parser().parse_args(arguments), threading.Event(), os.getppid()
    try:
        rates = {known(name): float(rate or "nan") for name, _, rate in given.fault}
        server = FaultServer(
            Faults.mix(**rates) if given.mix else Faults(**rates),
            seed=given.seed, latency=given.latency, jitter=given.jitter, hang=given.hang,
            retry_after=given.retry_after, rate=given.rate, burst=given.burst,
            max_concurrent=given.max_concurrent, port=given.port,
        )  # fmt: skip
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        with server:
            urls = {"openai_url": server.openai_url, "anthropic_url": server.anthropic_url}
            print(json.dumps({**urls, "ledger_url": f"{server.url}/ledger"}), flush=True)
            while not stop.wait(0.5) and os.getppid() == parent:
                pass
    except (HarnessError, ValueError, TypeError) as error:
        raise SystemExit(f"error: {error}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m harness.testing.faults", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--mix", action="store_true", help="the faults of Faults.mix()")
    parser.add_argument(
        "--fault", metavar="NAME=RATE", action="append", default=[],
        type=lambda given: given.partition("="),
        help="share of replies with a fault, instead of the mix's; may be given again",
    )  # fmt: skip
    for name, (kind, default, told) in _OPTIONS.items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=kind, default=default, metavar="N", help=told)
    return parser


if __name__ == "__main__":
    main()
