"""`harness index` over a service: the emulator of Vertex AI Vector Search."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from harness.cli import main
from harness.testing.vertex import VertexEmulator

pytestmark = pytest.mark.skipif(
    not find_spec("google.cloud.aiplatform_v1"), reason="needs samescore[vertex]"
)


def test_the_same_commands_over_a_service(
    vertex_emulator: Callable[..., VertexEmulator],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reference = f"vertex:address={vertex_emulator().address},index=faq,encoder=none"
    file = tmp_path / "points.jsonl"
    rows = [
        {"id": "a", "embedding": [1, 0], "restricts": {"colour": ["red"]}, "crowding_tag": "x"},
        {"id": "b", "embedding": [0, 1], "numeric_restricts": {"price": 2.5}, "text": "the other"},
    ]
    file.write_text("\n".join(map(json.dumps, rows)))
    assert main(["index", "load", reference, str(file), "--create"]) == 0
    assert main(["index", "load", reference, str(file)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert (first, second) == (
        "2 datapoints written",
        "0 datapoints written, 2 were there already",
    )

    def found(*arguments: str) -> list[str]:
        assert main(["index", "query", reference, "--id", "a", "--json", *arguments]) == 0
        return [match["id"] for match in json.loads(capsys.readouterr().out)["matches"]]

    assert found() == ["a", "b"]
    assert found("--filter", "colour=red") == ["a"]
    assert found("--where", "price>2.0") == ["b"]
    assert main(["index", "remove", reference, "a"]) == 0
    assert main(["index", "list", reference]) == 0
    assert capsys.readouterr().out.splitlines() == ["removed 1", "faq"]
    rows[1]["embedding"] = [1, 2, 3]
    file.write_text("\n".join(map(json.dumps, rows)))
    assert main(["index", "load", reference, str(file)]) == 2
    said = capsys.readouterr().err
    assert f"{file}, row 2 (line 2)" in said
    assert "3" in said
    assert main(["index", "delete", reference, "--yes"]) == 0
    assert main(["index", "describe", reference]) == 2
    assert "there is no index 'faq'" in capsys.readouterr().err
