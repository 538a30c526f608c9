"""A report: one file that needs nothing else, below its size, and written whole or not at all."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import random
import re
from pathlib import Path
from typing import cast

import pytest

from harness import Sample
from harness.cli import main
from harness.viewer.report import MOST_BYTES
from tests.harness.viewer.conftest import ROWS, TRAINING, run

ATTACK = "</script><script>alert(1)</script>"


def rows_of(text: str) -> list[list[object]]:
    """The samples that a report holds."""
    found = re.search(r'id="data">([^<]*)<', text)
    assert found
    data = json.loads(gzip.decompress(base64.b64decode(found[1])))
    return cast("list[list[object]]", data["rows"])


def hashed(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@pytest.mark.parametrize("sides", [("{a}",), ("{a}", "{b}"), (TRAINING,), ("towns[old]", "last")])
def test_a_report_needs_no_network_and_runs_only_its_own(
    file: Path, ids: tuple[str, str], tmp_path: Path, sides: tuple[str, ...]
) -> None:
    named = [side.format(a=ids[0], b=ids[1]) for side in sides]
    out = tmp_path / "report.html"
    assert main(["report", *named, "-o", str(out), "--store", str(file)]) == 0
    text = out.read_text("utf-8")
    assert not re.search(r"<(link|script|img|iframe)[^>]+(src|href)=", text)
    policy = text[text.index("Content-Security-Policy") : text.index('name="viewport"')]
    assert "default-src &#39;none&#39;" in policy
    assert "unsafe" not in policy
    assert "http" not in policy.partition("content=")[2]
    [style] = re.findall(r"<style[^>]*>(.*?)</style>", text, re.DOTALL)
    [script] = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert hashed(style) in policy
    assert hashed(script) in policy
    plotly = gzip.decompress(base64.b64decode(re.findall(r'id="plotly">([^<]*)<', text)[0]))
    assert hashed(plotly.decode()) in policy
    assert rows_of(text)


def test_it_holds_every_row(file: Path, ids: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    main(["report", ids[0], "-o", str(out), "--store", str(file)])
    rows = rows_of(out.read_text("utf-8"))
    assert [row[0] for row in rows] == [f"q{i}" for i in range(ROWS)]
    words = [0.125, "because of q5", {"half": 0.0625}, [[0, 3, 0.5], [3, 7, -0.25]]]
    assert rows[5][3] == [["it is 5", None, [[1.0], words]]]
    main(["report", ids[0], "-o", str(out), "--store", str(file), "--samples", "7"])
    assert len(rows_of(out.read_text("utf-8"))) == 7
    assert f"7 of {ROWS}" in out.read_text("utf-8")


def test_ten_thousand_long_samples_stay_below_ten_megabytes(tmp_path: Path) -> None:
    draw = random.Random(1)
    texts = [draw.randbytes(700).hex() for _ in range(10_000)]  # as good as incompressible
    file, out = tmp_path / "many.db", tmp_path / "report.html"
    rows = [
        Sample(f"q{i}", f"Question {i}", (text[:99],), {"answer": text})
        for i, text in enumerate(texts)
    ]
    run(file, "many", rows)
    assert main(["report", "last", "-o", str(out), "--store", str(file)]) == 0
    assert out.stat().st_size <= MOST_BYTES
    text = out.read_text("utf-8")
    assert len(rows_of(text)) == 10_000
    assert "Texts are cut after" in text


def test_what_a_store_holds_cannot_leave_its_place(tmp_path: Path) -> None:
    file, out = tmp_path / "xss.db", tmp_path / "report.html"
    rows = [Sample(f"q{i}{ATTACK}", ATTACK, (ATTACK,), {"answer": ATTACK}) for i in range(3)]
    run(file, f"x::{ATTACK}", [Sample(f"q{i}", r.prompt, r.references, r.metadata)
                               for i, r in enumerate(rows)])  # fmt: skip
    assert main(["report", "last", "-o", str(out), "--store", str(file)]) == 0
    text = out.read_text("utf-8")
    assert "alert(1)" not in re.sub(r"&lt;script&gt;alert\(1\)&lt;/script&gt;", "", text)
    assert text.count("<script") == text.count("</script>")


def test_bad_input_is_named_and_nothing_is_written(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.html"
    assert main(["report", "nothing", "-o", str(out), "--store", str(file)]) == 2
    assert "no run 'nothing'" in capsys.readouterr().err
    missing = tmp_path / "no" / "report.html"
    assert main(["report", "last~1", "-o", str(missing), "--store", str(file)]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert list(tmp_path.glob("*.html*")) == []
