from __future__ import annotations

import email.utils
import json
import logging
import pickle
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anthropic
import pytest

from harness import Usage
from harness.calls import CallError, Capabilities, Failure, Message, Reply, Request, run
from harness.testing.faults import FaultServer
from harness_anthropic import AnthropicSettings
from harness_anthropic._provider import AnthropicProvider

KEY = "sk-ant-api03-NOBODY-may-see-this"
PROMPT = "the-prompt-that-no-log-shows"
SCHEMA = {
    "type": "object",
    "properties": {
        "reason": {"type": "string", "maxLength": 60},
        "score": {"type": "integer", "enum": [0, 1, 2]},
    },
    "required": ["reason", "score"],
}
SPOKEN: dict[str, object] = {
    "type": "message",
    "role": "assistant",
    "model": "claude-as-served",
    "content": [{"type": "text", "text": "four"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 7, "output_tokens": 2},
}


class Canned(ThreadingHTTPServer):
    """A server that gives one reply to everything, and keeps what came and over how many lines."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.sent: list[Mapping[str, str]] = []
        self.says()

    def says(self, body: object = SPOKEN, status: int = 200, **headers: str) -> None:
        """What it replies from now on; it forgets what came."""
        self.status = status
        self.content = body if isinstance(body, bytes) else json.dumps(body).encode()
        told = {"content_type": "application/json", **headers}
        self.told = {name.replace("_", "-"): value for name, value in told.items()}
        self.connections = 0
        self.sent.clear()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        assert isinstance(self.server, Canned)
        self.canned = self.server
        self.canned.connections += 1

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.canned.sent.append({k.lower(): v for k, v in self.headers.items()})
        self.send_response(self.canned.status)
        for name, value in self.canned.told.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(self.canned.content)))
        self.end_headers()
        self.wfile.write(self.canned.content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture(scope="module")
def serving() -> Iterator[Canned]:
    with Canned() as server:
        serve = partial(server.serve_forever, poll_interval=0.01)
        threading.Thread(target=serve, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def canned(serving: Canned) -> Canned:
    serving.says()
    return serving


@pytest.fixture(scope="module", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Our key, and everything else that the SDK would listen to, set to something else."""
    config = tmp_path_factory.mktemp("claude")
    (config / "configs").mkdir()
    (config / "configs" / "default.json").write_text('{"base_url": "http://127.0.0.1:9/profile"}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANTHROPIC_API_KEY", KEY)
        patch.setenv("ANTHROPIC_AUTH_TOKEN", "another-token")
        patch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
        patch.setenv("ANTHROPIC_CUSTOM_HEADERS", "Authorization: theirs\nx-theirs: 1")
        patch.setenv("ANTHROPIC_CONFIG_DIR", str(config))
        patch.setenv("ANTHROPIC_PROFILE", "default")
        yield


@pytest.fixture
def provider_at() -> Iterator[Callable[..., AnthropicProvider]]:
    made: list[AnthropicProvider] = []

    def at(url: str, **settings: object) -> AnthropicProvider:
        chosen = AnthropicSettings(model="claude-x", base_url=url, **settings)  # type: ignore[arg-type]
        made.append(AnthropicProvider(chosen, chosen))
        return made[-1]

    yield at
    for provider in made:
        run(provider.close())


@pytest.fixture(scope="module")
def shared(serving: Canned) -> Iterator[AnthropicProvider]:
    """One provider for all that is only about one reply: a client takes its time to be made."""
    settings = AnthropicSettings(model="claude-x", base_url=serving.url)
    provider = AnthropicProvider(settings, settings)
    yield provider
    run(provider.close())


At = Callable[..., AnthropicProvider]


def asking(*texts: str, **options: object) -> Request:
    messages = tuple(Message("user", text) for text in texts or ("two and two?",))
    return Request(messages, max_tokens=options.pop("max_tokens", 50), **options)  # type: ignore[arg-type]


def failed(provider: AnthropicProvider, request: Request | None = None) -> CallError:
    with pytest.raises(CallError) as caught:
        run(provider.send(request or asking()))
    return caught.value


# What is asked


def test_all_that_is_asked_for_reaches_the_service(provider_at: At) -> None:
    talk = (
        Message("system", "Grade."),
        Message("system", "Strictly."),
        Message("user", "2+2"),
        Message("assistant", "5"),
        Message("user", "again"),
    )
    wanted = {"effort": "low", "thinking": "disabled", "cache": "1h", "allow_temperature": True}
    stops, extra = ("END",), {"speed": "fast"}
    request = Request(talk, 40, schema=SCHEMA, stop=stops, temperature=0.0, top_p=0.5, extra=extra)
    with FaultServer() as server:
        run(provider_at(server.anthropic_url, **wanted).send(request))
        (exchange,) = server.ledger.requests
    asked = dict(exchange.body)
    form = asked.pop("output_config")
    assert asked == {
        "model": "claude-x",
        "max_tokens": 40,
        "system": [
            {
                "type": "text",
                "text": "Grade.\n\nStrictly.",
                "cache_control": {"type": "ephemeral", "ttl": "1h"},
            }
        ],
        "messages": [
            {"role": "user", "content": "2+2"},
            {"role": "assistant", "content": "5"},
            {"role": "user", "content": "again"},
        ],
        "stop_sequences": ["END"],
        "thinking": {"type": "disabled"},
        "temperature": 0.0,
        "top_p": 0.5,
        "speed": "fast",
    }
    assert isinstance(form, dict)
    assert form["effort"] == "low"
    schema = form["format"]["schema"]
    assert list(schema["properties"]) == ["reason", "score"], "the reason comes first, as asked"
    assert schema["properties"]["score"]["enum"] == [0, 1, 2]
    assert "maxLength" not in schema["properties"]["reason"], "the service answers 400 to it"
    assert schema["additionalProperties"] is False


def test_what_is_not_asked_for_is_not_sent(provider_at: At) -> None:
    with FaultServer() as server:
        run(provider_at(server.anthropic_url).send(asking(max_tokens=90_000)))
        (exchange,) = server.ledger.requests
    assert set(exchange.body) == {"model", "max_tokens", "messages"}
    assert exchange.body["max_tokens"] == 21_333, "a limit doubled after a cut needs no streaming"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"temperature": 0.0}, "temperature"),
        ({"top_p": 0.9}, "top_p"),
        ({"seed": 0}, "seed"),
        ({"top_logprobs": 5}, "log-probabilities"),
        ({"frequency_penalty": 0.1}, "frequency_penalty"),
        ({"presence_penalty": 0.1}, "presence_penalty"),
        ({"schema": {"type": "nonsense"}}, "cannot be asked"),
    ],
)
def test_what_cannot_be_asked_is_not_left_out_in_silence(
    options: dict[str, object], named: str, canned: Canned, shared: AnthropicProvider
) -> None:
    error = failed(shared, asking(**options))
    assert error.failure is Failure.REQUEST
    assert named in str(error)
    assert canned.sent == []


