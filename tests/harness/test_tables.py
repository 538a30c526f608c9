"""Tables: every format there and back, and every broken file named with its place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.data.plain import plain
from harness.data.tables import read_table, write_table
from harness.errors import DataError

NESTED: list[dict[str, object]] = [
    {"q": "what?", "refs": ["a", "é"], "meta": {"k": [1, None]}, "x": 1, "ok": True},
    {"q": 'two\r\nlines, "quoted"', "refs": [], "meta": {}, "x": 2.5, "ok": None},
]
COLUMNS = ["q", "refs", "meta", "x", "ok"]


def values(path: Path | str) -> list[dict[str, object]]:
    return [row.values for row in read_table(path)]


def saved(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_json_keeps_every_value(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"

    assert write_table(path, iter(NESTED), COLUMNS) == 2
    assert values(path) == NESTED


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_cells_hold_nested_values_as_json_and_none_as_nothing(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"

    write_table(path, NESTED, COLUMNS)

    first, second = values(path)
    assert second["q"] == NESTED[1]["q"]
    assert json.loads(str(first["refs"])) == NESTED[0]["refs"]
    assert json.loads(str(first["meta"])) == NESTED[0]["meta"]
    assert (first["x"], second["x"]) == ("1", "2.5")
    assert (first["ok"], second["ok"]) == ("true", None)


def test_parquet_keeps_types_and_lists_and_holds_mappings_as_json(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"

    write_table(path, NESTED, COLUMNS)

    expected = [{**row, "meta": json.dumps(row["meta"])} for row in NESTED]
    assert values(path) == expected
    assert pd.read_parquet(path)["x"].tolist() == [1.0, 2.5]


def test_parquet_columns_take_their_type_from_all_rows(tmp_path: Path) -> None:
    """Rows are written in chunks of 10,000; the first chunk alone would call `late` null."""
    path = tmp_path / "t.parquet"

    def rows() -> Iterator[dict[str, object]]:
        for i in range(25_000):
            old = i < 12_000
            yield {
                "late": None if old else "x",
                "n": i if old else i / 2,
                "refs": [] if old else ["r"],
            }

    write_table(path, rows(), ["late", "n", "refs"])

    assert values(path) == list(rows())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {"a": st.text(st.characters(codec="utf-8")), "b": st.text('\r\n\t," ')}
        ),
        min_size=1,
    )
)
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".json", ".jsonl", ".parquet"])
def test_any_text_survives_the_round_trip(
    tmp_path: Path, suffix: str, rows: list[dict[str, str]]
) -> None:
    path = tmp_path / f"t{suffix}"
    separated = suffix in (".csv", ".tsv")

    write_table(path, rows, ["a", "b"])

    expected = [{k: v or None if separated else v for k, v in row.items()} for row in rows]
    assert values(path) == expected


def test_a_bom_blank_lines_and_long_fields_are_no_trouble(tmp_path: Path) -> None:
    long = "x" * 300_000  # the csv module's own limit is 131,072
    path = saved(tmp_path / "t.csv", f'\ufeffq,a\r\n\r\nhi,"{long}"\r\n')

    assert values(path) == [{"q": "hi", "a": long}]


def test_rows_know_their_number_and_the_line_they_begin_on(tmp_path: Path) -> None:
    table = saved(tmp_path / "t.csv", 'q,a\n"two\nlines",1\n\nlast,2\n')
    lines = saved(tmp_path / "t.jsonl", '{"q": 1}\n\n{"q": 2}\n')

    assert [(r.number, r.line) for r in read_table(table)] == [(1, 2), (2, 5)]
    assert [(r.number, r.line) for r in read_table(lines)] == [(1, 1), (2, 3)]
    assert list(read_table(lines))[1].where == f"{lines}, row 2 (line 3)"


def test_json_may_wrap_its_rows_in_data_and_nan_is_none(tmp_path: Path) -> None:
    path = saved(tmp_path / "t.json", '{"version": 1, "data": [{"q": "x", "n": NaN}]}')

    assert values(path) == [{"q": "x", "n": None}]


BROKEN = [
    ("t.csv", "", ["is empty"]),
    ("t.csv", "q,a\n", ["header but no rows"]),
    ("t.csv", "q,a\n1,2\n1\n", ["row 2 (line 3)", "2 fields", "this row 1"]),
    ("t.csv", "q,a\n1,2,3\n", ["row 1 (line 2)", "this row 3", "quote"]),
    ("t.csv", 'q,a\n1,2\n"open,3\n4,5\n', ["line 3", "never closes"]),
    ("t.csv", 'q,a\n"shut"x,3\n', ["line 2", "doubled"]),
    ("t.csv", "q,q\n1,2\n", ["two columns are called 'q'"]),
    ("t.json", "", ["is empty"]),
    ("t.json", "[]", ["no rows"]),
    ("t.json", '{"q": 1}', ["no list of objects"]),
    ("t.json", '[{"q": 1},\n {"q": }]', ["line 2, column 8"]),
    ("t.json", '{"q": 1}\n{"q": 2}\n', [".jsonl"]),
    ("t.json", "[{}, 5]", ["row 2", "'5' is no object"]),
    ("t.jsonl", "\n\n", ["no rows"]),
    ("t.jsonl", '{"q": 1}\n\n{"q": }\n', ["row 2 (line 3), column 7"]),
    ("t.jsonl", '[\n{"q": 1}\n]', ["row 1 (line 1)", ".json"]),
    ("t.jsonl", '{"q": ' + "[" * 100_000, ["row 1 (line 1)", "recursion"]),
    ("t.parquet", "not parquet", ["cannot be read as Parquet"]),
    ("t.xlsx", "PK", [".xlsx", ".csv", ".parquet"]),
    ("table", "q,a\n", [".csv", ".parquet"]),
]


@pytest.mark.parametrize(("name", "text", "expected"), BROKEN)
def test_a_broken_file_is_named_with_place_and_remedy(
    tmp_path: Path, name: str, text: str, expected: list[str]
) -> None:
    path = saved(tmp_path / name, text)

    with pytest.raises(DataError) as caught:
        list(read_table(path))

    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in [str(path), *expected]), message


@pytest.mark.parametrize(
    ("name", "line"), [("t.csv", "é,ok\n"), ("t.json", "é,ok\n"), ("t.jsonl", '{"é": "ok"}\n')]
)
def test_bytes_that_are_not_utf8_are_found_with_line_and_offset(
    tmp_path: Path, name: str, line: str
) -> None:
    path = tmp_path / name
    start = (line * 50_000).encode()  # far beyond one block of the decoder
    path.write_bytes(start + "ab\xe9".encode("latin-1"))

    with pytest.raises(DataError) as caught:
        list(read_table(path))

    assert f"line 50001: byte {len(start) + 2} is not UTF-8" in str(caught.value)
    assert "iconv -f WINDOWS-1252" in str(caught.value)


def test_utf16_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("q,a\nx,y\n".encode("utf-16"))

    with pytest.raises(DataError, match="iconv -f UTF-16"):
        read_table(path)


def test_a_missing_file_a_near_name_and_a_folder(tmp_path: Path) -> None:
    saved(tmp_path / "faq.csv", "q\n1\n")

    with pytest.raises(DataError, match=r"no file .*faq\.cvs; did you mean .*faq\.csv"):
        read_table(tmp_path / "faq.cvs")
    with pytest.raises(DataError, match=r"is a folder; .*hf:"):
        read_table(tmp_path)


@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl", ".parquet"])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"t{suffix}", "old")

    def rows() -> Iterator[dict[str, object]]:
        for i in range(30_000):
            yield {"a": i}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_table(path, rows(), ["a"])

    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_writing_follows_a_link_and_the_umask(tmp_path: Path) -> None:
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    link.symlink_to(target)
    umask = os.umask(0o022)
    try:
        write_table(link, [{"a": 1}], ["a"])
    finally:
        os.umask(umask)

    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o644
    assert values(target) == [{"a": "1"}]


UNWRITABLE: list[tuple[str, list[dict[str, object]], str]] = [
    ("t.xlsx", [{"a": 1}], r"cannot write \.xlsx; use \.csv, .*\.parquet"),
    ("missing/t.csv", [{"a": 1}], "the folder .*missing does not exist"),
    ("t.jsonl", [{"a": 1}, {"a": b"x"}], "row 2: column 'a': bytes is no JSON value"),
    ("t.parquet", [{"a": 1}, {"a": "x"}], r"column 'a' .*\.jsonl"),
    ("t.parquet", [{"a": 2**70}], r"column 'a' .*\.jsonl"),
]


@pytest.mark.parametrize(("name", "rows", "message"), UNWRITABLE)
def test_what_cannot_be_written_is_said(
    tmp_path: Path, name: str, rows: list[dict[str, object]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        write_table(tmp_path / name, rows, ["a"])

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_rows_without_columns_are_no_table(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(DataError, match="there is no column to write"):
        write_table(tmp_path / f"t{suffix}", [{}], [])
    assert list(tmp_path.iterdir()) == []
    assert write_table(tmp_path / "t.jsonl", [{}], []) == 1


def test_parquet_chunks_of_two_types_are_refused(tmp_path: Path) -> None:
    rows = ({"a": i if i < 10_000 else "x"} for i in range(10_001))

    with pytest.raises(DataError, match=r"one type a column .*\.jsonl"):
        write_table(tmp_path / "t.parquet", rows, ["a"])


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_half_a_surrogate_pair_does_not_lose_the_table(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"

    write_table(path, [{"a": "x\ud800"}], ["a"])

    escaped = "x\ud800" if suffix == ".jsonl" else "x\\ud800"
    assert values(path) == [{"a": escaped}]


def test_nor_does_one_in_a_mapping_or_a_column_of_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    half = {"k": "é\ud800"}

    write_table(path, [{"a\ud800": half, "b": [half]}], ["a\ud800", "b"])

    text = '{"k": "é\\ud800"}'
    assert values(path) == [{"a\\ud800": text, "b": [text]}]


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_a_column_that_begins_as_a_file_may_keeps_its_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"

    write_table(path, [{"\ufeffid": "a", "id": "b"}], ["\ufeffid", "id"])

    assert values(path) == [{"\ufeffid": "a", "id": "b"}]


def test_plain_values() -> None:
    given = {
        "numpy": [np.float32(0.5), np.int64(3), np.bool_(True), np.array([1, 2])],
        "nothing": (float("nan"), float("inf"), pd.NA, pd.NaT, None),
        "dates": (date(2026, 1, 2), pd.Timestamp("2026-01-02")),
        "decimals": [Decimal("3.00"), Decimal("0.5")],
    }

    assert plain(given) == {
        "numpy": [0.5, 3, True, [1, 2]],
        "nothing": [None] * 5,
        "dates": ["2026-01-02", "2026-01-02T00:00:00"],
        "decimals": [3, 0.5],
    }


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()
    return tmp_path


def test_a_folder_of_files_is_a_data_set(hub_cache: Path) -> None:
    folder = hub_cache / "faq"
    folder.mkdir()
    write_table(
        folder / "train.jsonl", [{"q": "one", "a": ["x"]}, {"q": "two", "a": []}], ["q", "a"]
    )

    assert values(f"hf:{folder}") == [{"q": "one", "a": ["x"]}, {"q": "two", "a": []}]
    assert values(f"hf:{folder}:train[1:]") == [{"q": "two", "a": []}]
    assert values(f"hf:{folder}:default:train")[0]["q"] == "one"
    with pytest.raises(DataError, match=r"nosuch.*train"):
        read_table(f"hf:{folder}:nosuch")


def test_the_default_split_is_test_or_the_only_one(hub_cache: Path) -> None:
    import datasets

    one, two = (datasets.Dataset.from_list([{"q": q}]) for q in ("one", "two"))
    datasets.DatasetDict(train=one, test=two).save_to_disk(hub_cache / "with_test")
    datasets.DatasetDict(train=one, dev=two).save_to_disk(hub_cache / "without")
    one.save_to_disk(hub_cache / "bare")

    assert values(f"hf:{hub_cache}/with_test") == [{"q": "two"}]
    assert values(f"hf:{hub_cache}/bare") == [{"q": "one"}]
    with pytest.raises(DataError, match=r"name a split, .* train, dev"):
        read_table(f"hf:{hub_cache}/without")
    with pytest.raises(DataError, match="no split 'tset'; there are train, test"):
        read_table(f"hf:{hub_cache}/with_test:tset")


def test_a_hub_out_of_reach_is_said_after_one_try(tmp_path: Path) -> None:
    """In a process of its own, as the hub's address is read at import; port 9 discards."""
    code = """
        from harness.errors import DataError
        from harness.data.tables import read_table
        try:
            read_table("hf:squad")
        except DataError as error:
            print(error)
    """
    unreachable = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **unreachable, "HF_HUB_OFFLINE": "0"},
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )

    assert done.stdout.startswith("hf:squad: no folder squad, and the hub cannot be reached")
    assert done.stdout.count("\n") == 1
    assert "Retrying" not in done.stderr


@pytest.mark.parametrize("name", ["hf:", "hf:a:b:c:d"])
def test_a_malformed_hub_name_shows_the_form(name: str) -> None:
    with pytest.raises(DataError, match="write hf:NAME, hf:NAME:SPLIT or hf:NAME:CONFIG:SPLIT"):
        read_table(name)
