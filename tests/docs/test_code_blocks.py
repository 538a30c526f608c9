"""Every block of code on every page is run, in the order of the page, in one folder a page."""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from harness.testing.faults import FaultServer
from tests.docs.pages import PROJECT, Block, blocks, commands, pages

pytestmark = pytest.mark.slow
SHELL = ("console", "sh")
DATABASE = "postgresql://me@db.example.org/samescore"
REFERENCE = """
from __future__ import annotations
from dataclasses import field
from harness import *
"""
MODELS = ("minilm", "smollm2")


def json_lines(text: str) -> None:
    """JSON, or JSON Lines."""
    try:
        json.loads(text)
    except json.JSONDecodeError:
        [json.loads(line) for line in text.splitlines()]


def table(text: str) -> None:
    """CSV with as many cells in each row as the first has."""
    rows = list(csv.reader(io.StringIO(text)))
    assert len({len(row) for row in rows}) == 1


def shell(text: str) -> None:
    """What bash can read."""
    script = commands(text) or text
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


READS: Mapping[str, Callable[[str], object]] = {
    "console": shell,
    "csv": table,
    "json": json_lines,
    "jsonl": json_lines,
    "py": ast.parse,
    "python": ast.parse,
    "sh": shell,
    "text": str,
    "toml": tomllib.loads,
}


@pytest.fixture(scope="module")
def services() -> Iterator[dict[str, str]]:
    """Keys and addresses of services: of a server that replies as OpenAI and Anthropic do."""
    with FaultServer() as server:
        yield {
            "OPENAI_API_KEY": "any",
            "OPENAI_BASE_URL": server.openai_url,
            "ANTHROPIC_API_KEY": "any",
            "ANTHROPIC_BASE_URL": server.anthropic_url,
        }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, services: dict[str, str]) -> Path:
    """The folder that a page is followed in, which is also the one of this process."""
    page, programs = tmp_path / "page", tmp_path / "programs"
    page.mkdir()
    programs.mkdir()
    pip = programs / "pip"
    pip.write_text(f'#!/bin/sh\nexec {sys.executable} {PROJECT}/tests/docs/pip_stand_in.py "$@"\n')
    pip.chmod(0o755)
    path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    site = str(tmp_path / "site")
    ours = {"PATH": path, "PIP_TARGET": site, "PYTHONPATH": site, "OMP_NUM_THREADS": "1"}
    for name, value in {**services, **ours}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SAMESCORE_STORE")
    monkeypatch.chdir(page)
    return page


@pytest.mark.parametrize("page", pages(), ids=str)
def test_what_a_page_shows_works(page: Path, folder: Path, request: pytest.FixtureRequest) -> None:
    shown = blocks(page)
    text = "".join(block.text for block in shown)
    for model in MODELS:
        if model in text:
            request.getfixturevalue(model)
    database = request.getfixturevalue("postgres").new_database() if DATABASE in text else ""
    for block in _joined(shown) if "reference" in page.parts else shown:
        assert block.language in READS, f"{block.place}: a block has one of {', '.join(READS)}"
        READS[block.language](block.text)
        if block.file:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, "utf-8")
        elif not block.skipped and block.language in (*SHELL, "python"):
            run(block, database)


def test_what_is_not_run_says_why() -> None:
    """And each comment stands right before a block."""
    for page in pages():
        shown = blocks(page)
        text = (PROJECT / page).read_text("utf-8")
        assert text.count("\n<!-- not run") == sum(bool(block.skipped) for block in shown), page
        assert text.count("\n<!-- run instead") == sum(bool(block.instead) for block in shown), page
        for block in shown:
            if block.skipped:
                print(f"{block.place}: not run: {block.skipped}")
                assert len(block.skipped.split()) > 2, block.place


def _joined(shown: list[Block]) -> list[Block]:
    """The stubs of a page that is made from the code, as one program."""
    text = "".join(block.text for block in shown)
    return [Block(shown[0].place, "python", REFERENCE + text)] if shown else []


def run(block: Block, database: str) -> None:
    """In a process of its own; bash ends at the first command that fails."""
    command = [sys.executable, "-c", block.text]
    if block.language != "python":
        typed = commands(block.text) if block.language == "console" else block.text
        script = (block.instead or typed).replace(DATABASE, database)
        assert script, f"{block.place}: no line begins with $"
        command = ["bash", "-euxo", "pipefail", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{block.place}\n{done.stdout}{done.stderr}"