# What comes back


def test_a_reply_is_read_with_what_it_cost(canned: Canned, shared: AnthropicProvider) -> None:
    usage = {
        "input_tokens": 7,
        "output_tokens": 2,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 30,
    }
    content = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "fo"},
        {"type": "text", "text": "ur"},
    ]
    canned.says({**SPOKEN, "content": content, "usage": usage}, request_id="req_7")
    used = Usage(137, 2, cached_tokens=100)
    expected = Reply("four", "stop", used, "claude-as-served", "req_7")
    assert run(shared.send(asking())) == expected


@pytest.mark.parametrize(
    ("said", "finish", "text"),
    [
        ({"stop_reason": "stop_sequence"}, "stop", "four"),
        ({"stop_reason": "max_tokens"}, "length", "four"),
        ({"stop_reason": "max_tokens", "content": []}, "length", ""),
        ({"stop_reason": "model_context_window_exceeded"}, "length", "four"),
        (
            {"stop_reason": "refusal", "stop_details": {"category": "bio", "explanation": "No."}},
            "refusal",
            "the model refused (bio): No.",
        ),
        ({"stop_reason": "refusal", "stop_details": None}, "refusal", "the model refused"),
        ({"stop_reason": "refusal", "stop_details": [1]}, "refusal", "the model refused"),
    ],
)
def test_how_a_reply_ended(
    said: dict[str, object], finish: str, text: str, canned: Canned, shared: AnthropicProvider
) -> None:
    canned.says({**SPOKEN, **said})
    reply = run(shared.send(asking()))
    assert (reply.finish, reply.text, reply.usage) == (finish, text, Usage(7, 2))


