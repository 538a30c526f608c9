"""`harness run`: benchmark suites, which are pytest tests in files `bench_*.py`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli._types import count, share
from harness.errors import HarnessError

_OPTIONS = ("store", "limit", "rows", "report_json", "max_unscored", "executor")

if TYPE_CHECKING:
    from harness.cli._types import Commands


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "run",
        help="run benchmark suites",
        description="Run benchmark suites: pytest, with bench_*.py collected. "
        "Every other argument goes to pytest: PATH, -k, -m, -x, --lf, --co, -n, --junitxml …",
        usage="harness run [options] [PATH …] [any pytest argument]",
        allow_abbrev=False,
    )
    parser.add_argument("--store", metavar="URL", help="a file or database URL to record in")
    parser.add_argument("--limit", type=count, metavar="N", help="take N samples of each suite")
    parser.add_argument(
        "--rows", action="append", metavar="GLOB", help="take only samples whose ids match"
    )
    parser.add_argument("--report-json", metavar="FILE", help="write the results to a JSON file")
    parser.add_argument(
        "--json",
        action="store_true",
        help="print the results as JSON; what pytest prints goes to standard error",
    )
    parser.add_argument(
        "--max-unscored",
        type=share,
        metavar="SHARE",
        help="fail when more than this share has no score (0.1)",
    )
    parser.add_argument(
        "--executor",
        metavar="REF",
        help="where the work is done: local, ray, ray:HOST:PORT, ray:KEY=VALUE,… (local)",
    )
    parser.set_defaults(command=run, passes_on=True)


def run(options: argparse.Namespace) -> int:
    """Hand over to pytest, in a process of its own so that it can rewrite asserts everywhere."""
    named = any(Path(argument.partition("::")[0]).exists() for argument in options.rest)
    if not named and not Path("benchmarks").is_dir():
        raise HarnessError("there is no folder benchmarks/ here; name a path: harness run PATH")
    report = Path(options.report_json).absolute() if options.report_json else None
    if report and (report.is_dir() or not report.parent.is_dir()):
        raise HarnessError(f"--report-json {options.report_json}: name a file in a folder there is")
    command = [sys.executable, "-m", "pytest", *_overrides(), *_own(options)]
    command += [*(_json_to_stdout() if options.json else []), *options.rest]
    if os.name == "posix":
        sys.stdout.flush()
        os.execv(command[0], command)  # signals and the exit code are then pytest's own
    return subprocess.run(command, check=False).returncode


def _json_to_stdout() -> list[str]:
    """Keep this process's output for the results: pytest gets standard error in its place.

    Raises:
        HarnessError: where a program cannot become another one that has its open files.
    """
    if os.name != "posix":
        raise HarnessError("--json does not work on this system; use --report-json FILE")
    sys.stdout.flush()
    kept = os.dup(1)
    os.set_inheritable(kept, True)
    os.dup2(2, 1)
    return [f"--samescore-json-to={kept}"]


def _overrides() -> list[str]:
    settings = {
        "python_files": "bench_*.py",
        "python_functions": "bench_*",
        "testpaths": "benchmarks",
    }
    overrides = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
    # Suites are folders that may hold files of the same name; by default pytest mixes them up.
    return ["--import-mode=importlib", *overrides]


def _own(options: argparse.Namespace) -> list[str]:
    """This command's options as the pytest plugin knows them."""
    given: list[str] = []
    for name in _OPTIONS:
        value = getattr(options, name)
        values = value if isinstance(value, list) else [] if value is None else [value]
        given += [f"--samescore-{name.replace('_', '-')}={v}" for v in values]
    return given
