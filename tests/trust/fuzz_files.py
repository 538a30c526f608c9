"""Files that are nearly right: tables, conversations, BEIR's folders, datapoints."""

from __future__ import annotations

import csv
import functools
import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from hypothesis import strategies as st

from harness.data.chat import conversation
from harness.data.converting import convert
from harness.data.plain import plain
from harness.data.rows import Row
from harness.data.samples import load_samples
from harness.data.tables import read_table, write_table
from harness.retrieval.beir import read_beir, write_beir
from tests.trust.fuzzing import DEEP, TEXTS, folder, mutated, raw_or, refused

READ, REFUSED = "read and written as they are", "refused by a line that names them"

CELLS = st.one_of(
    TEXTS,
    TEXTS,
    st.none(),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.lists(TEXTS, max_size=2),
    st.dictionaries(TEXTS, TEXTS, max_size=2),
    DEEP,
)


def _records(cells: st.SearchStrategy[object]) -> st.SearchStrategy[list[dict[str, object]]]:
    record = {"id": cells, "prompt": cells, "reference": cells}
    return st.lists(st.fixed_dictionaries(record, optional={"": cells, "rest": cells}), max_size=4)


def lines(records: Sequence[object]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def _document(records: list[object], whole: bool) -> bytes:
    return json.dumps(records if whole else {"data": records}, indent=1).encode()


def _separated(rows: list[list[str]], delimiter: str) -> bytes:
    handle = io.StringIO(newline="")
    csv.writer(handle, delimiter=delimiter).writerows([["id", "prompt", "reference"], *rows])
    return handle.getvalue().encode("utf-8", "replace")


_CSV_ROWS = st.lists(st.lists(TEXTS, min_size=3, max_size=3), max_size=4)


@functools.cache
def parquets() -> list[bytes]:
    """A file of each type that Parquet has, some of them beyond what Python can hold."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = {
        "text": pa.array(["a", None, "é"]),
        "number": pa.array([1, 2, None]),
        "float": pa.array([1.5, math.nan, math.inf]),
        "half": pa.array([1.5, 2.5, 0.0], pa.float16()) if hasattr(pa, "float16") else None,
        "list": pa.array([["a"], [], None]),
        "struct": pa.array([{"a": 1}, {"a": 2}, None]),
        "map": pa.array([[("k", 1)], [("k", 2), ("k", 3)], None], pa.map_(pa.string(), pa.int64())),
        "bytes": pa.array([b"\xff", b"", None]),
        "moment": pa.array([2**62, -(2**62), 0], pa.timestamp("s")),
        "nanosecond": pa.array([1, 2**62, 0], pa.timestamp("ns")),
        "zone": pa.array([1, 2, 0], pa.timestamp("us", "No/Where")),
        "day": pa.array([2**31 - 1, -(2**31), 0], pa.date32()),
        "hour": pa.array([1, 2, 0], pa.time64("ns")),
        "lasting": pa.array([2**62, -(2**62), 0], pa.duration("s")),
        "decimal": pa.array([None, None, None], pa.decimal128(38, -10)),
        "words": pa.array(["a", "b", "a"]).dictionary_encode(),
        "nothing": pa.nulls(3),
        "wrong": pa.Array.from_buffers(
            pa.string(), 3, [None, pa.py_buffer(bytes([0, 0, 0, 0, 1, 0, 0, 0] + [1, 0, 0, 0] * 2)),
                             pa.py_buffer(b"\xff")],
        ),
    }  # fmt: skip
    found = []
    for name, column in columns.items():
        for compression in ("none", "zstd"):
            sink = io.BytesIO()
            table = pa.table({"id": ["a", "b", "c"], "prompt": ["x", "y", "z"], name: column})
            try:
                parquet.write_table(table, sink, compression=compression)
            except (pa.ArrowException, OSError):
                continue
            found.append(sink.getvalue())
    return found


FILES: dict[str, st.SearchStrategy[bytes]] = {
    ".csv": raw_or(st.builds(_separated, _CSV_ROWS, st.just(","))),
    ".tsv": raw_or(st.builds(_separated, _CSV_ROWS, st.just("\t"))),
    ".json": raw_or(st.builds(_document, _records(CELLS), st.booleans())),
    ".jsonl": raw_or(st.builds(lines, _records(CELLS))),
    ".parquet": raw_or(st.deferred(lambda: st.sampled_from(parquets()))),
}


def read_file(suffix: str) -> Callable[[bytes], str]:
    """What reads a table does with such a file, and what writes one with its rows."""

    def survives(data: bytes) -> str:
        with folder() as here:
            path = here / f"t{suffix}"
            path.write_bytes(data)
            rows: list[Row] = []
            if refused(lambda: rows.extend(read_table(path)), path):
                return REFUSED
            _read_samples(path, rows)
            for output in _OUTPUTS[len(data) % 3], ".jsonl":
                _survives_writing(here, path, rows, output)
        return READ

    return survives


_OUTPUTS = (".csv", ".parquet", ".json")


def _read_samples(path: Path, rows: list[Row]) -> None:
    first, second, *_ = [*rows[0].values, "prompt", "reference"]
    refused(lambda: load_samples(path, prompt=first, references=second, metadata="rest"), path)
    refused(lambda: load_samples(path, prompt="prompt", id="id", references="reference"), path)


def _survives_writing(here: Path, path: Path, rows: list[Row], suffix: str) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row.values))
    before, output = set(here.iterdir()), here / f"out{suffix}"
    given = [row.values for row in rows]
    if refused(lambda: write_table(output, given, columns), output):
        assert set(here.iterdir()) == before, "something is left of what was not written"
        return
    assert set(here.iterdir()) == before | {output}
    back = [row.values for row in read_table(output)]
    assert len(back) == len(rows)
    for was, found in zip(given, back, strict=True):
        for column in columns:
            _same(plain(was.get(column)), found.get(column), suffix)
    output.unlink()


def _same(was: object, found: object, suffix: str) -> None:
    if suffix in (".json", ".jsonl"):
        assert found == was
    elif isinstance(was, str) and was.isascii():
        assert found == (was or None) or (suffix == ".parquet" and found == was)


_ROLES = st.sampled_from(["system", "developer", "user", "assistant", "tool", "function", "User"])
_PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "input_text", "image_url", "refusal"])},
    optional={"text": TEXTS, "image_url": st.dictionaries(TEXTS, TEXTS, max_size=1)},
)
_MESSAGES = st.fixed_dictionaries(
    {"role": _ROLES},
    optional={
        "content": st.one_of(TEXTS, TEXTS, st.none(), st.lists(_PARTS, max_size=2), CELLS),
        "name": TEXTS,
        "tool_calls": st.lists(st.dictionaries(TEXTS, CELLS, max_size=2), max_size=1),
    },
)
_CONVERSATIONS = st.lists(
    st.fixed_dictionaries(
        {"messages": st.lists(_MESSAGES, max_size=4)},
        optional={"id": CELLS, "prompt": CELLS, "completion": CELLS, "system_prompt": CELLS},
    ),
    max_size=3,
)
_RIGHT_MESSAGE = st.one_of(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "user", "assistant"]), "content": TEXTS},
        optional={"name": TEXTS},
    ),
    st.fixed_dictionaries(
        {"role": st.just("user"), "content": st.just([{"type": "text", "text": "a"}])}
    ),
)
_RIGHT_CONVERSATIONS = st.lists(
    st.fixed_dictionaries(
        {"messages": st.lists(_RIGHT_MESSAGE, min_size=1, max_size=4)},
        optional={"id": CELLS, "tags": CELLS},
    ),
    min_size=1,
    max_size=3,
)
CHATS = st.one_of(
    mutated(st.builds(lines, _RIGHT_CONVERSATIONS)), raw_or(st.builds(lines, _CONVERSATIONS))
)


def converse(data: bytes) -> str:
    """From conversations to columns and back, with every message as it was."""
    suffix = (".csv", ".tsv", ".parquet", ".json")[len(data) % 4]
    with folder() as here:
        path, table, back = here / "chat.jsonl", here / f"table{suffix}", here / "back.jsonl"
        path.write_bytes(data)
        if refused(lambda: convert(path, table, "columns"), here):
            assert list(here.iterdir()) == [path], "something is left of what was not written"
            return REFUSED
        was = [conversation(row) for row in read_table(path)]
        if refused(lambda: convert(table, back, "chat"), table):
            raise AssertionError("what it wrote it cannot read")
        if data.isascii() and b"\\ud" not in data.lower():
            assert [row.values["messages"] for row in read_table(back)] == was
    return READ


_FAQ = st.builds(_separated, st.lists(st.tuples(TEXTS, TEXTS, TEXTS).map(list), max_size=4),
                 st.sampled_from([",", ";", "\t"]))  # fmt: skip
_RIGHT_FAQ = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4).map(
    lambda rows: _separated([[str(n), f"a{one}", two] for n, (one, two) in enumerate(rows)], ",")
)
FAQS = st.one_of(mutated(_RIGHT_FAQ), mutated(_RIGHT_FAQ), raw_or(_FAQ))


def faq(data: bytes) -> str:
    """Questions and answers, as a suite of one's own has them."""
    with folder() as here:
        path = here / "faq.csv"
        path.write_bytes(data)
        found: list[object] = []

        def work() -> None:
            samples = load_samples(path, prompt="prompt", references="reference", id="id")
            found.extend(samples)
            assert all(sample.prompt and sample.id for sample in samples)
            assert len({sample.id for sample in samples}) == len(samples)

        return REFUSED if refused(work, path) else READ


IDS = st.one_of(st.sampled_from(["a", "b", "q1"]), TEXTS, st.integers(0, 3))
_PASSAGES = st.lists(
    st.fixed_dictionaries({"_id": IDS, "text": CELLS}, optional={"title": CELLS}), max_size=3
).map(lines)
_QRELS = st.lists(
    st.tuples(IDS, IDS, st.one_of(st.integers(-1, 3), TEXTS)).map(lambda r: [*map(str, r)]),
    max_size=3,
)


def _judgements(rows: list[list[str]]) -> bytes:
    handle = io.StringIO(newline="")
    header = ["query-id", "corpus-id", "score"]
    csv.writer(handle, delimiter="\t").writerows([header, *rows])
    return handle.getvalue().encode("utf-8", "replace")


_SOME = st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True)
_RIGHT_TEXTS = st.tuples(_SOME, TEXTS).map(
    lambda given: lines([{"_id": key, "title": given[1], "text": "t"} for key in given[0]])
)
_RIGHT_QRELS = st.tuples(_SOME, st.integers(-1, 3)).map(
    lambda given: _judgements([["a", key, str(given[1])] for key in given[0]])
)
_QUERIES = lines([{"_id": "a", "text": "q"}])
BEIRS = st.one_of(
    st.tuples(_RIGHT_TEXTS, st.just(_QUERIES), mutated(_RIGHT_QRELS)),
    st.tuples(mutated(_RIGHT_TEXTS), st.just(_QUERIES), _RIGHT_QRELS),
    st.tuples(_RIGHT_TEXTS, mutated(st.just(_QUERIES)), _RIGHT_QRELS),
    st.tuples(mutated(_PASSAGES), mutated(_PASSAGES), mutated(_QRELS.map(_judgements))),
)


def beir(files: tuple[bytes, bytes, bytes]) -> str:
    """A folder of BEIR, and the same one written."""
    with folder() as here:
        (here / "qrels").mkdir()
        for name, data in zip(
            ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"), files, strict=True
        ):
            (here / name).write_bytes(data)
        if refused(lambda: read_beir(here), here):
            return REFUSED
        found = read_beir(here)
        write_beir(found, here / "again")
        again = read_beir(here / "again")
        assert (again.corpus, again.queries, again.qrels) == (
            found.corpus, found.queries, found.qrels,
        )  # fmt: skip
    return READ