def test_a_reply_that_the_service_withheld_is_a_refusal(
    canned: Canned, shared: AnthropicProvider
) -> None:
    said = {
        "type": "invalid_request_error",
        "message": "Output blocked by content filtering policy",
    }
    canned.says({"type": "error", "error": said}, 400)
    reply = run(shared.send(asking()))
    assert (reply.finish, reply.usage) == ("refusal", None)
    assert "content filtering" in reply.text


@pytest.mark.parametrize(
    "body",
    [
        b"<html>502</html>", b"{", b"", b"\xff\xfe", b"null", b"[]", b'"hi"', b"{}", b"[" * 100_000,
        {**SPOKEN, "content": None}, {**SPOKEN, "content": []},
        {**SPOKEN, "content": [None, 3, {"type": "text"}, {"type": "text", "text": 4}]},
        {**SPOKEN, "content": [{"type": "tool_use", "id": "1", "name": "x", "input": {}}]},
        {**SPOKEN, "stop_reason": None}, {**SPOKEN, "stop_reason": ["end_turn"]},
        {**SPOKEN, "stop_reason": "tool_use"}, {**SPOKEN, "stop_reason": "pause_turn"},
        {"type": "error", "error": {"type": "api_error", "message": "oops"}},
    ],
)  # fmt: skip
def test_a_status_of_200_is_not_believed(
    body: object, canned: Canned, shared: AnthropicProvider
) -> None:
    for kind in ("application/json", "text/html"):
        canned.says(body, content_type=kind)
        error = failed(shared)
        assert (error.failure, error.may_be_billed) == (Failure.SERVER_ERROR, True)
        assert str(error).startswith("200, but ")


@pytest.mark.parametrize(
    "usage",
    [
        None, 3, {}, {"input_tokens": 1}, {"input_tokens": True, "output_tokens": 1},
        {"input_tokens": -1, "output_tokens": 1}, {"input_tokens": "1", "output_tokens": 1},
    ],
)  # fmt: skip
def test_usage_that_is_none_is_unknown_and_not_zero(
    usage: object, canned: Canned, shared: AnthropicProvider
) -> None:
    canned.says({**SPOKEN, "usage": usage})
    assert run(shared.send(asking())).usage is None


@pytest.mark.parametrize(
    ("left", "seconds", "waits"), [("0", 30, True), ("5", 30, False), ("0", -30, False)]
)
def test_a_service_that_has_no_request_left_asks_for_a_pause(
    left: str, seconds: float, waits: bool, canned: Canned, shared: AnthropicProvider
) -> None:
    full = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
    told = {
        "anthropic_ratelimit_requests_remaining": left,
        "anthropic_ratelimit_requests_reset": full,
    }
    canned.says(SPOKEN, 200, **told)
    pause = run(shared.send(asking())).pause_s
    assert pause == (10 if waits else 0), "no longer than 10 s: its limit fills up all the time"
    canned.says({}, 429, **told)
    wait = failed(shared).retry_after_s
    assert wait == (10 if waits else None)


# Failures


