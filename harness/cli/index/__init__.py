"""`harness index`: make, fill and search an index of vectors, wherever it is."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.cli._types import Commands

_MODULES = ("whole", "loading", "writing", "query")


def add_parser(commands: Commands) -> None:
    """Declare the command and its sub-commands."""
    parser = commands.add_parser(
        "index",
        help="make, fill and search an index of vectors",
        description="Make, fill and search an index of vectors: in a folder (local:path=DIR), or "
        "of any other retriever that can be written to. See: harness plugins",
    )
    subcommands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name in _MODULES:
        importlib.import_module(f"harness.cli.index.{name}").add_parsers(subcommands)
