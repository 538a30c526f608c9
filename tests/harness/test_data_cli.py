"""`harness data`, as a process: files in and out, and one line for what cannot be used."""

from __future__ import annotations

import functools
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.data.tables import read_table

if TYPE_CHECKING:
    from tests.harness.conftest import Launcher

Harness = Callable[..., subprocess.CompletedProcess[str]]
CHAT = (
    '{"messages": [{"role": "system", "content": "Be brief."}, '
    '{"role": "user", "content": "Peru?"}, {"role": "assistant", "content": "Lima"}]}\n\n'
    '{"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}\n'
)


@pytest.fixture
def harness(here: Path, launcher: Launcher) -> Harness:
    """`harness data` with these arguments, in a folder that has a table and a chat file."""
    (here / "many.csv").write_text("q,a\n" + "".join(f"q{i},{i}\n" for i in range(1, 41)))
    (here / "chat.jsonl").write_bytes(b"\xef\xbb\xbf" + CHAT.encode())
    return functools.partial(launcher.run, here, "harness", "data")


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def values(path: str) -> list[dict[str, object]]:
    return [row.values for row in read_table(path)]


def test_the_same_rows_are_drawn_whatever_the_file(harness: Harness) -> None:
    for suffix in ("csv", "json", "jsonl", "parquet"):
        succeeded(harness("convert", "many.csv", "-o", f"in.{suffix}"))
        sample = ("sample", f"in.{suffix}", "-n", "7", "--seed", "3", "-o", f"out.{suffix}")
        assert "wrote 7 rows of 40 (seed 3) to" in succeeded(harness(*sample))
    drawn = values("out.csv")
    assert values("out.json") == values("out.jsonl") == values("out.parquet") == drawn
    assert len(drawn) == 7
    every = values("many.csv")
    assert [row for row in every if row in drawn] == drawn
    succeeded(harness("sample", "many.csv", "-n", "7", "--seed", "3", "-o", "s.csv", "--shuffle"))
    assert values("s.csv") != drawn
    assert sorted(map(str, values("s.csv"))) == sorted(map(str, drawn))


def test_fewer_rows_than_asked_for_are_all_and_it_is_said(harness: Harness) -> None:
    out = succeeded(harness("sample", "many.csv", "-n", "100", "-o", "s_{n}_{time}.csv"))
    (file,) = Path().glob("s_*.csv")
    assert re.fullmatch(r"s_40_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d\.csv", file.name)
    assert out == f"wrote all 40 rows of many.csv (100 were asked for) to {file}\n"
    assert file.read_text() == Path("many.csv").read_text()


def test_conversations_become_columns_in_a_table_and_stay_in_json_lines(harness: Harness) -> None:
    chat = [json.loads(line) for line in CHAT.split("\n") if line]
    succeeded(harness("sample", "chat.jsonl", "-n", "2", "-o", "s.jsonl"))
    assert values("s.jsonl") == chat
    out = succeeded(harness("sample", "chat.jsonl", "-n", "2", "-o", "s.csv"))
    assert "wrote 2 conversations of 2 (seed 0) to s.csv\n1 of them is more than" in out
    assert [(row["system_prompt"], row["prompt"]) for row in values("s.csv")] == [
        ("Be brief.", "Peru?"),
        (None, "b"),
    ]
    assert "wrote 2 conv" in succeeded(harness("convert", "s.csv", "-o", "back.jsonl"))
    assert values("back.jsonl") == chat


def test_nothing_is_overwritten_unless_forced(harness: Harness) -> None:
    before = Path("many.csv").read_text()
    for command in (["convert"], ["sample", "-n", "1"]):
        done = harness(*command, "many.csv", "-o", "many.csv")
        assert (done.returncode, done.stdout) == (2, "")
        assert "many.csv is there already; --force replaces it" in done.stderr
        assert Path("many.csv").read_text() == before
    succeeded(harness("sample", "many.csv", "-n", "1", "-o", "many.csv", "--force"))
    assert len(values("many.csv")) == 1
    succeeded(harness("sample", "many.csv", "-n", "1", "-o", "s{n}.csv"))
    assert "s1.csv is there" in harness("sample", "many.csv", "-n", "1", "-o", "s{n}.csv").stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["convert", "may.csv", "-o", "x.jsonl"], "there is no file may.csv; did you mean many"),
        (["convert", ".", "-o", "x.jsonl"], "is a folder"),
        (["convert", "many.csv", "-o", "x.xlsx"], "x.xlsx: cannot write .xlsx; use .csv"),
        (["convert", "many.csv", "-o", "no/x.csv"], "the folder no does not exist"),
        (["convert", "many.csv", "-o", "folder.csv", "--force"], "folder.csv cannot be written"),
        (
            ["convert", "many.csv", "-o", "x.jsonl", "--to", "chat"],
            "row 1 (line 2): it has neither",
        ),
        (["convert", "empty.jsonl", "-o", "x.csv"], "empty.jsonl has no rows"),
        (["convert", "latin.jsonl", "-o", "x.csv"], "latin.jsonl, line 2: byte 44 is not UTF-8"),
        (["convert", "mixed.jsonl", "-o", "x.csv"], "mixed.jsonl, row 2 (line 4): it has neither"),
        (
            ["sample", "mixed.jsonl", "-n", "2", "-o", "x.csv"],
            "mixed.jsonl, row 2 (line 4): it has",
        ),
        (["sample", "many.csv", "-n", "0", "-o", "x.csv"], "argument -n: invalid positive_count"),
        (["sample", "many.csv", "-o", "x.csv"], "required: -n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_used_is_one_line_and_no_file(
    harness: Harness, arguments: list[str], told: str
) -> None:
    one = '{"messages": [{"role": "user", "content": "a"}]}\n'
    Path("empty.jsonl").write_text("\n")
    Path("latin.jsonl").write_bytes(b"\n" + one.replace('"a', '"\xe9').encode("latin-1"))
    Path("mixed.jsonl").write_text(f"\n{one}\n" + '{"text": "x"}\n')
    Path("folder.csv").mkdir()
    done = harness(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not [path for path in Path().iterdir() if "x." in path.name or "tmp" in path.name]
