"""Texts in pieces: credit by characters, and words that differ."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from harness import Credit
from harness.viewer.marking import credited, level, word_diff


def test_spans_that_overlap_add_up() -> None:
    found = credited("abcdef", [Credit(0, 4, 1.0), Credit(2, 6, -3.0)])
    assert [(p.text, p.value, p.level) for p in found] == [
        ("ab", 1.0, 2), ("cd", -2.0, -3), ("ef", -3.0, -5)
    ]  # fmt: skip


@given(
    st.text(max_size=20),
    st.lists(st.tuples(st.integers(-3, 25), st.integers(-3, 25), st.floats(-5, 5)), max_size=6),
)
def test_no_character_is_lost(text: str, spans: list[tuple[int, int, float]]) -> None:
    pieces = credited(text, [Credit(*span) for span in spans])
    assert "".join(piece.text for piece in pieces) == text
    assert all(-5 <= piece.level <= 5 for piece in pieces)


def test_a_small_amount_does_not_look_like_none() -> None:
    assert [level(v, 100.0) for v in (0.01, -0.01, 0.0, 100.0)] == [1, -1, 0, 5]


@given(st.text(max_size=60), st.text(max_size=60))
def test_both_sides_of_a_diff_are_the_texts(first: str, other: str) -> None:
    ours, theirs = word_diff(first, other)
    assert ("".join(p.text for p in ours), "".join(p.text for p in theirs)) == (first, other)
    same = [[p.text.split() for p in side if p.state == "same"] for side in (ours, theirs)]
    assert [w for part in same[0] for w in part] == [w for part in same[1] for w in part]


def test_a_word_that_is_longer_is_another_and_its_neighbours_are_not() -> None:
    ours, theirs = word_diff("in the hills", "in those hills, yes")
    assert [(p.text, p.state) for p in ours] == [
        ("in ", "same"), ("the ", "gone"), ("hills", "same")
    ]  # fmt: skip
    assert [(p.text, p.state) for p in theirs] == [
        ("in ", "same"), ("those ", "new"), ("hills", "same"), (", yes", "new")
    ]  # fmt: skip


def test_long_texts_of_one_word_take_no_time() -> None:
    start = time.process_time()
    word_diff("a " * 20_000, "b a " * 20_000)
    assert time.process_time() - start < 2
