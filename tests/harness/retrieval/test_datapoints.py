from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from harness import DataError, Datapoint, NumericRestrict, Restrict
from harness.data.rows import Row
from harness.retrieval import Columns, datapoint, read_datapoints, restricts, where
from harness.retrieval.datapoints import same, unused

FULL = Datapoint(
    "a",
    [0.5, -1.0],
    "a text",
    (Restrict("colour", ("red", "blue"), ("green",)), Restrict("size", ("L",))),
    (NumericRestrict("price", 2.5), NumericRestrict("count", 3)),
    "shop",
    {"page": 1},
)
VERTEX = {
    "id": "a",
    "embedding": ["0.5", "-1"],
    "text": "a text",
    "restricts": [
        {"namespace": "colour", "allow": ["red", "blue"], "deny": ["green"]},
        {"namespace": "size", "allow_list": ["L"]},
    ],
    "numeric_restricts": [
        {"namespace": "price", "value_float": 2.5},
        {"namespace": "count", "value_int": "3"},
    ],
    "crowding_tag": {"crowding_attribute": "shop"},
    "embedding_metadata": {"page": 1},
}
OWN = {
    "datapointId": "a",
    "featureVector": [0.5, -1],
    "text": "a text",
    "restricts": [
        {"namespace": "colour", "allowList": ["red", "blue"], "denyList": ["green"]},
        {"namespace": "size", "allow": "L"},
    ],
    "numericRestricts": {"price": 2.5, "count": 3},
    "crowdingTag": "shop",
    "metadata": {"page": 1},
}


def row(**values: object) -> Row:
    return Row({"id": "x", "text": "t", **values}, "f.jsonl", 7, 9)


@pytest.mark.parametrize("values", [VERTEX, OWN], ids=["as-vertex-has-it", "as-json-of-a-request"])
def test_all_of_a_datapoint_in_either_form(values: dict[str, object], tmp_path: Path) -> None:
    file = tmp_path / "points.jsonl"
    file.write_text(json.dumps(values))
    ((place, point),) = read_datapoints(file)
    assert point == FULL
    assert place.number == 1


