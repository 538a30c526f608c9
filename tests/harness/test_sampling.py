"""Rows drawn at random: uniformly, none twice, and the same ones with the same seed."""

from __future__ import annotations

from collections import Counter

import pytest
from scipy.stats import chisquare

from harness.data.rows import Row
from harness.data.sampling import draw


def rows(count: int) -> list[Row]:
    return [Row({"i": i}, "t.jsonl", i) for i in range(1, count + 1)]


def numbers(count: int, of: int, seed: int, *, shuffle: bool = False) -> list[int]:
    return [row.number for row in draw(rows(of), count, seed=seed, shuffle=shuffle).rows]


@pytest.mark.parametrize("count", [1, 5, 19, 20])
def test_so_many_different_rows_in_the_order_of_the_file(count: int) -> None:
    drawn = numbers(count, 20, seed=3)
    assert len(set(drawn)) == count
    assert drawn == sorted(drawn)


def test_all_where_there_are_fewer_and_how_many_there_were() -> None:
    assert draw(iter(rows(3)), 100) == (rows(3), 3)
    assert draw(iter(rows(7)), 2).total == 7


def test_a_seed_draws_the_same_and_a_larger_count_the_same_and_more() -> None:
    assert numbers(5, 50, seed=1) == numbers(5, 50, seed=1)
    assert numbers(5, 50, seed=1) != numbers(5, 50, seed=2)
    assert set(numbers(5, 50, seed=1)) < set(numbers(6, 50, seed=1))


def test_shuffled_rows_are_the_same_in_another_order() -> None:
    shuffled = numbers(20, 50, seed=1, shuffle=True)
    assert sorted(shuffled) == numbers(20, 50, seed=1)
    assert shuffled != sorted(shuffled)


def test_every_pair_of_rows_is_as_likely_as_any_other() -> None:
    pairs = Counter(tuple(numbers(2, 6, seed=seed)) for seed in range(6000))
    assert len(pairs) == 15
    assert chisquare(list(pairs.values())).pvalue > 1e-3
