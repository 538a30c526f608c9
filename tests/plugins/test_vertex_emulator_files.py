"""The files that an index is built from: what each format says, and what a wrong row is called."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from harness.datapoints import Datapoint, NumericRestrict, Restrict

pytest.importorskip("grpc")
pytest.importorskip("google.cloud.aiplatform_v1")

from harness_vertex._emulator.records import RowError, is_data, read_rows
from harness_vertex._messages import RecordError

WHOLE = Datapoint(
    "a",
    (0.5, -1.0),
    restricts=(Restrict("colour", ("red", "blue"), ("green",)), Restrict("shape", (), ("round",))),
    numeric_restricts=(NumericRestrict("size", 3), NumericRestrict("cost", 0.5)),
    crowding_tag="north",
)
RECORD = {
    "id": "a",
    "embedding": [0.5, -1.0],
    "restricts": [
        {"namespace": "colour", "allow": ["red", "blue"], "deny": ["green"]},
        {"namespace": "shape", "deny": ["round"]},
    ],
    "numeric_restricts": [
        {"namespace": "size", "value_int": 3},
        {"namespace": "cost", "value_float": 0.5},
    ],
    "crowding_tag": "north",
}


def rows(folder: Path, name: str, data: str | bytes) -> list[Datapoint | RowError]:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return [row.result for row in read_rows(path, f"gs://b/{name}")]


def one(folder: Path, name: str, data: str | bytes) -> Datapoint | RowError:
    [row] = rows(folder, name, data)
    return row


def same(found: Datapoint | RowError, expected: Datapoint) -> bool:
    """Whether two datapoints are alike, and the vector is of float32."""
    assert isinstance(found, Datapoint), found
    assert isinstance(found.vector, np.ndarray)
    assert found.vector.dtype == np.float32
    plain = Datapoint(
        found.id,
        tuple(found.vector.tolist()),
        found.text,
        found.restricts,
        found.numeric_restricts,
        found.crowding_tag,
        found.metadata,
    )
    return plain == expected


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"embedding": ["0.5", "-1"]},
        {"crowding_tag": {"crowding_attribute": "north"}},
        {
            "restricts": [
                {"namespace": "colour", "allow_list": ["red", "blue"], "deny_list": ["green"]},
                {"namespace": "shape", "allow": None, "deny": ["round"]},
            ]
        },
        {
            "numeric_restricts": [
                {"namespace": "size", "value_int": "3", "value_float": None},
                {"namespace": "cost", "value_double": 0.5},
            ]
        },
    ],
    ids=["plain", "texts of numbers", "nested tag", "long names", "64-bit texts"],
)
def test_json_is_read_as_the_examples_write_it(tmp_path: Path, changes: dict[str, object]) -> None:
    text = json.dumps({**RECORD, **changes})

    assert same(one(tmp_path, "x.json", text), WHOLE)


def test_csv(tmp_path: Path) -> None:
    line = (
        "a,0.5,-1,colour=red,colour=blue,colour=!green,shape=!round,#size=3i,#cost=0.5f,"
        "crowding_tag=north\n"
    )

    assert same(one(tmp_path, "x.csv", line), WHOLE)


def test_avro(tmp_path: Path) -> None:
    avro = pytest.importorskip("fastavro")

    def record(name: str, **fields: object) -> dict[str, object]:
        own = [{"name": key, "type": kind} for key, kind in fields.items()]
        return {"type": "record", "name": name, "fields": own}

    def many(kind: object) -> list[object]:
        return ["null", {"type": "array", "items": kind}]

    texts, number = many("string"), ["null", "int", "double"]
    restrict = record("Restrict", namespace="string", allow=texts, deny=texts)
    numeric = record("Number", namespace="string", value_int=number, value_float=number)
    schema = record(
        "Point", id="string", embedding={"type": "array", "items": "double"},
        restricts=many(restrict), numeric_restricts=many(numeric), crowding_tag=["null", "string"],
    )  # fmt: skip
    with (tmp_path / "x.avro").open("wb") as file:
        avro.writer(file, schema, [RECORD, {"id": "b", "embedding": []}], codec="deflate")

    first, second = [row.result for row in read_rows(tmp_path / "x.avro", "gs://b/x.avro")]
    assert same(first, WHOLE)
    assert same(second, Datapoint("b", ()))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"id": None}, "INVALID_EMBEDDING_ID"),
        ({"id": 7}, "INVALID_EMBEDDING_ID"),
        ({"embedding": None}, "INVALID_EMBEDDING"),
        ({"embedding": "1,2"}, "INVALID_EMBEDDING"),
        ({"embedding": [1, "x"]}, "INVALID_EMBEDDING"),
        ({"sparse_embedding": {"values": [1], "dimensions": [1]}}, "INVALID_SPARSE_EMBEDDING"),
        ({"restricts": {"colour": "red"}}, "PARSING_ERROR"),
        ({"restricts": [{"allow": ["red"]}]}, "NAMESPACE_MISSING"),
        ({"restricts": [{"namespace": "a", "allow": [1]}]}, "INVALID_TOKEN_VALUE"),
        ({"restricts": [{"namespace": "a", "allow": "red"}]}, "INVALID_TOKEN_VALUE"),
        ({"numeric_restricts": [{"namespace": "a"}]}, "INVALID_NUMERIC_VALUE"),
        ({"numeric_restricts": [{"namespace": "a", "value_int": 0.5}]}, "INVALID_NUMERIC_VALUE"),
        ({"numeric_restricts": [{"namespace": "a", "value_int": True}]}, "INVALID_NUMERIC_VALUE"),
        (
            {"numeric_restricts": [{"namespace": "a", "value_int": 1, "value_float": 1.0}]},
            "MULTIPLE_VALUES",
        ),
        (
            {"numeric_restricts": [{"namespace": "a", "value_int": 1, "op": "LESS"}]},
            "OP_IN_DATAPOINT",
        ),
        ({"crowding_tag": 7}, "PARSING_ERROR"),
        ({"embedding_metadata": "text"}, "PARSING_ERROR"),
    ],
)
def test_a_wrong_record_has_the_services_name_for_it(
    tmp_path: Path, change: dict[str, object], kind: str
) -> None:
    found = one(tmp_path, "x.json", json.dumps({**RECORD, **change}))

    assert isinstance(found, RowError)
    assert found.kind == kind
    assert kind in RecordError.RecordErrorType.keys()  # noqa: SIM118
    assert found.id == ("" if "id" in change else "a")


@pytest.mark.parametrize(
    ("name", "line", "kind"),
    [
        ("x.json", b"{", "INVALID_JSON_SYNTAX"),
        ("x.json", b"[1]", "INVALID_JSON_SYNTAX"),
        ("x.json", b"  \n", "EMPTY_LINE"),
        ("x.json", b'{"id": "\xff"}', "INVALID_ENCODING"),
        ("x.csv", b'a,"1', "INVALID_CSV_SYNTAX"),
        ("x.csv", b",1,2", "INVALID_EMBEDDING_ID"),
        ("x.csv", b"a,1,x", "INVALID_EMBEDDING"),
        ("x.csv", b"a,1,=red", "NAMESPACE_MISSING"),
        ("x.csv", b"a,1,#size=bigi", "INVALID_NUMERIC_VALUE"),
        ("x.avro", b"no avro at all", "INVALID_AVRO_SYNTAX"),
    ],
)
def test_a_wrong_line_has_the_services_name_for_it(
    tmp_path: Path, name: str, line: bytes, kind: str
) -> None:
    if name == "x.avro":
        pytest.importorskip("fastavro")
    found = one(tmp_path, name, line)

    assert isinstance(found, RowError)
    assert found.kind == kind


def test_other_files_are_left_alone() -> None:
    names: Sequence[str] = ("a.json", "a.csv", "a.avro", "a.jsonl", "README", "a.json.gz")

    assert [name for name in names if is_data(Path(name))] == ["a.json", "a.csv", "a.avro"]
