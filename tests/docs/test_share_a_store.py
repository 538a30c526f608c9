"""The commands of the page on shared stores, with a server of the test's own."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from harness.cli import main
from harness.store import Store
from harness.testing.postgresql import PostgresServer

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "share-a-store.md"


def test_what_the_page_shows_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres: PostgresServer
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SAMESCORE_STORE")
    url, page = postgres.new_database(), PAGE.read_text("utf-8")
    rows = re.search(r"^```csv\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert rows
    Path("answers.csv").write_text(rows[1], "utf-8")
    commands = [line[2:] for line in page.splitlines() if line.startswith("$ harness ")]
    for command in commands:
        shown = command.replace("postgresql://me@db.example.org/samescore", url)
        assert main(shlex.split(shown)[1:]) == 0, command
    assert len(commands) == 8
    with Store(url, readonly=True) as shared, Store("mine.db", readonly=True) as mine:
        assert len(shared.runs()) == 2
        assert mine.runs() == [shared.run("last")]
