"""The viewer's pages by address."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from harness.errors import HarnessError, StoreError
from harness.viewer.asking import ListQuery, PairQuery, SampleQuery, address, asked
from harness.viewer.guarding import LOOPBACK, Guarded
from harness.viewer.library import AskedWrongError, Library, NotHereError
from harness.viewer.listing import listing
from harness.viewer.measurements import measurement_page
from harness.viewer.pairs import NotReadyError, compare_page, pair_page
from harness.viewer.rendering import STATIC, environment, plotly_file
from harness.viewer.runs import run_page
from harness.viewer.samples import sample_page, samples_page
from harness.viewer.trainings import training_page

Page = Callable[[Library, Request], tuple[str, object]]
_STATIC = {
    "icon.svg": "image/svg+xml",
    "plotly.css": "text/css",
    "plots.js": "text/javascript",
    "theme.js": "text/javascript",
    "viewer.css": "text/css",
    "viewer.js": "text/javascript",
}
_KEEP = {"cache-control": "public, max-age=31536000, immutable"}
_ASK_AGAIN = {"cache-control": "private, no-cache"}


def application(url: str | None, hosts: Collection[str] | None = LOOPBACK) -> ASGIApp:
    """The viewer of a store; its connections are given back when the server ends.

    Raises:
        StoreError: if there is no such store.
        HarnessError: if Plotly is not installed.
    """
    library, templates = Library(url), environment()
    named = library.store.shown.removeprefix("sqlite:///")

    @asynccontextmanager
    async def living(_: Starlette) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(library.close)

    def shown(name: str, page: object, status: int = 200, path: str = "/") -> Response:
        template = templates.get_template(name)
        text = template.render(page=page, store=named, path=path)
        data = text.encode("utf-8", "backslashreplace")  # a name may hold half a surrogate pair
        return Response(data, status, _ASK_AGAIN, "text/html; charset=utf-8")

    def answer(page: Page, request: Request) -> Response:
        try:
            name, found = page(library, request)
            return shown(name, found, path=request.url.path)
        except NotHereError as error:
            return shown("error.html", error, 404)
        except NotReadyError as error:
            return shown("error.html", error, 503)
        except StoreError as error:
            return shown("error.html", error, 500)
        except HarnessError as error:  # what was asked for cannot be shown
            return shown("error.html", error, 400)

    def served(page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            return await run_in_threadpool(answer, page, request)

        return endpoint

    async def live(request: Request) -> Response:
        token = f'"{await run_in_threadpool(library.token)}"'
        same = request.headers.get("if-none-match") == token
        return Response(b"", 304 if same else 200, {"etag": token, **_ASK_AGAIN}, "text/plain")

    async def lost(request: Request, _: Exception) -> Response:
        error = NotHereError(f"There is no page {request.url.path}")
        return await run_in_threadpool(partial(shown, "error.html", error, 404))

    routes = [Route("/live", live), Route("/static/{name}", _static), Route("/compare/runs", _two)]
    routes += [Route(path, served(page)) for path, page in _PAGES.items()]
    app = Starlette(routes=routes, exception_handlers={404: lost}, lifespan=living)
    return Guarded(app, hosts)


def _list(library: Library, request: Request) -> tuple[str, object]:
    return "index.html", listing(library, asked(ListQuery, request.query_params))


def _run(library: Library, request: Request) -> tuple[str, object]:
    return "run.html", run_page(library, request.path_params["run"])


def _samples(library: Library, request: Request) -> tuple[str, object]:
    query = asked(SampleQuery, request.query_params)
    return "samples.html", samples_page(library, request.path_params["run"], query)


def _sample(library: Library, request: Request) -> tuple[str, object]:
    query = asked(SampleQuery, request.query_params)
    place = _number(request.path_params["ordinal"])
    return "sample.html", sample_page(library, request.path_params["run"], place, query)


def _compare(library: Library, request: Request) -> tuple[str, object]:
    return "compare.html", compare_page(library, asked(PairQuery, request.query_params))


def _pair(library: Library, request: Request) -> tuple[str, object]:
    query = asked(PairQuery, request.query_params)
    if not query.a or not query.b:
        raise AskedWrongError("a and b name the two runs to compare")
    return "pair.html", pair_page(library, query, _number(request.path_params["at"]))


def _training(library: Library, request: Request) -> tuple[str, object]:
    given = request.query_params.get("step", "")
    step = _number(given) if given else None
    return "training.html", training_page(library, request.path_params["training"], step)


def _measurement(library: Library, request: Request) -> tuple[str, object]:
    return "measurement.html", measurement_page(library, request.path_params["measurement"])


_PAGES: dict[str, Page] = {
    "/": _list,
    "/runs/{run}": _run,
    "/runs/{run}/samples": _samples,
    "/runs/{run}/samples/{ordinal}": _sample,
    "/compare": _compare,
    "/compare/{at}": _pair,
    "/trainings/{training}": _training,
    "/measurements/{measurement}": _measurement,
}


async def _two(request: Request) -> Response:
    """The page of two runs that were ticked in a list, where the later one stands first."""
    ticked = request.query_params.getlist("run")
    a, b = [*reversed(ticked[:2]), "", ""][:2]
    return RedirectResponse(address("/compare", PairQuery(a, b)), 303)


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name == "plotly.min.js":
        return FileResponse(plotly_file(), media_type="text/javascript", headers=_KEEP)
    if name not in _STATIC:
        return Response(b"", 404)
    return FileResponse(STATIC / name, media_type=_STATIC[name], headers=_KEEP)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise NotHereError(f"{text!r} is no number")
    return int(text)
