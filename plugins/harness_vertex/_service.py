"""The way to the service: channels, credentials, and the clients of its control plane."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import TypeVar

import google.auth
import grpc
from google.api_core import grpc_helpers
from google.auth.exceptions import GoogleAuthError
from google.cloud.aiplatform_v1 import IndexEndpointServiceClient, IndexServiceClient
from google.cloud.aiplatform_v1.services.index_endpoint_service.transports import (
    IndexEndpointServiceGrpcTransport,
)
from google.cloud.aiplatform_v1.services.index_service.transports import IndexServiceGrpcTransport

from harness_vertex import VertexError, VertexSettings
from harness_vertex._calls import Caller
from harness_vertex._errors import Problem

T = TypeVar("T")

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 3000),
    ("grpc.primary_user_agent", f"samescore/{version('samescore')}"),
]
_PRIVATE_PORT = 10_000


class Service:
    """A project and location of Vertex AI, or an emulator: opened when it is first asked.

    It may be used from any thread; `close` lets go of all connections.
    """

    def __init__(self, settings: VertexSettings) -> None:
        self.settings = settings
        self.caller = Caller(settings)
        self._lock = threading.RLock()
        self._channels: dict[str, grpc.Channel] = {}

    @property
    def parent(self) -> str:
        """The resource name of project and location."""
        return f"projects/{self._project}/locations/{self.settings.location}"

    @property
    def where(self) -> str:
        """What is connected to, for a message."""
        return self.settings.address or f"{self.settings.location}-aiplatform.googleapis.com"

    @functools.cached_property
    def indexes(self) -> IndexServiceClient:
        """The client of IndexService; every call through `call`, which sets timeout and retry."""
        return IndexServiceClient(transport=IndexServiceGrpcTransport(channel=self.control()))

    @functools.cached_property
    def endpoints(self) -> IndexEndpointServiceClient:
        """The client of IndexEndpointService, likewise."""
        transport = IndexEndpointServiceGrpcTransport(channel=self.control())
        return IndexEndpointServiceClient(transport=transport)

    def call(
        self,
        send: Callable[[float], T],
        doing: str,
        *,
        again: bool = True,
        timeout_s: float | None = None,
    ) -> T:
        """Make a call; raises VertexError that says at what and where it failed."""
        return self.caller.call(send, f"{doing} ({self.where})", again=again, timeout_s=timeout_s)

    def control(self) -> grpc.Channel:
        """The channel of the control plane: everything but searching."""
        return self.channel(self.where)

    def channel(self, host: str) -> grpc.Channel:
        """A channel with credentials to a host of the service, or to the emulator."""
        with self._lock:
            if host not in self._channels:
                self._channels[host] = self._opened(host)
            return self._channels[host]

    def private(self, host: str) -> grpc.Channel:
        """A channel to a private endpoint, which has neither credentials nor encryption."""
        address = host if ":" in host else f"{host}:{_PRIVATE_PORT}"
        with self._lock:
            if address not in self._channels:
                self._channels[address] = grpc.insecure_channel(address, options=_OPTIONS)
            return self._channels[address]

    def close(self) -> None:
        """Close every channel; a call after this opens new ones."""
        with self._lock:
            for channel in self._channels.values():
                channel.close()
            self._channels.clear()
            for name in ("indexes", "endpoints"):
                self.__dict__.pop(name, None)

    def _opened(self, host: str) -> grpc.Channel:
        if self.settings.address:
            return grpc.insecure_channel(self.settings.address, options=_OPTIONS)
        credentials, _ = self._credentials
        target = host if ":" in host else f"{host}:443"
        return grpc_helpers.create_channel(target, credentials=credentials, options=_OPTIONS)

    @functools.cached_property
    def _project(self) -> str:
        if self.settings.project:
            return self.settings.project
        if self.settings.address:
            return "emulator"
        _, project = self._credentials
        if not project:
            raise VertexError("vertex: which project? Give project=…", code="INVALID_ARGUMENT")
        return str(project)

    @functools.cached_property
    def _credentials(self) -> tuple[google.auth.credentials.Credentials, str | None]:
        with self._refusals():
            credentials, project = google.auth.default(scopes=_SCOPES)
        return credentials, project

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except GoogleAuthError as error:
            said = str(error).partition(" To set up")[0]
            doing = f"credentials for {self.where} (an emulator needs address=HOST:PORT instead)"
            raise Problem("UNAUTHENTICATED", said).error(doing) from error
