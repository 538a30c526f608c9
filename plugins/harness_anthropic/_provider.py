"""The service over the official SDK: one attempt a call."""

from __future__ import annotations

import contextvars
import logging
import os
import ssl
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anthropic
import httpx2

from harness import PluginError
from harness.calls import CallError, CallSettings, Capabilities, Failure, Message, Reply, Request
from harness.calls.addresses import is_loopback
from harness.calls.clients import Clients
from harness.calls.keys import key_for
from harness_anthropic import MOST_TOKENS, Connection, check_address
from harness_anthropic._failures import call_error, withheld
from harness_anthropic._replies import read

if TYPE_CHECKING:
    from anthropic.types import Message as Said
    from anthropic.types import MessageParam, OutputConfigParam, TextBlockParam, ThinkingConfigParam

_OFFICIAL = "https://api.anthropic.com"
_THINKING: Mapping[str, ThinkingConfigParam] = {
    "adaptive": {"type": "adaptive"},
    "disabled": {"type": "disabled"},
}
_CALLING: contextvars.ContextVar[bool] = contextvars.ContextVar("calling", default=False)


class AnthropicProvider:
    """One model behind Anthropic's messages endpoint.

    A pickled one takes neither key nor client along: it reads the key where it is unpickled.

    Raises:
        PluginError: without a key for the official service, with one that cannot be sent, or if
            nothing is said of a key for another's address.
    """

    name = "anthropic"

    def __init__(self, connection: Connection, calls: CallSettings, address: str = "") -> None:
        self._connection, self._calls = connection, calls
        self._address = address or _address(connection)
        own = urlsplit(self._address).hostname == urlsplit(_OFFICIAL).hostname
        named = connection.key_env
        self._key = key_for(self.name, named, "ANTHROPIC_API_KEY", self._address, own=own)
        self._clients = Clients(self._opened)
        self.capabilities = Capabilities(temperature=connection.allow_temperature)

    def __reduce__(self) -> tuple[type[AnthropicProvider], tuple[Connection, CallSettings, str]]:
        return AnthropicProvider, (self._connection, self._calls, self._address)

    def identity(self) -> Mapping[str, str]:
        """The service, where or what it is, and the model."""
        c = self._connection
        endpoint = c.served_as or self._address
        return {"provider": self.name, "endpoint": endpoint, "model": c.model}

    async def send(self, request: Request) -> Reply:
        """Make one call.

        Raises:
            CallError: when there is no reply. No exception of the SDK is its cause or context:
                those hold the request's headers, and with them the key.
        """
        if why := _refused(request, self.capabilities):
            raise CallError(Failure.REQUEST, why)
        calling = _CALLING.set(True)
        try:
            answered = await self._create(request)
        except Exception as error:
            outcome = withheld(error, self._key) or call_error(error, self._key)
        else:
            return read(answered.http_response.content, answered.headers, self._key)
        finally:
            _CALLING.reset(calling)
        if isinstance(outcome, Reply):
            return outcome
        raise outcome  # not above: an error raised while another is handled holds on to it

    async def close(self) -> None:
        """Close the clients' connections; a later call opens new ones."""
        for client in self._clients.taken():
            await client.close()

    async def _create(self, request: Request) -> anthropic.AsyncAPIResponse[Said]:
        c, omit = self._connection, anthropic.omit
        system = _system(request, c)
        # Of a parsed reply the headers are lost, and what is no reply comes as anything at all.
        with self._clients.one() as client:
            return await client.messages.with_raw_response.create(
                model=c.model,
                max_tokens=min(request.max_tokens, MOST_TOKENS),
                system=system if system else omit,
                messages=[_turn(m) for m in request.messages if m.role != "system"],
                output_config=_output(request, c),
                stop_sequences=list(request.stop) if request.stop else omit,
                thinking=omit if c.thinking is None else _THINKING[c.thinking],
                extra_body=_extra(request) or None,
            )

    def _opened(self) -> anthropic.AsyncAnthropic:
        """A client, made on the loop that calls; from the environment it takes proxies alone."""
        logging.getLogger("anthropic._base_client").addFilter(_not_our_prompts)
        direct = is_loopback(self._address)
        client = anthropic.AsyncAnthropic(
            http_client=anthropic.DefaultAsyncHttpxClient(trust_env=not direct, verify=self._tls),
            api_key=self._key.value(),
            base_url=self._address,
            timeout=self._calls.timeout_s,
            max_retries=0,
            open_telemetry=False,
        )
        client._custom_headers = {}  # of ANTHROPIC_CUSTOM_HEADERS, which may hold another key
        return client

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """What the clients check certificates with: it takes 20 ms to load, so they share it."""
        return httpx2.create_ssl_context(trust_env=not is_loopback(self._address))


def _address(connection: Connection) -> str:
    """Where the service is: what the settings say, else the environment, else the official one."""
    ambient = os.environ.get("ANTHROPIC_BASE_URL", "")
    try:
        check_address("ANTHROPIC_BASE_URL", "" if connection.base_url else ambient)
    except ValueError as error:
        raise PluginError(f"anthropic: {error}") from error
    return (connection.base_url or ambient or _OFFICIAL).rstrip("/")


def _not_our_prompts(record: logging.LogRecord) -> bool:
    """Whether a record of the SDK's may be logged: at DEBUG it logs whole requests."""
    return not (_CALLING.get() and str(record.msg).startswith("Request options"))


def _refused(request: Request, can: Capabilities) -> str:
    """What is asked for and cannot be had, so that nothing is left out in silence; or nothing."""
    asked = {
        "log-probabilities": request.top_logprobs or None,
        "a seed": request.seed,
        "a frequency_penalty": request.frequency_penalty,
        "a presence_penalty": request.presence_penalty,
    }
    if not can.temperature:
        asked |= {"a temperature": request.temperature, "top_p": request.top_p}
    names = [name for name, value in asked.items() if value is not None]
    return f"this service takes no {', '.join(names)}" if names else ""


def _system(request: Request, connection: Connection) -> list[TextBlockParam]:
    text = "\n\n".join(m.content for m in request.messages if m.role == "system")
    block: TextBlockParam = {"type": "text", "text": text}
    if connection.cache != "off":
        block["cache_control"] = {"type": "ephemeral", "ttl": connection.cache}
    return [block] if text else []


def _turn(message: Message) -> MessageParam:
    if message.role == "assistant":
        return {"role": "assistant", "content": message.content}
    return {"role": "user", "content": message.content}


def _output(request: Request, connection: Connection) -> OutputConfigParam | anthropic.Omit:
    output: OutputConfigParam = {}
    if connection.effort is not None:
        output["effort"] = connection.effort
    if request.schema is not None:
        schema = anthropic.transform_schema(dict(request.schema))
        output["format"] = {"type": "json_schema", "schema": schema}
    return output if output else anthropic.omit


def _extra(request: Request) -> dict[str, object]:
    sampling = {"temperature": request.temperature, "top_p": request.top_p}
    return {**{k: v for k, v in sampling.items() if v is not None}, **request.extra}
