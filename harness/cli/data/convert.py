"""`harness data convert`: conversations as columns and back, and tables of one kind as another."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.cli._telling import print_json
from harness.cli.data._output import TABLES, add_output, print_whole, refuse_overwriting, told

if TYPE_CHECKING:
    from harness.cli._types import Commands


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "convert",
        help="chat JSON Lines to CSV and back, or any table to another kind",
        description="Write a table as another kind of table; the endings decide. Conversations, "
        '{"messages": [{"role": …, "content": …}, …]}, become the columns system_prompt (the first '
        "system message), prompt (the last of the user) and completion (the answer to that) in a "
        "CSV, TSV or Parquet file. One that is more than this, with earlier turns, tools or "
        "images, stands whole as JSON in a fourth column, messages. The other way round those "
        "columns become conversations in a JSON or JSON Lines file (with --to chat also where "
        "prompt is all there is); cells that were changed count, and an emptied one removes its "
        "message. Other keys and columns go along. In CSV lists and objects are JSON text and "
        "every value is text: it comes back as text.",
    )
    parser.add_argument("file", metavar="IN", help=f"the table: a {TABLES}")
    add_output(parser)
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Write the other file."""
    from harness.data.converting import convert

    refuse_overwriting(options.output, force=options.force)
    written = convert(options.file, options.output, options.to)
    if options.json:
        print_json({"output": options.output, **written._asdict()})
        return 0
    print(f"wrote {told(written)} to {options.output}")
    print_whole(written)
    return 0
