"""`vertex`: Vertex AI Vector Search as a retriever, and an emulator of it.

    vertex:project=my-project,location=europe-west4,index=faq
    vertex:address=127.0.0.1:8085,index=faq      (the emulator, without credentials)

This file is read whenever plugins are listed, so it imports nothing heavy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from harness import Component, HarnessError, Retriever, hookimpl

if TYPE_CHECKING:
    from harness.testing.vertex import VertexEmulator, VertexEmulatorSettings
    from harness_vertex._index import VertexSearchIndex

_DEPLOYED = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")


class VertexError(HarnessError):
    """The service, or the way to it, failed; the message says at what, and what can be done.

    `code` is the gRPC status code's name, such as NOT_FOUND. `id` is the datapoint that is meant,
    if it is known. `applied` are the ids of a write that were written before it failed.
    """

    def __init__(
        self, message: str, *, code: str, key: str = "", applied: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.code, self.id, self.applied = code, key, applied


@dataclass(frozen=True, kw_only=True)
class VertexSettings:
    """Settings of `vertex`: which index, how to reach it, and what it is served by."""

    project: str = ""
    """Project; empty is that of the application default credentials (emulator: `emulator`)."""
    location: str = "us-central1"
    """Region of the index."""
    index: str = ""
    """Index: display name, number or resource name; empty is the one that is deployed."""
    endpoint: str = ""
    """Endpoint, likewise; empty is the one that the index is deployed to, or named like it."""
    deployed_index: str = ""
    """ID of the deployed index; needed where an index is deployed more than once."""
    address: str = field(default="", metadata={"result": False})
    """Address (host:port) of an emulator, without credentials or encryption."""
    via: Literal["auto", "public", "private"] = "auto"
    """Way of searching: FindNeighbors (public), Match (private), or what the endpoint has."""
    private_address: str = field(default="", metadata={"result": False})
    """Address of a private endpoint (host or host:port), where it cannot be looked up (PSC)."""
    api_version: Literal["v1", "v1beta1"] = "v1"
    """Version of the public search service."""
    encoder: str | None = "minilm"
    """Encoder of texts: packaged model, directory or fetched hub model; none takes vectors only."""
    text_key: str | None = "text"
    """Key of the metadata that holds a datapoint's text; none keeps no texts."""
    full: bool = False
    """Bring each match's whole datapoint, and so its text."""
    number_type: Literal["double", "float"] = "double"
    """How numeric restricts that are no integers are sent; one type a namespace."""
    timeout_s: float = field(default=20.0, metadata={"result": False})
    """Seconds until a call without a reply is given up, and made again."""
    write_timeout_s: float = field(default=60.0, metadata={"result": False})
    """The same for a batch of an upsert or removal."""
    deadline_s: float = field(default=120.0, metadata={"result": False})
    """Seconds for one call, with all its repeats."""
    batch_points: int = field(default=1000, metadata={"result": False})
    """Most datapoints of one upsert, removal or reading."""
    batch_mb: float = field(default=3.5, metadata={"result": False})
    """Most megabytes (10^6 bytes) of one upsert."""
    queries_per_call: int = field(default=64, metadata={"result": False})
    """Most queries of one call."""
    network: str = field(default="public", metadata={"result": False})
    """An endpoint to be made: `public`, `psc`, or a VPC: projects/NUMBER/global/networks/NAME."""
    psc_projects: tuple[str, ...] = field(default=(), metadata={"result": False})
    """Projects that may connect to an endpoint with network=psc."""
    machine_type: str = field(default="", metadata={"result": False})
    """Machine that serves, such as e2-standard-16; empty is the service's choice."""
    min_replicas: int = field(default=1, metadata={"result": False})
    """Least machines that serve; each is paid for by the hour."""
    max_replicas: int = field(default=1, metadata={"result": False})
    """Most machines that serve."""
    shard_size: Literal["", "small", "medium", "large"] = field(
        default="", metadata={"result": False}
    )
    """Size of an index's parts, which decides the machines; empty is the service's choice."""

    def __post_init__(self) -> None:
        """Raise ValueError for what cannot be meant."""
        self._check_numbers()
        if not (self.index or self.endpoint):
            raise ValueError("name an index, or an endpoint that one is deployed to: index=…")
        if self.address and not re.fullmatch(r"[^/\s:]+:\d+|\[[^\]]+\]:\d+", self.address):
            raise ValueError(f"address is {self.address!r}; write HOST:PORT, as 127.0.0.1:8085")
        if self.deployed_index and not _DEPLOYED.fullmatch(self.deployed_index):
            raise ValueError(
                f"deployed_index is {self.deployed_index!r}; it begins with a letter, and has "
                "letters, digits and _ only (at most 128)"
            )
        if self.private_address and self.via == "public":
            raise ValueError("private_address is given, and via=public; leave one of them out")
        self._check_network()

    def _check_numbers(self) -> None:
        for name in ("batch_points", "queries_per_call", "min_replicas"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it is at least 1")
        for name in ("timeout_s", "write_timeout_s", "deadline_s", "batch_mb"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it is above 0")
        if self.max_replicas < self.min_replicas:
            raise ValueError(
                f"max_replicas is {self.max_replicas}, and min_replicas {self.min_replicas}"
            )

    def _check_network(self) -> None:
        vpc = r"projects/[^/]+/global/networks/[^/]+"
        if self.network not in ("public", "psc") and not re.fullmatch(vpc, self.network):
            raise ValueError(
                f"network is {self.network!r}; it is public, psc, "
                "or projects/NUMBER/global/networks/NAME"
            )
        if self.psc_projects and self.network != "psc":
            raise ValueError("psc_projects is for network=psc")


def build(settings: VertexSettings) -> VertexSearchIndex:
    """The index that these settings name; nobody is asked before it is used."""
    from harness_vertex._index import VertexSearchIndex

    return VertexSearchIndex(settings)


@hookimpl
def harness_retrievers() -> Iterable[Component[Retriever]]:
    """Register `vertex`."""
    yield Component(
        "vertex",
        build=build,
        settings=VertexSettings,
        summary="Vertex AI Vector Search, or its emulator (address=)",
        requires="samescore[vertex]",
    )


def emulator(settings: VertexEmulatorSettings) -> VertexEmulator:
    """Start an emulator; `harness.testing.vertex.vertex_emulator` is how others ask for it."""
    from harness_vertex._emulator.emulator import Emulator

    return Emulator(settings)
