"""The fault server: it replies as the services do, and the official clients see its faults."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from functools import cached_property
from typing import Literal
from urllib.request import urlopen

import anthropic
import openai
import pydantic
import pytest
from openai.types.chat import ChatCompletion

from harness.components import Usage
from harness.errors import HarnessError
from harness.testing._schema import fill, spoil
from harness.testing.faults import (
    Faults,
    FaultServer,
    Request,
    alternatives,
    question,
    verdict,
)

KEY = "sk-not-to-be-found"
SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "score": {"type": "integer", "enum": [0, 1, 2]}},
    "required": ["reason", "score"],
    "additionalProperties": False,
}
Serve = Callable[..., FaultServer]


class Clients:
    """Both services' clients, neither of which retries."""

    def __init__(self, server: FaultServer, timeout: float = 20) -> None:
        self._server, self._timeout = server, timeout
        self.stack = contextlib.ExitStack()

    @cached_property
    def openai(self) -> openai.OpenAI:
        """OpenAI's client."""
        url = self._server.openai_url
        client = openai.OpenAI(base_url=url, api_key=KEY, max_retries=0, timeout=self._timeout)
        return self.stack.enter_context(client)

    @cached_property
    def anthropic(self) -> anthropic.Anthropic:
        """Anthropic's client."""
        url, wait = self._server.anthropic_url, self._timeout
        client = anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0, timeout=wait)
        return self.stack.enter_context(client)

    def chat(self, text: str = "Is it so?", **more: object) -> object:
        """A chat completion under the schema."""
        body = {**chat_body(text), **more}
        return self.openai.chat.completions.create(**body)  # type: ignore[call-overload]

    def message(self, text: str = "Is it so?", **more: object) -> object:
        """A message under the schema."""
        body = {**message_body(text), **more}
        return self.anthropic.messages.create(**body)  # type: ignore[call-overload]


@pytest.fixture
def clients() -> Iterator[Callable[..., Clients]]:
    with contextlib.ExitStack() as stack:

        def connect(server: FaultServer, **options: float) -> Clients:
            made = Clients(server, **options)
            stack.enter_context(made.stack)
            return made

        yield connect


Connect = Callable[..., Clients]


def chat_body(text: str, **more: object) -> dict[str, object]:
    bound = {"name": "verdict", "schema": SCHEMA, "strict": True}
    return {
        "model": "small",
        "messages": [{"role": "system", "content": "Grade."}, {"role": "user", "content": text}],
        "max_completion_tokens": 100,
        "response_format": {"type": "json_schema", "json_schema": bound},
        **more,
    }


def message_body(text: str, **more: object) -> dict[str, object]:
    return {
        "model": "large",
        "system": "Grade.",
        "messages": [{"role": "user", "content": text}],
        "max_tokens": 100,
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
        **more,
    }


def content(reply: object) -> str | None:
    """The text of either service's reply."""
    if isinstance(reply, ChatCompletion):
        return reply.choices[0].message.content
    assert isinstance(reply, anthropic.types.Message)
    return "".join(block.text for block in reply.content if block.type == "text")


def post(body: object, path: str = "/v1/chat/completions", headers: str = "") -> bytes:
    """A request as bytes, as a plain client sends it."""
    encoded = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n{headers}"
    return f"{head}Content-Length: {len(encoded)}\r\n\r\n".encode() + encoded


