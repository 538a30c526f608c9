"""One model behind the SDK's client: a call, and what came of it."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from urllib.parse import urlsplit

import httpx2
import openai

from harness import Usage
from harness.calls import Capabilities, Reply, Request
from harness.calls.addresses import is_loopback
from harness.calls.clients import Clients
from harness.calls.keys import key_for
from harness_openai import Connection
from harness_openai._failures import Failures, pause, refused, refused_within
from harness_openai._reading import Broken, Json, read_json
from harness_openai._shapes import Shape

OFFICIAL = "https://api.openai.com/v1"


def official(address: str) -> bool:
    """Whether OpenAI itself is there, in whichever region."""
    return f".{urlsplit(address).hostname}".endswith(".api.openai.com")


class OpenAIProvider:
    """Makes a call each time it is asked; its clients live until `close`.

    Requests go by the client's `post`: it has the headers, and costs 60 % of the CPU of `create`,
    which makes objects of a reply that must be checked all the same.

    Args:
        settings: Model, names of key and account.
        address: Where the service is.
        shape: The endpoint.
        capabilities: What the model can be asked for.
        timeout_s: Seconds without a byte until a call is given up.

    Raises:
        PluginError: without a key where OpenAI's own service is called, or where the user named
            one; if nothing is said of a key for another's address.
    """

    name = "openai"

    def __init__(
        self,
        settings: Connection,
        address: str,
        shape: Shape,
        capabilities: Capabilities,
        timeout_s: float,
    ) -> None:
        self.capabilities = capabilities
        self._settings, self._address, self._shape = settings, address, shape
        self._timeout_s = timeout_s
        own = official(address)
        self._key = key_for(self.name, settings.key_env, "OPENAI_API_KEY", address, own=own)
        self._failures = Failures(self._key, self._address, settings.model)
        self._clients = Clients(self._opened)

    def __reduce__(self) -> tuple[object, ...]:
        """Another process reads the key from its own environment, and has its own client."""
        shape, can = self._shape, self.capabilities
        return type(self), (self._settings, self._address, shape, can, self._timeout_s)

    def identity(self) -> Mapping[str, str]:
        """Service, address or what is served there, model, and endpoint."""
        served = self._settings.served_as or self._address
        told = {"provider": self.name, "endpoint": served, "model": self._settings.model}
        return {**told, **self._shape.identity()}

    async def send(self, request: Request) -> Reply:
        """Make one call.

        Raises:
            CallError: when there is no reply; it holds no error of the SDK, which has headers.
        """
        body = self._shape.body(self._settings.model, request)
        try:
            with self._clients.one() as client:
                raw = await client.post(
                    self._shape.path,
                    cast_to=openai.AsyncAPIResponse[object],
                    body=body,
                    options={"security": {"bearer_auth": True}},
                )
            answer = read_json(await raw.read())
            within = refused_within(answer)
            if within is None:
                return self._reply(answer, raw.headers)
            failed = self._failures.of_status(within, body)
        except Broken as error:
            failed = self._failures.broken(str(error))
        except openai.APIStatusError as error:
            why = refused(error)
            if why.filtered:
                return Reply(self._failures.said(why.message), "refusal", Usage())
            failed = self._failures.of_status(why, body)
        except Exception as error:
            failed = self._failures.of(error)
        raise failed  # not above: an error that is raised while another is handled holds on to it

    async def close(self) -> None:
        """Let go of connections; a call after this opens new ones."""
        for client in self._clients.taken():
            await client.close()

    def _reply(self, answer: Json, headers: Mapping[str, str]) -> Reply:
        reply, hide = self._shape.read(answer), self._key.hide
        text = hide(reply.text)
        return replace(
            reply,
            text=text,
            tokens=reply.tokens if text == reply.text else (),
            model=hide(reply.model),
            request_id=hide(headers.get("x-request-id", "")),
            pause_s=pause(headers),
        )

    def _opened(self) -> openai.AsyncOpenAI:
        direct = is_loopback(self._address)
        return openai.AsyncOpenAI(
            http_client=openai.DefaultAsyncHttpxClient(trust_env=not direct, verify=self._tls),
            api_key=self._key.value(),
            base_url=self._address,
            organization=self._settings.organization or None,
            project=self._settings.project or None,
            timeout=self._timeout_s,
            max_retries=0,
        )

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """What the clients check certificates with: it takes 20 ms to load, so they share it."""
        return httpx2.create_ssl_context(trust_env=not is_loopback(self._address))
