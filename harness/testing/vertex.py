"""A Vertex AI Vector Search on this machine: no project, no hour of index building, no bill.

    with vertex_emulator(buckets=("my-bucket=data",)) as emulator:
        channel = grpc.insecure_channel(emulator.address)

What serves is the plugin `vertex`; here is only what it promises. The command
`harness vertex-emulator` runs the same in a process of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self

from harness.errors import HarnessError, PluginError

_PORTS = 65_535
_LONGEST_S = 1_000_000


@dataclass(frozen=True, slots=True)
class VertexEmulatorSettings:
    """How the emulator is started; all of it has a default that suits a test.

    Raises HarnessError for a value out of its range.
    """

    port: int = 0
    "Port of 127.0.0.1 for plain channels; 0 takes a free one."
    tls: bool = False
    "Serve TLS as well, which the SDK's high-level classes want."
    tls_port: int = 0
    "Port for TLS channels; 0 takes a free one."
    private_port: int = 10_000
    "Port of private endpoints, on 127.0.0.2 and up; 10000 is the one that the SDK dials."
    data_dir: str = ""
    "Folder that indexes, endpoints and operations live in; without one they are in memory."
    buckets: tuple[str, ...] = ()
    "What gs:// is: NAME=FOLDER, one a bucket."
    lro_delay: float = 0.0
    "Seconds that every long-running operation takes at least."
    visibility_lag: float = 0.0
    "Seconds until searches see an upsert or a removal that was acknowledged."
    fail: tuple[str, ...] = ()
    "Calls that fail by chance: CODE=RATE or METHOD:CODE=RATE, as UNAVAILABLE=0.05."
    dot_sign: Literal[1, -1] = 1
    "Sign of dot products on the wire: 1 has them grow with nearness, -1 as the documents define."
    max_upsert: int = 1_000
    "How many datapoints one upsert or removal may name."
    max_neighbors: int = 1_000
    "How many neighbours one query may ask for."
    seed: int = 0
    "Which calls fail under `fail`."

    def __post_init__(self) -> None:
        for name, least in (("port", 0), ("tls_port", 0), ("private_port", 1)):
            _within(name, getattr(self, name), least, _PORTS)
        for name in ("max_upsert", "max_neighbors"):
            _within(name, getattr(self, name), 1, None)
        for name in ("lro_delay", "visibility_lag"):
            _within(name, getattr(self, name), 0, _LONGEST_S)
        if self.dot_sign not in (1, -1):
            raise HarnessError(f"dot_sign must be 1 or -1, not {self.dot_sign!r}")


class VertexEmulator(Protocol):
    """A running emulator."""

    @property
    def address(self) -> str:
        """Where plain channels go, as 127.0.0.1:45123."""
        ...

    @property
    def tls_address(self) -> str:
        """Where TLS channels go, as localhost:45124; empty without TLS."""
        ...

    @property
    def ca_file(self) -> str:
        """The certificate to trust, for GRPC_DEFAULT_SSL_ROOTS_FILE_PATH; empty without TLS."""
        ...

    @property
    def private(self) -> Mapping[str, str]:
        """Where the deployed indexes of private endpoints are, by their ids."""
        ...

    def close(self) -> None:
        """Stop serving; what is in `data_dir` stays."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def vertex_emulator(
    settings: VertexEmulatorSettings | None = None, **options: object
) -> VertexEmulator:
    """Start an emulator; `options` are the fields of its settings.

    Raises:
        HarnessError: if an option is wrong, a port is taken, or another emulator has the folder.
        PluginError: if the plugin `vertex`, or a package that it needs, is not installed.
    """
    from harness.loader import default_plugins

    try:
        settings = settings or VertexEmulatorSettings(**options)  # type: ignore[arg-type]
    except TypeError as error:
        raise HarnessError(f"the emulator's settings: {error}") from error
    start = default_plugins().offered("vertex", "emulator")
    try:
        started: VertexEmulator = start(settings)
    except ModuleNotFoundError as error:
        raise PluginError(
            f"the emulator needs {error.name}: pip install 'samescore[vertex]'"
        ) from error
    return started


def _within(name: str, value: float, least: int, most: int | None) -> None:
    if not least <= value <= (float("inf") if most is None else most):
        upper = "" if most is None else f" and at most {most}"
        raise HarnessError(f"{name} must be at least {least}{upper}, not {value!r}")