async def ask(server_url: str, bodies: Iterable[bytes], at_once: int) -> list[int]:
    """Send requests over `at_once` connections; the status of each reply, 0 if there was none."""
    port, left = int(server_url.rpartition(":")[2]), iter(list(bodies))
    statuses: list[int] = []

    async def exchange(reader: asyncio.StreamReader) -> int:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        await reader.readexactly(length)
        return int(head.split(b" ", 2)[1])

    async def connection() -> bool:
        """Ask until the connection ends, or nothing is left."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for request in left:
                writer.write(request)
                statuses.append(await exchange(reader))
            return False
        except asyncio.IncompleteReadError:
            statuses.append(0)
            return True
        finally:
            writer.close()
            await writer.wait_closed()

    async def work() -> None:
        while await connection():
            pass

    await asyncio.gather(*(work() for _ in range(at_once)))
    return statuses


def talk(server: FaultServer, *sent: bytes) -> bytes:
    """What comes back on one connection until its end; the last request asks for that."""
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as plain:
        for part in sent:
            plain.sendall(part)
        return b"".join(iter(lambda: plain.recv(65536), b""))


def test_an_honest_reply_is_what_verdict_says_for_both_services(
    fault_server: Serve, clients: Connect
) -> None:
    server = fault_server()
    connected = clients(server)
    seen = set()
    for i in range(12):
        for reply, body in [
            (connected.chat(f"q{i}"), chat_body(f"q{i}")),
            (connected.message(f"q{i}"), message_body(f"q{i}")),
        ]:
            value = json.loads(content(reply) or "")
            assert value == verdict(body)
            assert list(value) == ["reason", "score"]
            seen.add(value["score"])
    assert seen == {0, 1, 2}
    assert server.ledger.by_fault == {}


def test_the_truth_does_not_depend_on_limits_or_later_turns() -> None:
    first = chat_body("q")
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "{"}]
    again = [{"role": "system", "content": "Grade."}, *turns, {"role": "user", "content": "JSON!"}]
    assert verdict(chat_body("q", max_completion_tokens=9, seed=3, messages=again)) == verdict(
        first
    )
    others = [chat_body("r"), chat_body("q", model="large"), chat_body("q", messages=turns[:1])]
    assert all(verdict(other) != verdict(first) for other in others)
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert question({"messages": [{"role": "user", "content": parts}]}) == "a\nb"


def test_base_models_decisions_and_the_list_of_models(
    fault_server: Serve, clients: Connect
) -> None:
    connected = clients(fault_server(models=["a", "b"]))
    for client in (connected.openai, connected.anthropic):
        assert [model.id for model in client.models.list()] == ["a", "b"]
    reply = connected.openai.completions.create(model="m", prompt="Once", n=2, logprobs=2)
    first, second = reply.choices
    assert first.text == second.text == verdict({"model": "m", "prompt": "Once"})
    assert first.logprobs is not None
    assert "".join(first.logprobs.tokens or []) == first.text
    assert {len(table) for table in first.logprobs.top_logprobs or []} == {2}
    decision = connected.openai.decisions.create(
        model="gpt-6-luna",
        input="It rains.",
        questions=[
            {"type": "predicate", "instructions": "wet?", "name": "wet"},
            {"type": "choice", "instructions": "?", "choices": [{"value": "a"}, {"value": True}]},
            {"type": "score", "instructions": "?", "levels": [{"label": x} for x in "abc"]},
        ],
    )
    predicate, choice, score = decision.answers
    assert predicate.type == "predicate"
    assert (predicate.name, 0 <= predicate.probability <= 1) == ("wet", True)
    assert choice.type == "choice"
    best = max(choice.probabilities, key=lambda p: p.probability)
    assert (best.value, best.probability) == (choice.choice, choice.confidence)
    assert score.type == "score"
    assert sum(p.probability for p in score.probabilities) == pytest.approx(1)
    expected = sum(p.probability * p.value for p in score.probabilities)
    assert score.score == pytest.approx(expected)
    assert [p.label for p in score.probabilities] == list("abc")


def test_logprobs_spread_a_digit_over_its_neighbours(fault_server: Serve, clients: Connect) -> None:
    reply = clients(fault_server()).chat(logprobs=True, top_logprobs=20)
    assert isinstance(reply, ChatCompletion)
    listed = reply.choices[0].logprobs
    assert listed is not None
    assert listed.content is not None
    assert "".join(token.token for token in listed.content) == content(reply)
    score = json.loads(content(reply) or "")["score"]
    last = [token for token in listed.content if token.token.isdigit()][-1]
    found = {top.token: math.exp(top.logprob) for top in last.top_logprobs}
    assert last.token == str(score)
    assert found == pytest.approx(dict(alternatives(str(score), 20)))
    assert sum(found.values()) == pytest.approx(1)
    assert max((p, t) for t, p in found.items() if t.isdigit())[1] == str(score)
    assert found["N"] == pytest.approx(0.1)
    assert math.exp(last.logprob) == pytest.approx(found[str(score)])


STATUS = [
    ("rate_limit", openai.RateLimitError, 429, "retry-after", "2.5"),
    ("rate_limit_ms", openai.RateLimitError, 429, "retry-after-ms", "2500"),
    ("rate_limit_bare", openai.RateLimitError, 429, "", ""),
    ("quota", openai.RateLimitError, 429, "", ""),
    ("server_error", openai.InternalServerError, 500, "", ""),
    ("unavailable", openai.InternalServerError, 503, "retry-after", "2.5"),
    ("overloaded", openai.InternalServerError, 529, "", ""),
    ("bad_request", openai.BadRequestError, 400, "", ""),
    ("unauthorized", openai.AuthenticationError, 401, "", ""),
]
KINDS = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error",
    429: "rate_limit_error", 500: "api_error", 503: "api_error", 529: "overloaded_error",
}  # fmt: skip


@pytest.mark.parametrize(("fault", "error", "status", "header", "value"), STATUS)
def test_a_status_is_the_error_that_the_client_has_for_it(
    fault_server: Serve,
    clients: Connect,
    fault: str,
    error: type[openai.APIStatusError],
    status: int,
    header: str,
    value: str,
) -> None:
    server = fault_server(fault, retry_after=2.5)
    connected = clients(server)
    with pytest.raises(error) as one:
        connected.chat()
    with pytest.raises(anthropic.APIStatusError) as two:
        connected.message()
    other = 402 if fault == "quota" else status
    assert (one.value.status_code, two.value.status_code) == (status, other)
    assert (one.value.code == "insufficient_quota") is (fault == "quota")
    assert two.value.type == KINDS[other]
    for raised in (one.value, two.value):
        assert raised.request_id
        told = {n: v for n, v in raised.response.headers.items() if n.startswith("retry-after")}
        assert told == ({header: value} if header else {})
    assert server.ledger.by_fault == {fault: 2}
    assert server.ledger.billed == Usage()


@pytest.mark.parametrize("fault", ["cut", "disconnect", "hang"])
def test_a_broken_connection_is_a_connection_error(
    fault_server: Serve, clients: Connect, fault: str
) -> None:
    server = fault_server(fault)
    connected = clients(server, timeout=0.2 if fault == "hang" else 20)
    late = fault == "hang"
    with pytest.raises(openai.APITimeoutError if late else openai.APIConnectionError) as one:
        connected.chat()
    with pytest.raises(anthropic.APITimeoutError if late else anthropic.APIConnectionError):
        connected.message()
    assert isinstance(one.value, openai.APITimeoutError) is late
    if not late:
        assert [e.outcome for e in server.ledger.requests] == ["broken", "broken"]
        assert server.ledger.lost.output_tokens > 0
    assert server.ledger.billed == Usage()


def test_what_hangs_comes_in_the_end(fault_server: Serve, clients: Connect) -> None:
    server = fault_server("hang", hang=0.2)
    assert json.loads(content(clients(server).chat()) or "") == verdict(chat_body("Is it so?"))
    (exchange,) = server.ledger.requests
    assert exchange.left_s - exchange.arrived_s >= 0.2
    assert (exchange.outcome, exchange.fault) == ("sent", "hang")


def test_200_may_be_no_reply_at_all(fault_server: Serve, clients: Connect) -> None:
    server = fault_server(lambda request: request.question)
    connected = clients(server)
    for send in (connected.chat, connected.message):
        page = send("html")
        assert isinstance(page, str)
        assert "<h1>" in page
        assert send("null") is None
        empty = send("empty_object")
        assert getattr(empty, "choices", None) is None
        assert getattr(empty, "content", None) is None
    assert server.ledger.billed == Usage()
    assert {e.status for e in server.ledger.requests} == {200}


@pytest.mark.parametrize("service", ["chat", "message"])
def test_a_reply_may_be_complete_and_useless(
    fault_server: Serve, clients: Connect, service: Literal["chat", "message"]
) -> None:
    server = fault_server(lambda request: request.question)
    connected = clients(server)
    send = connected.chat if service == "chat" else connected.message
    finish: dict[str, tuple[str, ...]] = {}
    texts = {}
    for fault in ("truncated", "refusal", "content_filter", "empty_content", "prose"):
        reply = send(fault)
        texts[fault] = content(reply) or ""
        if isinstance(reply, ChatCompletion):
            refused = "refused" if reply.choices[0].message.refusal else ""
            finish[fault] = (reply.choices[0].finish_reason, refused)
        elif isinstance(reply, anthropic.types.Message):
            finish[fault] = (str(reply.stop_reason), "refused" if reply.stop_details else "")
    chat = service == "chat"
    assert finish["truncated"] == ("length" if chat else "max_tokens", "")
    assert finish["refusal"] == ("stop" if chat else "refusal", "refused")
    assert finish["content_filter"] == ("content_filter" if chat else "refusal", "")
    assert finish["empty_content"] == finish["prose"] == ("stop" if chat else "end_turn", "")
    with pytest.raises(json.JSONDecodeError):
        json.loads(texts["truncated"])
    assert [texts[f] for f in ("refusal", "content_filter", "empty_content")] == [""] * 3
    body = (chat_body if chat else message_body)("prose")
    assert json.dumps(verdict(body)) in texts["prose"]
    assert not texts["prose"].startswith("{")
    assert "}" not in texts["prose"].rpartition("}")[2]
    assert sum(server.ledger.by_fault.values()) == 5
    assert server.ledger.requests[0].usage is not None
    assert server.ledger.requests[0].usage.output_tokens == 100, "a cut reply costs all the limit"


def test_wrong_json_is_wrong_in_one_place(fault_server: Serve, clients: Connect) -> None:
    connected = clients(fault_server(lambda request: request.question))
    for send, body in [(connected.chat, chat_body), (connected.message, message_body)]:
        found = {
            fault: json.loads(content(send(fault)) or "")
            for fault in ("missing_key", "off_menu", "wrong_type")
        }
        for fault, value in found.items():
            truth = verdict(body(fault))
            assert isinstance(truth, dict)
            assert value["reason"] == truth["reason"]
        assert list(found["missing_key"]) == ["reason"]
        assert found["off_menu"]["score"] == 3
        assert found["wrong_type"]["score"] in ("zero", "one", "two")


def test_decisions_have_the_faults_as_well(fault_server: Serve, clients: Connect) -> None:
    client = clients(fault_server(lambda request: request.question)).openai.decisions
    asked: list[openai.types.decision_create_params.Question] = [
        {"type": "predicate", "instructions": "?"},
        {"type": "score", "instructions": "?", "levels": [{"label": "a"}, {"label": "b"}]},
    ]

    def answers(fault: str) -> list[openai.types.decision.Answer]:
        return client.create(model="gpt-6-luna", input=fault, questions=asked).answers

    assert [a.type for a in answers("refusal")] == ["refusal", "refusal"]
    assert [a.type for a in answers("missing_key")] == ["predicate"]
    assert answers("empty_content") == []
    assert getattr(answers("off_menu")[1], "score") == 97  # noqa: B009
    assert isinstance(getattr(answers("wrong_type")[1], "score"), str)  # noqa: B009
    for fault in ("prose", "truncated"):
        with pytest.raises(json.JSONDecodeError):
            answers(fault)


def test_the_ledger_adds_up_and_keeps_no_key(fault_server: Serve, clients: Connect) -> None:
    server = fault_server(["", "cut"])
    connected = clients(server)
    spent = Usage()
    for text in ("one", "two"):
        reply = connected.chat(text)
        assert isinstance(reply, ChatCompletion)
        assert reply.usage is not None
        spent += Usage(reply.usage.prompt_tokens, reply.usage.completion_tokens)
        message = connected.message(text)
        assert isinstance(message, anthropic.types.Message)
        spent += Usage(message.usage.input_tokens, message.usage.output_tokens)
        with pytest.raises(openai.APIConnectionError):
            connected.chat(text)
    ledger = server.ledger
    assert ledger.billed == spent
    assert ledger.lost.output_tokens > 0
    assert [e.number for e in ledger.requests] == [1, 2, 3, 4, 5, 6]
    assert [e.api for e in ledger.requests[:2]] == ["chat", "messages"]
    assert all(e.bearer and "authorization" in e.header_names for e in ledger.requests)
    assert ledger.requests[0].body == chat_body("one")
    assert (ledger.by_fault, ledger.max_in_flight, ledger.in_flight) == ({"cut": 2}, 1, 0)
    assert KEY not in repr(ledger.requests) + json.dumps(ledger.summary())


def test_what_a_request_meets_depends_on_it_alone() -> None:
    """In any order and at any concurrency the same requests meet the same faults."""
    bodies = [post(chat_body(f"q{i % 150}")) for i in range(300)]
    mix = Faults.mix(hang=0)
    found = []
    for seed, order, at_once in [(1, 1, 1), (1, -1, 24), (2, 1, 24)]:
        with FaultServer(mix, seed=seed, latency=0.002, jitter=1) as server:
            statuses = asyncio.run(ask(server.url, bodies[::order], at_once))
            met = [(question(e.body), e.fault) for e in server.ledger.requests]
            found.append(sorted(met))
            assert len(statuses) == 300
            assert server.ledger.max_in_flight <= at_once
            broken = sum(e.outcome == "broken" for e in server.ledger.requests)
            assert statuses.count(0) == broken
    assert found[0] == found[1] != found[2]
    assert len({fault for _, fault in found[0]}) > 6


def test_the_mix_has_the_rates_that_it_says() -> None:
    mix = Faults.mix()
    rates = {f.name: getattr(mix, f.name) for f in fields(mix)}
    assert sum(rates.values()) == pytest.approx(0.195)
    counts = dict.fromkeys(rates, 0)
    drawn = [mix.draw(0, Request("chat", {}, 0, 0, b"%d" % i, b"")) for i in range(20_000)]
    for name in filter(None, drawn):
        counts[name] += 1
    for name, rate in rates.items():
        spread = math.sqrt(20_000 * rate * (1 - rate))
        assert abs(counts[name] - 20_000 * rate) <= 4 * spread, name


def test_a_script_goes_by_the_question(fault_server: Serve, clients: Connect) -> None:
    """A larger limit or a further turn is a new body, but the same question."""
    connected = clients(fault_server(["truncated", "off_menu"]))
    turns = [("system", "Grade."), ("user", "q"), ("assistant", "{"), ("user", "JSON!")]
    later = [{"role": role, "content": text} for role, text in turns]
    first = content(connected.chat("q"))
    second = json.loads(content(connected.chat("q", max_completion_tokens=200)) or "")
    third = json.loads(content(connected.chat("q", messages=later)) or "")
    assert not str(first).endswith("}")
    assert second["score"] == 3
    assert third == verdict(chat_body("q"))


def test_a_test_may_say_what_is_answered(fault_server: Serve, clients: Connect) -> None:
    def grade(request: Request) -> str | dict[str, object]:
        return "plain" if request.schema is None else {"reason": request.model, "score": 1}

    connected = clients(fault_server(answer=grade))
    assert json.loads(content(connected.chat()) or "") == {"reason": "small", "score": 1}
    assert content(connected.message(output_config={})) == "plain"


def test_a_limit_that_is_too_small_cuts_an_honest_reply(
    fault_server: Serve, clients: Connect
) -> None:
    server = fault_server(answer=lambda request: "x" * 41)
    reply = clients(server).chat(max_completion_tokens=10)
    assert isinstance(reply, ChatCompletion)
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage is not None
    assert (len(content(reply) or ""), reply.usage.completion_tokens) == (40, 10)
    assert server.ledger.by_fault == {}


def test_an_error_in_a_tests_function_is_told_at_the_end(clients: Connect) -> None:
    def wrong(request: Request) -> str:
        raise KeyError("no such grade")

    with (
        pytest.raises(HarnessError, match="no reply could be made: KeyError"),
        FaultServer(answer=wrong) as server,
        pytest.raises(openai.InternalServerError),
    ):
        clients(server).chat()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"messages": [{"role": "user", "content": "q"}]}, "model: field required"),
        (chat_body("q", stream=True), "does not stream"),
        (chat_body("q", messages=[]), "at least one"),
        (chat_body("q", top_logprobs=5), "logprobs to be true"),
        (chat_body("q", logprobs=True, top_logprobs=21), "from 0 to 20"),
        ([], "no JSON object"),
    ],
)
def test_a_wrong_request_is_refused_as_the_service_does(
    fault_server: Serve, body: object, told: str
) -> None:
    server = fault_server(Faults(server_error=1))
    reply = talk(server, post(body, headers="Connection: close\r\n"))
    assert reply.startswith(b"HTTP/1.1 400 ")
    assert told in json.loads(reply.partition(b"\r\n\r\n")[2])["error"]["message"]
    assert server.ledger.by_fault == {"rejected": 1}


@pytest.mark.parametrize(
    ("changed", "openai_says", "anthropic_says"),
    [
        ({"additionalProperties": True}, "additionalProperties", "additionalProperties"),
        ({"required": ["reason"]}, "'required' must name every key, also 'score'", ""),
        ({"properties": {"score": {"type": "integer", "minimum": 0}}, "required": ["score"]},
         "", "property 'minimum' is not supported"),
        ({"properties": {"a": {"type": "array", "items": {"type": "object"}}}, "required": ["a"]},
         "additionalProperties", "additionalProperties"),
        ({"properties": {"a": {"type": "string", "pattern": "x"}}, "required": ["a"]},
         "keyword 'pattern'", "keyword 'pattern'"),
        ({"properties": {"a": {"$ref": "#/none"}}, "required": ["a"]}, "#/none", "#/none"),
    ],
)  # fmt: skip
def test_a_schema_must_be_one_that_the_service_takes(
    fault_server: Serve,
    clients: Connect,
    changed: dict[str, object],
    openai_says: str,
    anthropic_says: str,
) -> None:
    connected = clients(fault_server())
    schema = {**SCHEMA, **changed}
    bound = {"name": "x", "schema": schema, "strict": True}
    asked: list[tuple[Callable[[], object], str]] = [
        (lambda: connected.chat(response_format={"type": "json_schema", "json_schema": bound}),
         openai_says),
        (lambda: connected.message(
            output_config={"format": {"type": "json_schema", "schema": schema}}), anthropic_says),
    ]  # fmt: skip
    for send, told in asked:
        if told:
            with pytest.raises((openai.BadRequestError, anthropic.BadRequestError), match=told):
                send()
        else:
            send()


def test_a_key_a_version_and_a_path_are_needed(fault_server: Serve) -> None:
    server = fault_server()
    close = "Connection: close\r\n"
    for request, status, told in [
        (post(chat_body("q"), headers=close).replace(b"Bearer ", b""), 401, "no key"),
        (post(message_body("q"), "/v1/messages", close), 400, "anthropic-version"),
        (post({}, "/v1/responses", close), 404, "/v1/responses is not served"),
        (post({}, headers=close).replace(b"POST", b"GET"), 405, "takes POST"),
    ]:
        reply = talk(server, request)
        assert reply.startswith(b"HTTP/1.1 %d " % status), reply
        assert told in json.loads(reply.partition(b"\r\n\r\n")[2])["error"]["message"]


def test_a_bucket_says_how_long_to_wait(fault_server: Serve, clients: Connect) -> None:
    server = fault_server(rate=0.01, burst=2)
    connected = clients(server)
    raw = connected.openai.chat.completions.with_raw_response
    left = []
    for _ in range(2):
        reply = raw.create(model="m", messages=[{"role": "user", "content": "q"}])
        left.append(reply.headers["x-ratelimit-remaining-requests"])
    assert left == ["1", "0"]
    with pytest.raises(openai.RateLimitError) as refused:
        connected.chat()
    assert 50 < float(refused.value.response.headers["retry-after"]) <= 100
    with pytest.raises(anthropic.RateLimitError) as other:
        connected.message()
    assert other.value.response.headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert server.ledger.by_fault == {"no_token": 2}


def test_one_too_many_at_once_is_refused_at_once(fault_server: Serve) -> None:
    """Two hang; whichever of three comes last is told to wait."""
    server = fault_server("hang", max_concurrent=2, latency=60)

    async def first_of_three() -> list[int]:
        tasks = [
            asyncio.create_task(ask(server.url, [post(chat_body(f"q{i}"))], 1)) for i in range(3)
        ]
        done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        return done.pop().result()

    assert asyncio.run(first_of_three()) == [429]
    assert server.ledger.by_fault["crowded"] == 1


def test_replies_take_the_latency_and_overlap(fault_server: Serve) -> None:
    server = fault_server(latency=0.1)
    requests = [post(chat_body(f"q{i}")) for i in range(40)]
    assert asyncio.run(ask(server.url, requests, 20)) == [200] * 40
    waits = [e.left_s - e.arrived_s for e in server.ledger.requests]
    assert min(waits) >= 0.1
    assert 2 <= server.ledger.max_in_flight <= 20


def test_plain_http_is_understood(fault_server: Serve) -> None:
    server = fault_server()
    request = post(chat_body("q"), headers="Connection: close\r\n")
    head, _, body = request.partition(b"\r\n\r\n")
    kept = head.replace(b"Connection: close\r\n", b"")
    chunked = head[: head.index(b"Content-Length")] + b"Transfer-Encoding: chunked\r\n\r\n"
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    expecting = head + b"\r\nExpect: 100-continue\r\n\r\n"
    assert talk(server, kept + b"\r\n\r\n" + body + request).count(b"HTTP/1.1 200 ") == 2
    assert talk(server, chunked, chunks).startswith(b"HTTP/1.1 200 ")
    assert talk(server, expecting, body).count(b"HTTP/1.1 200 ") == 1
    assert talk(server, b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert {e.status for e in server.ledger.requests} == {200}


def test_the_end_breaks_what_hangs_and_leaves_nothing() -> None:
    threads = set(threading.enumerate())
    with FaultServer("hang", hang=3600) as server:
        port = int(server.url.rpartition(":")[2])
        waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
        for plain in waiting:
            plain.sendall(post(chat_body("q")))
        with urlopen(f"{server.url}/ledger") as told:
            assert json.load(told)["requests"] == 0
    for plain in waiting:
        with plain, contextlib.suppress(ConnectionResetError):
            assert plain.recv(1) == b""
    assert set(threading.enumerate()) == threads
    assert server.ledger.in_flight == 0
    assert server.ledger.abandoned == len(server.ledger.requests)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port))


def test_the_fixture_closes_its_servers_and_tells_their_errors(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from urllib.request import Request, urlopen
        import pytest

        servers = []

        def test_serves(fault_server):
            servers.extend([fault_server(), fault_server("refusal", latency=0)])
            for server in servers:
                with urlopen(f"{server.url}/ledger") as reply:
                    assert reply.status == 200

        def test_is_closed():
            for server in servers:
                with pytest.raises(OSError):
                    urlopen(f"{server.url}/ledger")

        def test_wrong(fault_server):
            server = fault_server(lambda request: "no-such-fault")
            body = b'{"model": "m", "prompt": "p"}'
            asked = Request(f"{server.url}/v1/completions", body, {"Authorization": "Bearer k"})
            with pytest.raises(OSError, match="500"):
                urlopen(asked)
        """
    )
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*there is no fault 'no-such-fault'*There are: rate_limit,*"])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: FaultServer("refusals"), "no fault 'refusals'; did you mean 'refusal'"),
        (lambda: FaultServer(["", "html5"]), "no fault 'html5'"),
        (lambda: FaultServer(latency=-1), "latency must be 0 seconds or more, not -1"),
        (lambda: FaultServer(jitter=2), "jitter must be from 0 to 1, not 2"),
        (lambda: FaultServer(rate=0), "rate must be above 0"),
        (lambda: FaultServer(max_concurrent=0), "max_concurrent must be at least 1"),
        (lambda: FaultServer().url, "inside `with` only"),
        (lambda: Faults(html=1.5), "fault html must have a rate from 0 to 1, not 1.5"),
        (lambda: Faults(html=0.6, cut=0.6), "sum to at most 1, not 1.2"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(wrong: Callable[[], object], told: str) -> None:
    with pytest.raises((HarnessError, ValueError), match=told):
        wrong()


def test_the_end_may_come_while_clients_connect() -> None:
    for _ in range(20):
        with FaultServer() as server:
            address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
            clients = [socket.create_connection(address) for _ in range(8)]
        for client in clients:
            client.close()


def test_a_port_that_is_taken_is_told() -> None:
    with FaultServer() as server:
        port = int(server.url.rpartition(":")[2])
        with (
            pytest.raises(HarnessError, match=f"cannot listen on port {port}"),
            FaultServer(port=port),
        ):
            pass


class Criterion(pydantic.BaseModel):
    """One graded thing, nested in others."""

    why: str = pydantic.Field(min_length=3, max_length=8)
    grade: Literal["bad", "fair", "good"]
    level: int = pydantic.Field(ge=-2, lt=3)
    share: float = pydantic.Field(gt=0, le=0.25)
    met: bool
    only: Literal["this"]


class Rubric(pydantic.BaseModel):
    """What a schema may hold: references, unions, arrays, nothing."""

    model_config = pydantic.ConfigDict(strict=True)
    first: Criterion
    rest: list[Criterion] = pydantic.Field(min_length=2, max_length=3)
    note: int | None
    either: Criterion | str
    none: None
    high: int = pydantic.Field(ge=1000)
    low: int = pydantic.Field(le=-1000)
    last: Criterion


def test_replies_keep_to_any_schema_and_spoilt_ones_do_not() -> None:
    schema = Rubric.model_json_schema()
    notes = set()
    for i in range(200):
        key = str(i).encode()
        value = fill(schema, key)
        assert isinstance(value, dict)
        notes.add(Rubric.model_validate_json(json.dumps(value)).note is None)
        assert fill(schema, key) == value
    assert notes == {True, False}
    flat = Criterion.model_json_schema()
    for how in ("missing_key", "off_menu", "wrong_type"):
        value = fill(flat, b"k")
        assert isinstance(value, dict)
        spoilt = spoil(value, flat, how)
        with pytest.raises(pydantic.ValidationError):
            Criterion.model_validate_json(json.dumps(spoilt))


def test_a_schema_without_end_is_refused() -> None:
    endless = {"type": "object", "properties": {"again": {"$ref": "#"}}}
    with pytest.raises(ValueError, match="without end"):
        fill(endless, b"k")
    with pytest.raises(ValueError, match="no integer"):
        fill({"type": "integer", "minimum": 0.2, "maximum": 0.8}, b"k")


def test_it_serves_in_a_process_of_its_own_and_fast() -> None:
    command = [sys.executable, "-m", "harness.testing.faults", "--fault", "html=0.1", "--seed", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        urls = json.loads(process.stdout.readline())

        def ledger() -> dict[str, float]:
            with urlopen(urls["ledger_url"]) as told:
                return dict(json.load(told))

        before = ledger()
        requests = [post(chat_body(f"q{i}")) for i in range(1500)]
        assert asyncio.run(ask(urls["anthropic_url"], requests, 16)) == [200] * 1500
        after = ledger()
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
        assert process.stderr.read() == b""
    assert after["requests"] == 1500
    assert list(dict(after["by_fault"])) == ["html"]  # type: ignore[call-overload]
    assert 1500 / (after["cpu_s"] - before["cpu_s"]) > 1000, "replies a second of CPU"


def test_the_command_says_what_is_wrong_in_one_line() -> None:
    command = [sys.executable, "-m", "harness.testing.faults", "--fault", "htm=0.1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: there is no fault 'htm'; did you mean 'html'?")
    assert len(done.stderr.splitlines()) == 1
