"""gRPC servers: one table of methods for v1 and v1beta1, on plain and TLS ports of loopback."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
from google.protobuf.message import DecodeError, Message

from harness_vertex._emulator.errors import invalid
from harness_vertex._emulator.faults import Faults
from harness_vertex._emulator.operations import as_service_error

VERSIONS = ("v1", "v1beta1")
_THREADS = 16
_LONGEST = 1000  # gRPC's own limit is 8 KiB for all that ends a call
_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # a port that is taken must be an error
]


@dataclass(frozen=True, slots=True)
class Method:
    """A method: the class of its request, and what answers it."""

    request: type[Message]
    answer: Callable[[Message], Message]


def handler(name: str, method: Method, faults: Faults) -> grpc.RpcMethodHandler:
    """What gRPC calls for a method."""

    def answer(data: bytes, context: grpc.ServicerContext) -> Message:
        try:
            faults.strike(name)
            return method.answer(_read(method.request, data))
        except Exception as error:
            refused = as_service_error(error)
        context.abort(refused.code, refused.message[:_LONGEST])
        raise AssertionError("abort raises")

    return grpc.unary_unary_rpc_method_handler(
        answer, None, lambda reply: reply.SerializeToString()
    )


def _read(kind: type[Message], data: bytes) -> Message:
    """The message in a request; gRPC itself would call one that is none an INTERNAL error."""
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise invalid(f"The request is no {kind.DESCRIPTOR.name}: {error}.") from error


def start(
    services: Mapping[str, Mapping[str, grpc.RpcMethodHandler]],
    address: str,
    credentials: Mapping[str, grpc.ServerCredentials] | None = None,
) -> tuple[grpc.Server, list[int]]:
    """Start a server at a plain address, and at each address that credentials are given for.

    Returns:
        The server and its ports, in the order of the addresses.

    Raises:
        OSError: if an address is taken or is not of this machine.
    """
    server = grpc.server(ThreadPoolExecutor(_THREADS, "vertex emulator"), options=_OPTIONS)
    for service, methods in services.items():
        server.add_registered_method_handlers(service, methods)
        generic = grpc.method_handlers_generic_handler(service, methods)
        server.add_generic_rpc_handlers((generic,))
    ports = []
    try:
        ports.append(server.add_insecure_port(address))
        for secure, own in (credentials or {}).items():
            ports.append(server.add_secure_port(secure, own))
    except RuntimeError as error:
        server.stop(None)
        raise OSError(str(error)) from error
    server.start()
    return server, ports


def tls_credentials(folder: Path) -> tuple[grpc.ServerCredentials, Path]:
    """Credentials for localhost, and the certificate to trust: the folder's, or made there."""
    import trustme

    certificate, key = folder / "ca.pem", folder / "ca.key"
    if key.exists():
        authority = trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes())
    else:
        authority = trustme.CA(organization_name="samescore vertex emulator")
        authority.cert_pem.write_to_path(certificate)
        key.touch(0o600)
        authority.private_key_pem.write_to_path(key)
    issued = authority.issue_cert("localhost", "127.0.0.1")
    chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
    pair = (issued.private_key_pem.bytes(), chain)
    return grpc.ssl_server_credentials([pair]), certificate
