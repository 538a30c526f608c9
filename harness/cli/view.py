"""`harness view`: look at a store in a browser."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.cli._types import count

if TYPE_CHECKING:
    from harness.cli._types import Commands


@contextlib.contextmanager
def needing_extra() -> Iterator[None]:
    """Tell what to install where the viewer's libraries are not there."""
    from harness.errors import HarnessError

    try:
        yield
    except ModuleNotFoundError as error:
        raise HarnessError(
            f"the viewer needs {error.name}: pip install 'samescore[view]'"
        ) from error


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "view",
        help="look at runs in a browser",
        description="Serve a store as web pages: runs, samples, two runs side by side, trainings. "
        "Only reads, and answers this machine alone unless --host says otherwise.",
    )
    add = parser.add_argument
    add("--store", metavar="URL", help="the store to read")
    add("--host", default="127.0.0.1", metavar="HOST",
        help="the address to listen at; others may read the store then")  # fmt: skip
    add("--port", type=count, default=7007, metavar="N",
        help="the port to listen at; 0 takes a free one (7007)")  # fmt: skip
    add("--open", action="store_true", help="open a browser")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    with needing_extra():
        from harness.viewer.serving import serve
    serve(options.store, options.host, options.port, open_browser=options.open)
    return 0
