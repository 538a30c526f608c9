"""What every answer of the viewer has to have, and whom it answers."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("localhost", "127.0.0.1", "::1")
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}


class Guarded:
    """An application that answers GET and HEAD, to the names of this machine, with strict headers.

    Another name in `Host` is how a page elsewhere reads a server on this machine (DNS rebinding).
    `hosts` None takes any name: the server listens to all of a network.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None = LOOPBACK) -> None:
        self._app = app
        self._hosts = None if hosts is None else {host.lower() for host in (*hosts, *LOOPBACK)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse to."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, sent)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("only GET\n", 405, {"allow": "GET, HEAD"})
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if self._hosts is not None and [host_of(name) in self._hosts for name in given] != [True]:
            return PlainTextResponse("this name is not served; see harness view --host\n", 421)
        return None


def host_of(authority: str) -> str:
    """The name or address of a `Host` header, without its port."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0].lower()
    return authority.partition(":")[0].lower()


def is_everywhere(host: str) -> bool:
    """Whether a server at this address listens to every network."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
