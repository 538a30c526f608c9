"""`harness new-plugin`: a tested plugin package to begin from."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.cli._types import Commands


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "new-plugin",
        help="write a plugin package to begin from",
        description="Write a plugin package that can be installed: a component with settings, its "
        "entry point and its tests. The component is called what follows the first dash of NAME.",
    )
    parser.add_argument("name", metavar="NAME", help="of the distribution, such as acme-rouge")
    parser.add_argument(
        "--role",
        choices=("rewarder", "judge", "generator", "retriever", "trainer"),
        default="rewarder",
        help="what the component is; rewarder",
    )
    parser.add_argument(
        "--output", default=".", metavar="DIR", help="where its folder goes; the current folder"
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Write the package, and say what to do with it."""
    import shlex

    from harness.scaffold import write_plugin

    folder, names = write_plugin(options.name, options.role, options.output)
    shown = shlex.quote(str(folder if folder.is_absolute() else f"./{folder}"))
    print(f"wrote {folder}: the {options.role} {names.component!r}, in {names.module}. Next:")
    print(f"  pip install -e {shown}")
    print(f"  harness plugins {names.component}")
    print(f"  pytest {shown}")
    return 0
