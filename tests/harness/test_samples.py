"""Samples from tables: the mapping of columns, and what each kind of cell becomes."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from harness.components import Sample
from harness.data.samples import load_samples
from harness.errors import DataError


@pytest.fixture
def faq(tmp_path: Path) -> Path:
    path = tmp_path / "faq.csv"
    path.write_text(
        'key,question,answer,other,topic\na,Who?,Ann,,x\nb,"What,\nnow?",,,\nc,7,one,two,y\n'
    )
    return path


def jsonl(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_columns_become_samples(faq: Path) -> None:
    samples = load_samples(
        faq, prompt="question", references=["answer", "other"], id="key", metadata=["topic"]
    )

    assert samples == [
        Sample("a", "Who?", ("Ann",), {"topic": "x"}),
        Sample("b", "What,\nnow?", (), {"topic": ""}),
        Sample("c", "7", ("one", "two"), {"topic": "y"}),
    ]


def test_without_an_id_column_rows_are_counted_from_one(faq: Path) -> None:
    samples = load_samples(faq, prompt="question")

    assert [sample.id for sample in samples] == ["1", "2", "3"]
    assert all(not s.references and not s.metadata for s in samples)


def test_rest_keeps_all_columns_that_are_not_named(faq: Path) -> None:
    first = load_samples(faq, prompt="question", references="answer", metadata="rest")[0]

    assert first.metadata == {"key": "a", "other": "", "topic": "x"}


def test_a_reference_cell_is_one_several_or_none(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "t.jsonl",
        {"q": "x", "a": ["one", None, "two"]},
        {"q": "x", "a": ""},
        {"q": "x", "a": None},
        {"q": "x"},
    )

    samples = load_samples(path, prompt="q", references="a")

    assert [s.references for s in samples] == [("one", "two"), ("",), (), ()]


def test_what_is_no_text_becomes_text(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "t.jsonl", *({"q": q, "a": a} for q, a in [(7, 7.0), (True, 0.5)]))

    assert [(s.prompt, s.references) for s in load_samples(path, prompt="q", references="a")] == [
        ("7", ("7",)),
        ("true", ("0.5",)),
    ]


def test_what_pandas_writes_is_read_as_it_was_meant(tmp_path: Path) -> None:
    """Pandas turns the integers of a column with gaps into floats, and gaps into NaN."""
    frame = pd.DataFrame(
        {
            "q": ["x", "y"],
            "a": [4, None],
            "n": [1.5, None],
            "when": pd.to_datetime(["2026-01-02"] * 2),
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")

    samples = load_samples(
        tmp_path / "t.parquet", prompt="q", references="a", metadata=["n", "when"]
    )

    assert [s.references for s in samples] == [("4",), ()]
    assert [s.metadata["n"] for s in samples] == [1.5, None]
    assert samples[0].metadata["when"] == "2026-01-02T00:00:00"


WRONG = [
    ({"prompt": "qestion"}, ["row 1 (line 2)", "'qestion'; did you mean 'question'?", "answer"]),
    ({"references": "answr"}, ["'answr'; did you mean 'answer'?", "key, question"]),
    ({"metadata": ["topics"]}, ["'topics'; did you mean 'topic'?"]),
    ({"id": "topic"}, ["row 2 (line 3)", "'topic' is empty"]),
    ({"prompt": "answer"}, ["row 2 (line 3)", "'answer' is empty"]),
]


@pytest.mark.parametrize(("wrong", "expected"), WRONG)
def test_a_wrong_mapping_is_named(
    faq: Path, wrong: dict[str, str | list[str]], expected: list[str]
) -> None:
    mapping: dict[str, str | list[str]] = {"prompt": "question", "references": "answer", **wrong}

    with pytest.raises(DataError) as caught:
        load_samples(faq, **mapping)  # type: ignore[arg-type]

    assert all(part in str(caught.value) for part in [str(faq), *expected]), caught.value


def test_an_id_that_occurs_twice_names_both_rows(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "t.jsonl", *({"q": "x", "id": i} for i in (1, 2, "1")))

    with pytest.raises(DataError, match=r"row 3 \(line 3\): the id '1' is that of row 1"):
        load_samples(path, prompt="q", id="id")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"q": None}, r"row 2 \(line 2\): column 'q' is empty"),
        ({"r": "x"}, r"row 2 \(line 2\): there is no column 'q'"),
        ({"q": [{"role": "user"}]}, "column 'q' holds a list"),
        ({"q": "x", "a": {"text": "y"}}, "column 'a' holds an object"),
        ({"q": "x\ud800"}, "column 'q' has half a surrogate pair at character 1"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, row: object, message: str) -> None:
    path = jsonl(tmp_path / "t.jsonl", {"q": "x", "a": "y"}, row)

    with pytest.raises(DataError, match=message):
        load_samples(path, prompt="q", references="a")


def test_bytes_are_no_metadata(tmp_path: Path) -> None:
    pd.DataFrame({"q": ["x"], "image": [b"\x89PNG"]}).to_parquet(tmp_path / "t.parquet")

    with pytest.raises(DataError, match="row 1: column 'image': bytes is no JSON value"):
        load_samples(tmp_path / "t.parquet", prompt="q", metadata="rest")