@pytest.mark.parametrize(
    ("fault", "failure", "wait", "billed"),
    [
        ("rate_limit", Failure.RATE_LIMIT, 3.0, False),
        ("rate_limit_ms", Failure.RATE_LIMIT, 3.0, False),
        ("rate_limit_bare", Failure.RATE_LIMIT, None, False),
        ("overloaded", Failure.RATE_LIMIT, None, False),
        ("unavailable", Failure.RATE_LIMIT, 3.0, False),
        ("server_error", Failure.SERVER_ERROR, None, False),
        ("html", Failure.SERVER_ERROR, None, True),
        ("null", Failure.SERVER_ERROR, None, True),
        ("empty_object", Failure.SERVER_ERROR, None, True),
        ("empty_content", Failure.SERVER_ERROR, None, True),
        ("cut", Failure.CONNECTION, None, True),
        ("disconnect", Failure.CONNECTION, None, True),
        ("hang", Failure.TIMEOUT, None, True),
        ("bad_request", Failure.REQUEST, None, False),
        ("unauthorized", Failure.ACCOUNT, None, False),
        ("quota", Failure.ACCOUNT, None, False),
    ],
)
def test_every_fault_is_told_apart_and_nothing_is_retried(
    fault: str, failure: Failure, wait: float | None, billed: bool, provider_at: At
) -> None:
    with FaultServer(fault, retry_after=3.0) as server:
        error = failed(provider_at(server.anthropic_url, timeout_s=0.5))
    assert (error.failure, error.retry_after_s, error.may_be_billed) == (failure, wait, billed)
    assert len(server.ledger.requests) == 1


@pytest.mark.parametrize(
    ("status", "said", "failure"),
    [
        (400, {"message": "messages: too long"}, Failure.REQUEST),
        (400, {"message": "Your credit balance is too low to access the API."}, Failure.ACCOUNT),
        (400, {"message": 4}, Failure.REQUEST),
        (400, {"details": {"error_code": "organization_on_hold"}}, Failure.ACCOUNT),
        (402, {"type": "billing_error"}, Failure.ACCOUNT),
        (403, {}, Failure.ACCOUNT),
        (404, {}, Failure.REQUEST),
        (408, {}, Failure.SERVER_ERROR),
        (409, {}, Failure.SERVER_ERROR),
        (413, {}, Failure.REQUEST),
        (422, {}, Failure.REQUEST),
        (429, {"message": "slow down"}, Failure.RATE_LIMIT),
        (429, {"details": {"error_code": "ramp_limit_exceeded"}}, Failure.RATE_LIMIT),
        (429, {"details": {"error_code": "contract_spend_limit_reached"}}, Failure.ACCOUNT),
        (429, {"details": {"error_code": "enforced_spend_limit_reached"}}, Failure.ACCOUNT),
        (503, {}, Failure.SERVER_ERROR),
        (504, {}, Failure.SERVER_ERROR),
    ],
)
def test_every_status_has_its_meaning(
    status: int,
    said: dict[str, object],
    failure: Failure,
    canned: Canned,
    shared: AnthropicProvider,
) -> None:
    canned.says({"type": "error", "error": said}, status)
    error = failed(shared)
    assert error.failure is failure
    assert str(status) in str(error)
    assert len(canned.sent) == 1
    assert ("ANTHROPIC_API_KEY" in str(error)) == (failure is Failure.ACCOUNT)


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("7", 7, 7), ("0.5", 0.5, 0.5), ("1e9", 1e9, 1e9), ("-3", 0, 0), ("soon", None, None),
        ("nan", None, None), (30, 20, 30), (-30, 0, 0),
    ],
)  # fmt: skip
def test_how_long_to_wait_is_passed_on_as_it_is_said(
    header: str | int,
    least: float | None,
    most: float | None,
    canned: Canned,
    shared: AnthropicProvider,
) -> None:
    if isinstance(header, int):
        date = datetime.now(UTC) + timedelta(seconds=header)
        header = email.utils.format_datetime(date, usegmt=True)
    canned.says({}, 429, retry_after=header)
    wait = failed(shared).retry_after_s
    assert wait is None if least is None or most is None else least <= (wait or 0) <= most


def test_where_nobody_listens_nothing_was_billed(provider_at: At) -> None:
    with FaultServer() as server:
        url = server.anthropic_url
    error = failed(provider_at(url))
    assert (error.failure, error.may_be_billed) == (Failure.CONNECTION, False)


# The key, the environment, and one client


