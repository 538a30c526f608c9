"""Conversations as columns and back: nothing is lost, and a changed cell counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.data.chat import to_chat, to_columns
from harness.data.converting import Form, Written, convert
from harness.data.rows import Row
from harness.data.tables import read_table
from harness.errors import DataError

Message = dict[str, object]
Record = dict[str, object]
TURNS: list[Message] = [
    {"role": "user", "content": "2+2?"},
    {"role": "assistant", "content": "4"},
    {"role": "user", "content": "And 3+3?"},
    {"role": "assistant", "content": "6"},
]
TOOLS: list[Message] = [
    {"role": "developer", "content": "Look it up."},
    {"role": "user", "content": [{"type": "text", "text": "Who?"}, {"type": "image_url"}]},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "a"}]},
    {"role": "tool", "content": "Ada", "tool_call_id": "a"},
    {"role": "assistant", "content": "Ada."},
]


def saved(path: Path, *rows: Record) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def values(path: Path) -> list[Record]:
    return [row.values for row in read_table(path)]


def columns_of(*messages: Message) -> dict[str, object]:
    return to_columns(Row({"messages": list(messages)}, "t.jsonl", 1, 1))


def test_one_turn_is_three_columns() -> None:
    system: Message = {"role": "system", "content": "Be brief."}
    assert columns_of(system, *TURNS[:2]) == {
        "system_prompt": "Be brief.",
        "prompt": "2+2?",
        "completion": "4",
    }


def test_no_user_turn_is_lost() -> None:
    cells = columns_of(*TURNS)
    assert (cells["prompt"], cells["completion"]) == ("And 3+3?", "6")
    assert json.loads(str(cells["messages"])) == TURNS


def test_the_answer_to_an_earlier_turn_is_no_completion() -> None:
    cells = columns_of(*TURNS[:3])
    assert (cells["prompt"], cells["completion"]) == ("And 3+3?", None)


def test_parts_are_a_line_each_and_tools_stand_in_the_whole() -> None:
    cells = columns_of(*TOOLS)
    assert [cells[c] for c in ("system_prompt", "prompt", "completion")] == [
        "Look it up.", "Who?", "Ada.",
    ]  # fmt: skip
    assert json.loads(str(cells["messages"])) == TOOLS
    two: Message = {"role": "user", "content": [{"type": "text", "text": t} for t in ("a", "b")]}
    assert columns_of(two)["prompt"] == "a\nb"


TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
CONTENT = st.one_of(
    TEXT,
    st.lists(st.builds(lambda t: {"type": "text", "text": t}, TEXT), min_size=1, max_size=2),
)
MESSAGE = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["system", "developer", "user", "assistant", "tool"]),
        "content": CONTENT,
    },
    optional={"name": TEXT},
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(MESSAGE, min_size=1, max_size=5), min_size=1, max_size=3))
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".json"])
def test_any_conversation_survives_the_round_trip(
    tmp_path: Path, suffix: str, conversations: list[list[Message]]
) -> None:
    rows: list[Record] = [{"messages": messages} for messages in conversations]
    start, table, back = (tmp_path / name for name in ("a.jsonl", f"t{suffix}", "b.jsonl"))
    convert(saved(start, *rows), table, "columns")
    assert convert(table, back).form == "chat"
    assert values(back) == rows


def test_other_keys_go_along_and_empty_ones_do_not(tmp_path: Path) -> None:
    rows: list[Record] = [
        {"messages": TURNS, "id": "a", "tags": ["x"]},
        {"messages": TURNS[:2]},
    ]
    table = tmp_path / "t.csv"
    assert convert(saved(tmp_path / "a.jsonl", *rows), table) == Written(2, "columns", 1)
    names = list(values(table)[0])
    assert names == ["system_prompt", "prompt", "completion", "id", "tags", "messages"]
    convert(table, tmp_path / "b.jsonl")
    assert values(tmp_path / "b.jsonl") == [{**rows[0], "tags": '["x"]'}, rows[1]]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({}, TURNS),
        ({"completion": "six"}, [*TURNS[:3], {"role": "assistant", "content": "six"}]),
        ({"completion": None}, TURNS[:3]),
        ({"prompt": "7?"}, [*TURNS[:2], {"role": "user", "content": "7?"}, TURNS[3]]),
        ({"system_prompt": "Hm."}, [{"role": "system", "content": "Hm."}, *TURNS]),
    ],
)
def test_a_changed_cell_changes_its_message_alone(
    cells: dict[str, object], expected: list[Message]
) -> None:
    row = {**columns_of(*TURNS), **cells}
    assert to_chat(Row(row, "t.csv", 1, 2)) == {"messages": expected}


def test_a_changed_cell_never_drops_an_image() -> None:
    row = {**columns_of(*TOOLS), "prompt": "Whom?"}
    with pytest.raises(DataError, match=r"row 1 .*no text"):
        to_chat(Row(row, "t.csv", 1, 2))


def test_nulls_of_parquet_are_no_keys(tmp_path: Path) -> None:
    """Arrow gives each message every key that one of them has."""
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"messages": [TURNS[:2], TOOLS[2:]]}), tmp_path / "t.parquet")
    written = convert(tmp_path / "t.parquet", tmp_path / "t.jsonl", "chat")
    assert written == Written(2, "chat")
    assert values(tmp_path / "t.jsonl") == [{"messages": TURNS[:2]}, {"messages": TOOLS[2:]}]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"messages": []}, "'messages' is []; it must be a list of one or more"),
        ({"messages": {"role": "user"}}, "it must be a list"),
        ({"messages": ["hi"]}, "no JSON"),
        ({"messages": [5]}, "message 1 is 5; it must be an object"),
        ({"messages": [{"content": "x"}]}, "message 1 has no role"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "message 1 (user) has half a"),
        ({"messages": [{"role": "human", "content": "x"}]}, "has the role 'human'; roles are sys"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "has the role ['user']"),
        ({"messages": [TURNS[0], {"role": "user"}]}, "message 2 (user) has no content"),
        ({"messages": [{"role": "assistant", "content": None}]}, "(assistant) has no content"),
        ({"messages": [{"role": "user", "content": 5}]}, "content is 5; it is text or a list"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, 'the part "x" is no object'),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "has no text"),
        ({"messages": TURNS, "prompt": "own"}, "it has 'prompt' beside its messages"),
        ({"question": "x"}, "it has neither 'messages' nor system_prompt, prompt, completion"),
        ({"prompt": None, "completion": "x"}, "column 'prompt' is empty"),
        ({"prompt": ["x"]}, "column 'prompt' holds a list where text is expected"),
    ],
)
def test_what_is_no_conversation_is_told_with_its_place(row: dict[str, object], told: str) -> None:
    with pytest.raises(DataError) as caught:
        to_columns(Row(row, "t.jsonl", 2, 3))
    assert str(caught.value).startswith("t.jsonl, row 2 (line 3): ")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("start", "end", "form"),
    [
        ("chat.jsonl", "x.csv", "columns"),
        ("chat.jsonl", "x.parquet", "columns"),
        ("chat.jsonl", "x.json", "as-is"),
        ("columns.csv", "x.jsonl", "chat"),
        ("columns.csv", "x.tsv", "as-is"),
        ("plain.csv", "x.jsonl", "as-is"),
    ],
)
def test_without_a_form_it_is_what_suits_the_file(
    tmp_path: Path, start: str, end: str, form: Form
) -> None:
    saved(tmp_path / "chat.jsonl", {"messages": TURNS})
    (tmp_path / "columns.csv").write_text("system_prompt,prompt,completion\n,q,a\n")
    (tmp_path / "plain.csv").write_text("prompt,completion\nq,a\n")
    assert convert(tmp_path / start, tmp_path / end) == Written(1, form, int(form == "columns"))


def test_rows_as_they_are_keep_the_keys_that_each_has(tmp_path: Path) -> None:
    rows: list[Record] = [{"a": 1}, {"b": [None, {"c": "é\u2028"}]}, {"a": None}]
    start = saved(tmp_path / "a.jsonl", *rows)
    convert(start, tmp_path / "b.json")
    convert(tmp_path / "b.json", tmp_path / "c.jsonl")
    assert values(tmp_path / "c.jsonl") == rows
    convert(start, tmp_path / "d.csv")
    assert values(tmp_path / "d.csv")[0] == {"a": "1", "b": None}


def test_a_broken_row_leaves_no_file(tmp_path: Path) -> None:
    start = saved(tmp_path / "a.jsonl", {"messages": TURNS}, {"messages": []})
    for end in ("b.csv", "b.jsonl"):
        with pytest.raises(DataError, match=r"a\.jsonl, row 2 \(line 2\)"):
            convert(start, tmp_path / end, "chat" if end.endswith("l") else None)
    assert list(tmp_path.iterdir()) == [start]
