from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from harness import DataError, Match, Query
from harness.retrieval import BeirData, read_beir, relevance, search_all, write_beir

Judged = Mapping[str, int]


def ndcg(ranked: Sequence[str], judged: Judged, k: int) -> float:
    """Järvelin and Kekäläinen's, with linear gain, as trec_eval has it."""
    gains = [judged.get(name, 0) for name in ranked[:k]]
    best = sorted((g for g in judged.values() if g > 0), reverse=True)[:k]
    ideal = sum(g / math.log2(rank + 2) for rank, g in enumerate(best))
    return sum(g / math.log2(rank + 2) for rank, g in enumerate(gains)) / ideal if ideal else 0.0


def reciprocal(ranked: Sequence[str], judged: Judged, k: int) -> float:
    ranks = [r for r, name in enumerate(ranked[:k], 1) if judged.get(name, 0) > 0]
    return 1 / ranks[0] if ranks else 0.0


def recall(ranked: Sequence[str], judged: Judged, k: int) -> float:
    good = {name for name, gain in judged.items() if gain > 0}
    return len(good & set(ranked[:k])) / len(good) if good else 0.0


def average_precision(ranked: Sequence[str], judged: Judged, k: int) -> float:
    good, hits, total = sum(g > 0 for g in judged.values()), 0, 0.0
    for rank, name in enumerate(ranked[:k], 1):
        if judged.get(name, 0) > 0:
            hits += 1
            total += hits / rank
    return total / good if good else 0.0


SLOW = {
    "nDCG@10": (ndcg, 10),
    "R@100": (recall, 100),
    "RR@10": (reciprocal, 10),
    "AP@100": (average_precision, 100),
    "nDCG@3": (ndcg, 3),
}


def test_measures_are_those_of_plain_python() -> None:
    rng = random.Random(0)
    names = [f"d{n}" for n in range(150)]
    qrels = {
        f"q{n}": {d: rng.choice((0, 1, 1, 2, 3)) for d in rng.sample(names, rng.randint(1, 20))}
        for n in range(40)
    }
    found = {query: rng.sample(names, rng.randint(0, 150)) for query in qrels}
    values = relevance(found, qrels, measures=list(SLOW)).values
    for measure, (slow, k) in SLOW.items():
        for query, judged in qrels.items():
            expected = slow(found[query], judged, k)
            assert values[measure][query] == pytest.approx(expected, abs=1e-6), (measure, query)


def test_order_decides_and_never_the_distance() -> None:
    qrels = {"q": {"a": 1}}
    tied = [Match("z", 0.5), Match("a", 0.5), Match("b", 0.5)]
    for found in (tied, [Match(m.id, -m.distance) for m in tied], [m.id for m in tied]):
        assert relevance({"q": found}, qrels).values["RR@10"]["q"] == 0.5


def test_a_query_without_hits_counts_as_zero() -> None:
    qrels = {"found": {"a": 1}, "empty": {"a": 1}, "missing": {"a": 1}}
    found = relevance({"found": ["a"], "empty": [], "unjudged": ["a"]}, qrels)
    for measure in found.values:
        assert found[measure].mean == pytest.approx(1 / 3)
        assert found[measure].n == 3


def test_a_query_does_not_find_itself() -> None:
    qrels = {"q": {"a": 1}}
    assert relevance({"q": ["q", "a"]}, qrels)["RR@10"].mean == 1.0
    assert relevance({"q": ["q", "a"]}, qrels, drop_self=False)["RR@10"].mean == 0.5


def test_of_a_document_that_is_there_twice_the_first_counts() -> None:
    assert relevance({"q": ["b", "b", "a"]}, {"q": {"a": 1}})["RR@10"].mean == 0.5


def test_two_retrievers_are_compared_query_by_query() -> None:
    qrels = {f"q{n}": {"a": 1} for n in range(4)}
    one = relevance({query: ["a"] for query in qrels}, qrels)
    other = relevance({"q0": ["a"], "q1": ["b", "a"], "q2": ["b", "a"], "q3": []}, qrels)
    difference = one.difference(other, "RR@10")
    assert (difference.mean, difference.wins, difference.ties) == (0.5, 3, 1)
    with pytest.raises(ValueError, match="same queries"):
        one.difference(relevance({}, {"q0": {"a": 1}}), "RR@10")


def test_what_cannot_be_measured_is_said() -> None:
    with pytest.raises(DataError, match="no judgements"):
        relevance({"q": ["a"]}, {})
    with pytest.raises(DataError, match="no measure 'nGCD@10'"):
        relevance({"q": ["a"]}, {"q": {"a": 1}}, measures=["nGCD@10"])


DATA = BeirData(
    corpus={"d1": "Bridges A flood took two arches.", "d2": "Tabs\tand “quotes”"},
    queries={"q1": "Why was it closed?", "q2": "not judged"},
    qrels={"q1": {"d1": 2, "d2": 0}},
)


def test_a_data_set_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_beir(DATA, tmp_path)
    assert read_beir(tmp_path) == DATA
    assert [(p.id, p.text) for p in DATA.datapoints()] == list(DATA.corpus.items())


def test_a_title_stands_before_its_text(tmp_path: Path) -> None:
    write_beir(DATA, tmp_path)
    row = '{"_id": "d1", "title": "Bridges", "text": "A flood."}\n{"_id": "d2", "text": "x"}\n'
    (tmp_path / "corpus.jsonl").write_text(row)
    assert read_beir(tmp_path).corpus == {"d1": "Bridges A flood.", "d2": "x"}


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("corpus.jsonl", '{"_id": "d", "txt": ""}', "row 1 .*no column 'text'; did you mean 'txt'"),
        ("corpus.jsonl", '{"_id": "d", "text": ""}\n' * 2, "row 2 .* id 'd' is that of row 1"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq9\td1\t1\n", "no query 'q9'"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\tyes\n", "'yes' is no whole number"),
    ],
)
def test_what_is_wrong_has_its_place(tmp_path: Path, file: str, text: str, message: str) -> None:
    write_beir(DATA, tmp_path)
    (tmp_path / file).write_text(text)
    with pytest.raises(DataError, match=message):
        read_beir(tmp_path)


class Echo:
    def search(self, queries: Sequence[Query], *, k: int) -> list[list[Match]]:
        return [[Match(query.text, 0.0)] for query in queries]


def test_all_queries_are_asked_under_their_ids() -> None:
    queries = {f"q{n}": f"text {n}" for n in range(200)}
    found = search_all(Echo(), queries, k=5)
    assert {query: matches[0].id for query, matches in found.items()} == queries
