"""Found by fuzzing: each of these broke something once, and is refused or read now"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.data.samples import load_samples
from harness.data.tables import read_table
from harness.errors import DataError, HarnessError
from harness.references import Reference, parse
from harness.retrieval.filters import where
from harness.settings import build_settings
from harness.viewer.asking import ListQuery, asked
from harness.viewer.library import AskedWrongError
from tests.trust import fuzz_files as files
from tests.trust import fuzz_judging as judging
from tests.trust import fuzz_points as points
from tests.trust import fuzz_records as records
from tests.trust import fuzz_rows as rows
from tests.trust import fuzz_texts as texts
from tests.trust.fuzzing import within_bounds
from tests.trust.trial import Trial

_HEX = b"0x" + b"f" * 5000
FOUND: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "csv-many-columns": (
        files.read_file(".csv"), ",".join(f"c{i}" for i in range(60_000)).encode() + b"\na"
    ),
    "csv-column-of-controls": (files.faq, b"\x0bid,prompt,reference\r\n,,\r\n"),
    "json-deep-metadata": (
        files.read_file(".json"), b'[{"prompt": "a", "x": ' + b"[" * 450 + b"]" * 450 + b"}]"
    ),
    "toml-huge-hexadecimal": (texts.configure, b"output = " + _HEX),
    "toml-huge-weight": (
        texts.configure, texts.RIGHT.replace(b"weight = 0.5", b"weight = " + _HEX)
    ),
    "toml-deep": (texts.configure, b"output = " + b"[" * 5000),
    "toml-dotted-deep": (texts.configure, b".".join([b"a"] * 3000) + b" = 1"),
    "toml-use-of-no-name": (texts.configure, texts.RIGHT.replace(b'"match"', b'" "')),
    "rubric-huge-number": (judging.rubric, b"reason_words = " + b"9" * 5000),
    "rubric-huge-hexadecimal": (judging.rubric, b"reason_words = " + _HEX),
    "rubric-deep": (judging.rubric, b"questions = " + b"[" * 5000),
    "card-without-training": (records.read_card, json.dumps(
        {k: v for k, v in records.CARD.items() if k != "training"}).encode()),
    "card-huge-weight": (
        records.read_card, json.dumps(records.CARD).replace("1.0", "9" * 400).encode()
    ),
    "card-fingerprint-that-is-a-list": (
        records.read_card, json.dumps(records.CARD).replace('"f"', "[]").encode()
    ),
    "card-deep": (records.read_card, b"[" * 100_000),
    "baseline-deep": (records.baseline, b"[" * 100_000),
    "baseline-infinite": (
        records.baseline,
        json.dumps(records.BASELINE).replace('"rows": 2', '"rows": 1e999').encode(),
    ),
    "baseline-half-a-pair": (
        records.baseline,
        json.dumps(records.BASELINE).replace('{"name": "m', '{"\\ud800": "m').encode(),
    ),
    "reference-bracket-in-a-key": (
        lambda data: texts.refer(data.decode()), b"match:mode=,1fx[=1,2]"
    ),
    "reference-long-quotes": (
        lambda data: texts.refer(data.decode()), b'f:e=""" *" a"aY0[)m:e="""'
    ),
    "filter-of-blanks": (lambda data: texts.filtered(data.decode()), b" " * 30_000 + b"<"),
    "store-of-nul": (lambda data: texts.connect(data.decode()), b"sqlite:///a\0b"),
    "store-password-of-two-lines": (
        lambda data: texts.connect(data.decode()), b"postgresql://me:a\nsecret@h:x/"
    ),
    "store-password-after-a-scheme": (
        lambda data: texts.connect(data.decode()), b"postgresql:[//me:secret@store.db"
    ),
    "store-password-after-a-slash": (
        lambda data: texts.connect(data.decode()), b"postgresql+psycopg:/\0/me:secret@store.db"
    ),
    "store-password-before-a-slash": (
        lambda data: texts.connect(data.decode()), b"postgres//me:secret/@h?x"
    ),
    "store-unknown-option": (lambda data: texts.connect(data.decode()), b"sqlite:///a.db?x=1"),
    "rows-half-a-pair": (
        lambda data: rows.load((".json", data)), b'{"id": "\\udc00", "embedding": []}'
    ),
    "rows-huge-number": (
        lambda data: rows.load((".json", data)),
        b'{"id": "a", "embedding": [1, ' + b"9" * 400 + b"]}",
    ),
    "rows-huge-restrict": (
        lambda data: rows.load((".json", data)),
        b'{"id": "a", "embedding": [1, 2], "numeric_restricts": [{"namespace": "n", '
        b'"value_float": ' + b"9" * 400 + b"}]}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_found(trial: Trial, name: str) -> None:
    trial("what fuzzing had broken before", times=1)
    survives, data = FOUND[name]
    with within_bounds():
        trial.saw(str(survives(data)))


@pytest.mark.parametrize("depth", range(40, 1040, 37))
def test_depths(trial: Trial, depth: int) -> None:
    trial("lists within lists, to every depth at which Python gives up", times=1)
    deep = b"[" * depth + b"]" * depth
    point = b'{"id": "a", "embedding": [0.5, 1], "embedding_metadata": {"a": ' + deep + b"}}"
    with within_bounds():
        trial.saw(files.read_file(".jsonl")(b'{"prompt": "a", "x": ' + deep + b"}"))
        trial.saw(
            files.converse(
                b'{"messages": [{"role": "user", "content": "a", "name": ' + deep + b"}]}"
            )
        )
        trial.saw(files.converse(b'{"messages": [{"role": ' + deep + b"}]}"))
        trial.saw(points.datapoints(b"j" + point))
        trial.saw(rows.load((".json", point)))
        trial.saw(rows.load((".json", b'{"id": ' + deep + b', "embedding": ' + deep + b"}")))
        trial.saw(texts.configure(b"output = " + deep))
        trial.saw(judging.rubric(b"questions = " + deep))
        trial.saw(texts.refer(f"match:mode={deep.decode()}"))


def test_a_row_deeper_than_json_goes_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"prompt": "a", "x": ' + "[" * 200 + "]" * 200 + "}")
    with pytest.raises(DataError, match=r"t\.jsonl, row 1 \(line 1\): column 'x'.*100 deep"):
        load_samples(path, prompt="prompt", metadata="rest")


@pytest.mark.parametrize("kind", ["date32", "timestamp"])
def test_a_day_that_python_does_not_have_is_refused(tmp_path: Path, kind: str) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    far = {
        "date32": pa.array([2**31 - 1], pa.date32()),
        "timestamp": pa.array([2**52], pa.timestamp("s")),
    }
    column = far[kind]
    parquet.write_table(pa.table({"day": column}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t\.parquet cannot be read as Parquet"):
        list(read_table(tmp_path / "t.parquet"))


@pytest.mark.parametrize(
    "value", [float("inf"), -float("inf"), "[", "]", '"', "a,b", "\x7f,", "1 # one", '"a" # b,']
)
def test_values_are_written_so_that_they_are_read_again(value: object) -> None:
    given = {"numbers": (value,), "text": "x"} if isinstance(value, float) else {"texts": (value,)}
    again = parse(str(Reference("match", {**given, "whole": 1})))
    assert build_settings("it", texts.Settings, again.settings) == texts.Settings(
        **{"whole": 1, **given}  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    "value", ["5\nx = 1", "5 # five", "0x" + "f" * 5000, "9" * 5000, "[" * 5000]
)
def test_what_only_begins_with_a_number_is_none(value: str) -> None:
    with pytest.raises(HarnessError, match="whole"):
        build_settings("it", texts.Settings, {"whole": value})


def test_filters_are_what_they_were() -> None:
    assert where(" a b <= 10 ").value == 10
    for wrong in ("<1", "a<", "a!b<1", "a<1 2", "a<b", "a", ""):
        with pytest.raises(DataError):
            where(wrong)


@pytest.mark.parametrize(
    "page", ["0" * 9 + "1" + "9" * 9, "0" * 9 + "1" * 5000, "0", "٣", "1000000000"]
)
def test_pages_that_cannot_be(page: str) -> None:
    with pytest.raises(AskedWrongError, match="page is"):
        asked(ListQuery, {"page": page})


def test_a_text_that_the_database_could_not_look_for() -> None:
    with pytest.raises(AskedWrongError, match="60000 characters"):
        asked(ListQuery, {"q": "x" * 60_000})


@pytest.mark.parametrize(
    ("arguments", "name", "data"),
    [
        (["score", "{}", "--scorer", "match", "--completion", "a"], "t.csv", b"a,a\n1,2\n"),
        (["score", "{}", "--scorer", "match", "--completion", "a"], "t.jsonl", b"\xff\xfe"),
        (["train", "{}", "--dry-run"], "t.toml", b"output = " + _HEX),
        (["train", "{}", "--dry-run"], "t.toml", b"\xef\xbb\xbfx = " + b"[" * 5000),
        (["data", "convert", "{}", "-o", "out.csv"], "t.jsonl", b'{"messages": ["\\u0007"]}'),
        (
            ["score", "{}", "--scorer", "match", "--completion", "a"],
            "t.csv",
            b'x,"a\nb",y\n1,2,3\n',
        ),
    ],
)
def test_the_command_says_so_in_a_line_and_exits_with_2(
    trial: Trial, tmp_path: Path, arguments: list[str], name: str, data: bytes
) -> None:
    trial("the command itself: one line, exit code 2, nothing written", times=1)
    (tmp_path / name).write_bytes(data)
    given = [one.format(name) for one in arguments]
    found = subprocess.run(
        [sys.executable, "-m", "harness", *given], cwd=tmp_path, capture_output=True, timeout=60
    )
    line = found.stderr.decode()
    assert found.returncode == 2, line
    assert line.startswith("harness: error: ")
    assert line.count("\n") == 1
    assert name in line
    assert list(tmp_path.iterdir()) == [tmp_path / name]
    trial.saw("refused with exit code 2")


@pytest.mark.parametrize(
    "fields", [[], [{"name": "x", "type": {"type": "array", "items": "null"}}]]
)
def test_an_avro_file_of_nothing_a_million_times_over(trial: Trial, fields: list[object]) -> None:
    """Null takes no byte, so that a few bytes can promise any number of records."""
    import fastavro

    trial("an Avro file of a few bytes that promises a hundred million records", times=1)
    schema = fastavro.parse_schema({"type": "record", "name": "D", "fields": fields})
    sink = io.BytesIO()
    fastavro.writer(sink, schema, [])
    head, many = sink.getvalue(), _zigzag(10**8)
    count, body = (_zigzag(1), many + b"\0") if fields else (many, b"")
    with within_bounds():
        came = rows.load((".avro", head + count + _zigzag(len(body)) + body + head[-16:]))
    trial.saw(came)
    assert came != files.READ


def _zigzag(number: int) -> bytes:
    number, found = number << 1, bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])
