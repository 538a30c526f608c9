"""Serving the viewer until it is interrupted."""

from __future__ import annotations

import contextlib
import socket
import webbrowser

import uvicorn

from harness.errors import HarnessError
from harness.viewer.app import application
from harness.viewer.guarding import is_everywhere


def serve(url: str | None, host: str, port: int, *, open_browser: bool = False) -> None:
    """Serve a store's pages, say where, and return at Ctrl-C.

    Raises:
        HarnessError: if there is no such store, or the address is taken or not this machine's.
    """
    app = application(url, None if is_everywhere(host) else (host,))
    with _listening(host, port) as listening:
        shown = f"[{host}]" if ":" in host else host
        place = f"http://{shown}:{listening.getsockname()[1]}/"
        print(f"viewing at {place} (Ctrl-C ends it)", flush=True)
        if open_browser:
            webbrowser.open(place)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_graceful_shutdown=2,
            server_header=False,
        )  # fmt: skip
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise HarnessError(
            f"cannot listen at {host} port {port}: {why}; --port 0 takes a free one"
        ) from error
