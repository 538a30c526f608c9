"""HTTP/1.1 on loopback: one thread, one event loop, and replies that may be late, cut or absent."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import h11

from harness.errors import HarnessError


@dataclass(frozen=True, slots=True)
class Wire:
    """What is sent, and `delay` seconds after the request; `done` is told if all of it was."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]
    done: Callable[[bool], None]
    delay: float = 0.0
    ending: Literal["whole", "cut", "none"] = "whole"


Handler = Callable[[str, str, Mapping[str, str], bytes], Wire]
"""Gets method, target, headers (names in lower case) and body."""


class Loopback:
    """A server on 127.0.0.1 in a thread of its own.

    It accepts connections itself: asyncio's server, when it is closed, leaks what it accepts just
    then.
    """

    def __init__(self, handler: Handler, port: int) -> None:
        """Serve from now on; port 0 means any that is free.

        Raises:
            HarnessError: when the port cannot be had.
        """
        try:
            self._listener = socket.create_server(("127.0.0.1", port), backlog=2048)
        except (OSError, OverflowError) as error:
            raise HarnessError(f"cannot listen on port {port}: {error}") from error
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._handler = handler
        self._connections: set[_Connection] = set()
        self._joining: set[asyncio.Task[object]] = set()
        self._loop, self._stop = asyncio.new_event_loop(), asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="fault-server", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Break every connection, and wait until nothing is left."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _run(self) -> None:
        with self._listener:
            self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._loop.add_reader(self._listener, self._accept)
        await self._stop.wait()
        self._loop.remove_reader(self._listener)
        await asyncio.gather(*self._joining)
        while self._connections:
            for connection in tuple(self._connections):
                connection.abort()
            await asyncio.sleep(0)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            client, _ = self._listener.accept()
            client.setblocking(False)
            joined = self._loop.connect_accepted_socket(self._connect, client)
            task = self._loop.create_task(joined)
            self._joining.add(task)
            task.add_done_callback(self._joining.discard)

    def _connect(self) -> _Connection:
        return _Connection(self._handler, self._connections)


class _Connection(asyncio.Protocol):
    """One client: its requests one after the other, each answered before the next is read."""

    def __init__(self, handler: Handler, registry: set[_Connection]) -> None:
        self._handler, self._registry = handler, registry
        self._http = h11.Connection(h11.SERVER)
        self._request: h11.Request | None = None
        self._body: list[bytes] = []
        self._wire: Wire | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._registry.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._registry.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._wire is not None:
            self._wire.done(False)
            self._wire = None

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._http.receive_data(data)
        self._advance()

    def _advance(self) -> None:
        """Read on until a request is complete, or more bytes are needed."""
        while self._wire is None and not self._transport.is_closing():
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                self._reject(error)
                return
            if event is h11.NEED_DATA or event is h11.PAUSED:
                if self._http.they_are_waiting_for_100_continue:
                    go_on = h11.InformationalResponse(status_code=100, headers=[])
                    self._transport.write(self._http.send(go_on) or b"")
                return
            if isinstance(event, h11.Request):
                self._request, self._body = event, []
            elif isinstance(event, h11.Data):
                self._body.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                self._answer()
            else:
                self._transport.close()

    def _answer(self) -> None:
        assert self._request is not None
        headers = {name.decode(): value.decode("latin-1") for name, value in self._request.headers}
        method, target = self._request.method.decode(), self._request.target.decode("latin-1")
        self._wire = self._handler(method, target, headers, b"".join(self._body))
        if self._wire.delay <= 0:
            self._send()
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._wire.delay, self._send_late)

    def _send_late(self) -> None:
        self._send()
        self._advance()

    def _send(self) -> None:
        wire, self._wire, self._timer = self._wire, None, None
        assert wire is not None
        # Whoever has the reply must find it in the ledger: so this goes before the bytes.
        wire.done(wire.ending == "whole")
        if wire.ending == "none":
            self._transport.close()
            return
        headers = [*wire.headers, ("Content-Length", str(len(wire.body)))]
        head = self._http.send(h11.Response(status_code=wire.status, headers=headers)) or b""
        if wire.ending == "cut":
            self._transport.write(head + wire.body[: len(wire.body) // 2])
            self._transport.close()
            return
        body = self._http.send(h11.Data(data=wire.body)) or b""
        end = self._http.send(h11.EndOfMessage()) or b""
        self._transport.write(b"".join((head, body, end)))
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        else:
            self._transport.close()

    def _reject(self, error: h11.RemoteProtocolError) -> None:
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            head = h11.Response(status_code=error.error_status_hint, headers=[])
            self._transport.write(self._http.send(head) or b"")
        self._transport.close()
