"""The command `harness`: one module a command, each light until it runs."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import sys
import traceback
from argparse import SUPPRESS

from harness import telemetry
from harness.cli._telling import results_alone
from harness.errors import HarnessError

_COMMANDS = (
    *("run", "train", "score", "calibrate", "compare", "runs", "show", "export", "data", "index"),
    *(
        "view",
        "report",
        "store",
        "gc",
        "plugins",
        "new_plugin",
        "models",
        "doctor",
        "vertex_emulator",
    ),
)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="harness", description="One scorer for training and evaluation.", allow_abbrev=False
    )
    top.add_argument("--version", action=_ShowVersion, nargs=0, help="print the version")
    top.add_argument(
        "--no-plugin", action="append", default=[], metavar="NAME", help="leave a plugin out"
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in _COMMANDS:
        importlib.import_module(f"harness.cli.{name}").add_parser(commands)
    for command in commands.choices.values():
        command.add_argument(
            "--no-plugin", dest="no_plugin_either", action="append", default=[], help=SUPPRESS
        )
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run a command; what it returns is the exit code, 2 for what the user can mend."""
    given = sys.argv[1:] if arguments is None else arguments
    options, rest = parser().parse_known_args(given)
    if rest and not getattr(options, "passes_on", False):
        parser().error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    blocked = [*options.no_plugin, *options.no_plugin_either]
    blocked += filter(None, [os.environ.get("HARNESS_NO_PLUGIN")])
    if blocked:
        os.environ["HARNESS_NO_PLUGIN"] = ",".join(blocked)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may lack a character
    # Read by torch when it is loaded: threads that spin slow a busy machine down many times over.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    telemetry.switch_off()
    try:
        with results_alone() if _wants_json(options) else contextlib.nullcontext():
            return int(options.command(options))
    except HarnessError as error:
        if os.environ.get("HARNESS_TRACE"):
            traceback.print_exc()
        from harness.data.plain import in_one_line

        print(f"harness: error: {in_one_line(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "harness: interrupted; what was recorded stays, and the same command goes on from it",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _wants_json(options: argparse.Namespace) -> bool:
    """Whether a command's output is JSON; `harness run` sees to that where it becomes pytest."""
    return bool(getattr(options, "json", False)) and not getattr(options, "passes_on", False)


class _ShowVersion(argparse.Action):
    """Prints the version, which is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"samescore {version('samescore')}")
        parser.exit()