def test_the_key_and_the_address_are_ours_whatever_the_environment_says(
    canned: Canned, shared: AnthropicProvider
) -> None:
    run(shared.send(asking()))
    (sent,) = canned.sent
    assert sent["authorization"] == f"Bearer {KEY}"
    assert "x-theirs" not in sent


def test_another_variable_may_hold_the_key(
    provider_at: At, canned: Canned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHER_KEY", " sk-other-key \n")
    run(provider_at(canned.url, key_env="OTHER_KEY").send(asking()))
    assert canned.sent[0]["authorization"] == "Bearer sk-other-key"


def test_one_connection_serves_call_after_call_until_it_is_closed(
    provider_at: At, canned: Canned
) -> None:
    provider = provider_at(canned.url)
    for _ in range(3):
        run(provider.send(asking()))
    assert canned.connections == 1
    run(provider.close())
    run(provider.close())
    assert run(provider.send(asking())).text == "four", "a later call opens another"
    assert canned.connections == 2


def everything_said(error: BaseException) -> str:
    """An exception as logs, reports and dumps show it, with all that it drags along."""
    said = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
    for other in (error.__cause__, error.__context__):
        said += everything_said(other) if other is not None else ""
    return said


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {"error": {"message": f"no such key: {KEY}"}}),
        (400, {"error": {"message": f"odd header Bearer {KEY}"}}),
        (500, f"<h1>{KEY}</h1>".encode()),
        (200, f"<h1>{KEY}</h1>".encode()),
        (200, {**SPOKEN, "stop_reason": KEY}),
    ],
)
def test_no_failure_tells_the_key(
    status: int,
    body: object,
    canned: Canned,
    shared: AnthropicProvider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    canned.says(body, status)
    error = failed(shared, asking(PROMPT))
    told = everything_said(error) + caplog.text + repr(shared) + repr(vars(shared))
    assert KEY not in told
    assert KEY.encode() not in pickle.dumps(error)
    assert "[key]" in str(error)
    assert "HTTP Response" in caplog.text, "the SDK's own log was looked at"
    assert PROMPT not in caplog.text
    assert error.__context__ is None, "an exception of the SDK holds the request's headers"


def test_a_service_that_echoes_the_key_gets_it_into_no_reply(
    canned: Canned, shared: AnthropicProvider
) -> None:
    said = [{"type": "text", "text": f"you sent {KEY}"}]
    canned.says({**SPOKEN, "content": said, "model": KEY}, request_id=KEY)
    reply = run(shared.send(asking()))
    assert KEY not in repr(reply)
    assert reply.text == "you sent [key]"


def test_another_server_may_do_without_a_key(
    provider_at: At, canned: Canned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    assert run(provider_at(canned.url).send(asking())).text == "four"
    assert "another-token" not in canned.sent[0]["authorization"]


def test_a_pickled_provider_takes_no_key_along(
    canned: Canned, shared: AnthropicProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(shared.send(asking()))
    pickled = pickle.dumps(shared)
    assert KEY.encode() not in pickled
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-of-the-other-process")
    again: AnthropicProvider = pickle.loads(pickled)
    run(again.send(asking()))
    run(again.close())
    assert canned.sent[-1]["authorization"] == "Bearer sk-of-the-other-process"
    assert again.identity() == shared.identity()


def test_other_users_of_the_sdk_keep_their_log(
    canned: Canned, shared: AnthropicProvider, caplog: pytest.LogCaptureFixture
) -> None:
    run(shared.send(asking()))
    caplog.set_level(logging.DEBUG)
    said = [{"role": "user", "content": "mine"}]
    with anthropic.Anthropic(api_key="sk-theirs", base_url=canned.url) as theirs:
        theirs.messages.create(model="m", max_tokens=5, messages=said)  # type: ignore[arg-type]
    assert "Request options" in caplog.text


def test_an_old_model_may_be_sent_a_temperature(provider_at: At) -> None:
    provider = provider_at("", allow_temperature=True, temperature=0.5)
    assert provider.capabilities == Capabilities(temperature=True)
    assert provider_at("").capabilities == Capabilities(temperature=False)