def test_csv_holds_structures_as_json(tmp_path: Path) -> None:
    import csv

    names = (
        "id",
        "embedding",
        "text",
        "restricts",
        "numeric_restricts",
        "crowding_tag",
        "metadata",
    )
    cells = [OWN.get(n, VERTEX.get(n)) for n in names[:5]] + ["shop", {"page": 1}]
    cells[0] = "a"
    with (tmp_path / "points.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerow([c if isinstance(c, str) else json.dumps(c) for c in cells])
        writer.writerow(["b", "0.25 1e-3", "", "", "", "", ""])
    first, second = (point for _, point in read_datapoints(tmp_path / "points.csv"))
    assert first == FULL
    assert second == Datapoint("b", [0.25, 0.001])


def test_parquet_holds_lists_and_structs(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([{**VERTEX, "embedding": [0.5, -1.0]}])
    parquet.write_table(table, tmp_path / "points.parquet")
    assert [point for _, point in read_datapoints(tmp_path / "points.parquet")] == [FULL]


def test_any_table_by_the_names_of_its_columns() -> None:
    values: dict[str, object] = {
        "sku": 17,
        "title": "A lamp",
        "colours": ["red", "blue"],
        "price": "2.50",
        "stock": "3",
        "shop": "north",
        "url": "u",
        "other": 1,
    }
    columns = Columns(
        id="sku",
        text="title",
        crowding_tag="shop",
        restricts=("colours",),
        numbers=("price", "stock:int"),
        metadata=("url",),
    )
    found = Row(values, "f.csv", 1)
    assert datapoint(found, columns) == Datapoint(
        "17",
        (),
        "A lamp",
        (Restrict("colours", ("red", "blue")),),
        (NumericRestrict("price", 2.5), NumericRestrict("stock", 3)),
        "north",
        {"url": "u"},
    )
    assert unused(found, columns) == ["other"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"id": ""}, "'id' is empty"),
        ({"text": None}, "neither an embedding nor a text"),
        ({"embedding": [1.0, "one"]}, "number 1 of 'embedding' is 'one'"),
        ({"embedding": [1.0, True]}, "number 1 of 'embedding' is True"),
        ({"embedding": {"a": 1}}, "'embedding' must hold a list of numbers"),
        ({"embedding": "[1, 2"}, "'embedding' is no JSON"),
        ({"restricts": [{"namespace": "c", "alow": ["red"]}]}, "did you mean 'allow'"),
        ({"restricts": [{"allow": ["red"]}]}, "lacks a namespace"),
        ({"restricts": ["red"]}, "must hold objects with a namespace"),
        ({"restricts": 3}, "must hold a list or an object"),
        ({"numeric_restricts": [{"namespace": "p"}]}, "one of value_int, value_float"),
        (
            {"numeric_restricts": [{"namespace": "p", "value_int": 1.5}]},
            "an integer for 'p', not 1.5",
        ),
        ({"numeric_restricts": {"p": "many"}}, "a number for 'p', not 'many'"),
        ({"metadata": [1]}, "'metadata' must hold an object"),
        ({"sparse_embedding": {"values": [1]}}, "sparse embeddings are not supported"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(values: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        datapoint(row(**values))
    assert str(caught.value).startswith("f.jsonl, row 7 (line 9): ")


def test_columns_that_are_not_there_are_named() -> None:
    with pytest.raises(DataError, match=r"no column id .*'ids'.*--id"):
        datapoint(Row({"ids": "a", "text": "t"}, "f.csv", 1))
    with pytest.raises(DataError, match=r"no column embedding or text .*'vectors'.* --text"):
        datapoint(Row({"id": "a", "vectors": "t"}, "f.csv", 1))
    with pytest.raises(DataError, match="no column 'titel'; did you mean 'title'"):
        datapoint(row(title="t"), Columns(text="titel"))


def test_an_id_is_there_once(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("id,text\na,x\nb,y\na,z\n")
    with pytest.raises(DataError, match=r"row 3 \(line 4\): the id 'a' is that of row 1"):
        list(read_datapoints(tmp_path / "f.csv"))


def test_what_is_stored_already_is_known_again() -> None:
    stored = Datapoint("a", (0.1, 0.2), "t", (Restrict("c", ("x", "y")),))
    assert same(Datapoint("a", [0.1, 0.2], "t", (Restrict("c", ("y", "x")),)), stored)
    assert same(Datapoint("a", (), "t", stored.restricts), stored)
    assert same(Datapoint("a", [0.1 + 1e-12, 0.2], "t", stored.restricts), stored)
    assert not same(Datapoint("a", [0.1, 0.3], "t", stored.restricts), stored)
    assert not same(Datapoint("a", (), "other", stored.restricts), stored)
    assert not same(Datapoint("a", (), "t"), stored)
    assert not same(Datapoint("a", (), "t", stored.restricts, crowding_tag="b"), stored)


def test_filters_as_people_write_them() -> None:
    found = restricts(["colour=red,blue", 'title="a, b",c'], ["colour=green", "size=L"])
    assert found == (
        Restrict("colour", ("red", "blue"), ("green",)),
        Restrict("title", ("a, b", "c")),
        Restrict("size", (), ("L",)),
    )


@pytest.mark.parametrize("text", ["colour", "=red", "colour=", "colour=red,,blue", 'c="red'])
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"no filter|quote a token"):
        restricts([text])


def test_a_namespace_is_filtered_once() -> None:
    with pytest.raises(DataError, match="two of filter are for 'c'"):
        restricts(["c=x", "c=y"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("price<=10", NumericRestrict("price", 10, "LESS_EQUAL")),
        ("price < 1.5", NumericRestrict("price", 1.5, "LESS")),
        ("year = 1911", NumericRestrict("year", 1911, "EQUAL")),
        ("year==1911", NumericRestrict("year", 1911, "EQUAL")),
        ("a b>=-1e3", NumericRestrict("a b", -1000.0, "GREATER_EQUAL")),
        ("x>0", NumericRestrict("x", 0, "GREATER")),
        ("x!=0", NumericRestrict("x", 0, "NOT_EQUAL")),
    ],
)
def test_numeric_filters(text: str, expected: NumericRestrict) -> None:
    assert where(text) == expected
    assert type(where(text).value) is type(expected.value)


@pytest.mark.parametrize("text", ["price", "price<=", "<=3", "price<=cheap", "price=<3"])
def test_what_is_no_numeric_filter_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="no numeric filter"):
        where(text)
