"""How fast the command starts, and what samescore costs a test run that does not use it.

python benchmarks/performance/start.py
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 11


def timed(command: list[str], folder: Path) -> float:
    """Wall milliseconds of a command."""
    start = time.perf_counter()
    # Without autoload, pytest loads no plugin but the one named: others' noise stays out.
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    subprocess.run(command, cwd=folder, env=alone, capture_output=True, check=True)
    return (time.perf_counter() - start) * 1000


def main() -> None:
    """Run the commands in turn, and print medians and minima."""
    python = sys.executable
    bare = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    commands = {
        "python -c pass": [python, "-c", "pass"],
        "harness --help (budget 150)": [python, "-m", "harness", "--help"],
        "harness plugins (budget 300)": [python, "-m", "harness", "plugins"],
        "pytest, without samescore": bare,
        "pytest, with samescore": [*bare, "-p", "harness.pytest_plugin"],
    }
    found: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_nothing.py").write_text("def test_nothing():\n    pass\n")
        for _ in range(RUNS):
            for name, command in commands.items():
                found[name].append(timed(command, Path(folder)))
    print(f"{'command':<30} {'median ms':>10} {'min ms':>8}")
    for name, times in found.items():
        print(f"{name:<30} {statistics.median(times):>10.0f} {min(times):>8.0f}")
    pairs = zip(found["pytest, with samescore"], found["pytest, without samescore"], strict=True)
    print(f"added to an unrelated pytest run: {statistics.median(a - b for a, b in pairs):.0f} ms")


if __name__ == "__main__":
    main()
