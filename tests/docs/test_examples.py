"""Every Python file and command that the tutorials show is run as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
FILE = re.compile(r"^`(?P<name>[\w./]+)`:\n\n```\w+\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
SHELL = re.compile(r"^```console\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)


PAGES = [
    "tutorial.md",
    "how-to/write-a-plugin.md",
    "how-to/use-evaluate-metrics.md",
    "how-to/train-with-ppo.md",
    "how-to/use-trl.md",
    "how-to/calibrate-a-judge.md",
    "how-to/compare-runs.md",
    "how-to/look-at-runs.md",
    "how-to/migrate-from-llm-evaluation.md",
    "how-to/judge-with-llms.md",
    "how-to/judge-locally.md",
    "how-to/write-a-rubric.md",
    "how-to/vertex-emulator.md",
    "how-to/retrieval.md",
    "how-to/vertex-vector-search.md",
]
INSTALL = "python -m pip install -q --no-deps --no-build-isolation --target site"


def commands(page: str) -> list[str]:
    """The lines after `$ ` of a page's console blocks, installing into a folder of the test's."""
    lines = [line for block in SHELL.finditer(page) for line in block["text"].splitlines()]
    shown = [line[2:] for line in lines if line.startswith("$ ")]
    ours = [re.sub(r"^pip install(?= \.)", INSTALL, command) for command in shown]
    return [c for c in ours if not c.startswith(("pip install -c", "python3 -m venv"))]


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_shows_works(name: str, tmp_path: Path, minilm: str, smollm2: str) -> None:
    """The files it shows are written, then its commands are run, in order."""
    page = (PROJECT / "docs" / name).read_text("utf-8")
    for file in FILE.finditer(page):
        path = tmp_path / file["name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file["text"], "utf-8")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment["PYTHONPATH"] = str(tmp_path / "site")
    del environment["SAMESCORE_STORE"]
    shown = commands(page)
    assert shown
    for command in shown:
        done = subprocess.run(
            command,
            shell=True,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
