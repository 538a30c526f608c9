"""How varied texts are, by hand."""

from __future__ import annotations

import pytest

from harness.diversity import distinct, repetition


def test_distinct_is_the_share_of_groups_that_differ() -> None:
    texts = ["the cat the dog", "The cat"]
    assert distinct(texts, 1) == 3 / 6
    assert distinct(texts, 2) == 3 / 4
    assert distinct(texts, 5) is None
    assert distinct([], 1) is None


def test_repetition_is_within_one_text() -> None:
    assert repetition("a b c d e") == 0
    assert repetition("a b a b a b", 2) == pytest.approx(3 / 5)
    assert repetition("a b") == repetition("") == 0
    with pytest.raises(ValueError, match="n is 0"):
        repetition("a", 0)
