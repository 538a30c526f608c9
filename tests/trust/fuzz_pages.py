"""Addresses of the viewer's pages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, quote_from_bytes, unquote

from hypothesis import strategies as st
from starlette.types import ASGIApp, Message, Scope

from harness.store import Store
from harness.viewer.app import application
from tests.trust.fuzz_store import MEASUREMENT, TRAINING
from tests.trust.fuzzing import TEXTS, TOKENS, mutated

_NUMBERS = [
    *("0", "1", "2", "-1", "3", "999999999", "1000000000", "0000000001999999999999999999"),
    *(
        "0" * 10 + "9" * 5000,
        "0" * 9 + "1" + "9" * 9,
        "0" * 9 + "1" * 5000,
        "1e3",
        "0.5",
        "nan",
        "inf",
        "-inf",
        "1e400",
        "٣",
        "4_0",
        " 1",
        "+1",
        "",
    ),
]
_WORDS = ["match", "words", "any", "refusal", "row", "score", "-score", "newest", "name", "better",
          "worse", "same", "evaluation", "finished", "q0", "%", "_", "50%_of", "\\"]  # fmt: skip
_VALUES = st.one_of(
    st.sampled_from(_NUMBERS),
    st.sampled_from(_WORDS),
    TEXTS,
    st.sampled_from(["x" * 60_000, "%" * 60_000, "\0", "\ufeff", "a" * 3000]),
)
_KEYS = [
    *("q", "kind", "status", "scorer", "sort", "page", "low", "high", "unscored"),
    *("a", "b", "only", "anyway", "step", "run", "x"),
]


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="replace")


class Pages:
    """The pages of a store, asked without a network as a server would ask."""

    def __init__(self, file: Path) -> None:
        with Store(file, readonly=True) as store:
            runs = [run.id for run in store.runs()]
        self._app: ASGIApp = application(str(file))
        self._ids = [*runs, TRAINING, MEASUREMENT, "last", runs[0][:4], "", "..", "x"]

    def addresses(self) -> st.SearchStrategy[bytes]:
        """Paths that there are, with parameters that they take, and what mutations make of them."""
        there = st.sampled_from(self._ids[:2])
        ids = st.one_of(there, there, st.sampled_from(self._ids), TEXTS.map(_quoted))
        numbers = st.sampled_from(["0", "1", *_NUMBERS]).map(_quoted)
        paths = st.one_of(
            st.just("/"),
            st.builds("/runs/{}".format, ids),
            st.builds("/runs/{}/samples".format, ids),
            st.builds("/runs/{}/samples/{}".format, ids, numbers),
            st.just("/compare"),
            st.builds("/compare/{}".format, numbers),
            st.just("/compare/runs"),
            st.builds("/trainings/{}".format, ids),
            st.builds("/measurements/{}".format, ids),
            st.builds(
                "/static/{}".format, st.sampled_from(["viewer.css", "..%2f..%2fapp.py", "x"])
            ),
            st.just("/live"),
        )
        values = st.one_of(_VALUES, st.sampled_from(self._ids))
        wholes = st.tuples(
            st.sampled_from(["page", "low", "high", "step"]), st.sampled_from(_NUMBERS)
        )
        words = st.tuples(st.sampled_from(_KEYS), values)
        pairs = st.sampled_from([[("a", self._ids[0]), ("b", self._ids[1])], []])
        given = st.builds(list.__add__, pairs, st.lists(st.one_of(wholes, words), max_size=2))
        whole = st.builds(self._address, paths, given)
        return st.one_of(whole, whole, mutated(whole))

    def _address(self, path: str, given: list[tuple[str, str]]) -> bytes:
        query = "&".join(f"{key}={_quoted(value)}" for key, value in given)
        return f"{path}?{query}".encode()

    def survives(self, address: bytes) -> str:
        # What a server lets through: any bytes may stand in an address by their numbers.
        address = b"/" + address.removeprefix(b"/")
        address = quote_from_bytes(address, safe="/?&=%:@!$'()*+,;~-._[]").encode()
        path, _, query = address.partition(b"?")
        status = self._status(path, query)
        assert status not in (500, 0), f"{status} for {address[:300]!r}"
        assert status in (200, 303, 304, 307, 400, 404, 503), status
        return "pages" if status == 200 else "addresses refused with 4xx or led on"

    def _status(self, path: bytes, query: bytes) -> int:
        scope: Scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "method": "GET",
            "path": unquote(path.decode("ascii")), "raw_path": path, "query_string": query,
            "http_version": "1.1", "scheme": "http", "root_path": "", "server": ("localhost", 7007),
            "headers": [(b"host", b"localhost:7007")],
        }  # fmt: skip
        found = 0

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            nonlocal found
            found = message.get("status", found)

        self._loop.run_until_complete(self._app(scope, receive, send))
        return found

    @contextmanager
    def serving(self) -> Iterator[None]:
        """One event loop for all."""
        self._loop = asyncio.new_event_loop()
        logging.getLogger("asyncio").setLevel(logging.ERROR)
        try:
            yield
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()


__all__ = ["TOKENS"]
