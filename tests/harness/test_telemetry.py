"""What libraries send of themselves is off, by every door; and the core opens no connection."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import scorer
from harness.loader import default_plugins

VARIABLES = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
# In the one place where Python looks before it runs anything: whoever wants out is stopped.
NO_WAY_OUT = """
import sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        raise RuntimeError(f"{event}{arguments}")

sys.addaudithook(refuse)
"""


def test_it_is_off_before_a_component_imports_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    default_plugins().forget()
    scorer("match")
    assert {name: os.environ.get(name) for name in VARIABLES} == VARIABLES


def test_what_the_user_says_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "0")
    default_plugins().forget()
    scorer("match")
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "0"


def test_the_libraries_understand_it() -> None:
    """Their names for it may change, and then it would be on without a word."""
    pytest.importorskip("datasets")
    pytest.importorskip("evaluate")
    code = """
        from harness import telemetry
        telemetry.switch_off()
        import datasets.config, evaluate.config, huggingface_hub.constants
        print(huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY)
        print(datasets.config.HF_UPDATE_DOWNLOAD_COUNTS, evaluate.config.HF_UPDATE_DOWNLOAD_COUNTS)
    """
    clean = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(map(str.strip, code.splitlines()))],
        env=clean,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True\nFalse False\n"


def test_scoring_and_looking_reach_for_no_network(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_WAY_OUT)
    (tmp_path / "answers.csv").write_text("answer,truth\nyes,yes\nno,yes\n")
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "SAMESCORE_STORE": str(tmp_path / "s.db")}
    scoring = "score answers.csv --completion answer --reference truth --scorer match"

    def harness(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "harness", *arguments],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "0.5000" in harness(*scoring.split())
    for command in ("runs", "plugins", "doctor", "models list"):
        assert harness(*command.split())
    code = "import socket; socket.create_connection(('127.0.0.1', 9))"
    caught = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=False)
    assert b"RuntimeError: socket." in caught.stderr, "the guard of this test does not hold"
