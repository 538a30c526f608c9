"""`harness data`: tables and conversations, made ready. One module a sub-command, each light."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.cli._types import Commands

_COMMANDS = ("sample", "convert", "rephrase")


def add_parser(commands: Commands) -> None:
    """Declare the command and its sub-commands."""
    parser = commands.add_parser(
        "data",
        help="sample and convert tables and conversations",
        description="Make data ready: tables as CSV, TSV, JSON, JSON Lines or Parquet, and "
        "conversations as chat APIs take them.",
    )
    subcommands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name in _COMMANDS:
        importlib.import_module(f"harness.cli.data.{name}").add_parser(subcommands)
