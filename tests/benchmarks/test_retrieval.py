from __future__ import annotations

import json
import math
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.retrieval import fidelity
from benchmarks.retrieval.bm25 import Bm25, words
from benchmarks.retrieval.documents import stdlib_docs
from benchmarks.retrieval.vectors import SHARES, clustered, query
from harness import Query
from harness.retrieval import read_beir
from harness.vectors import VectorIndex, VectorSettings

ROOT = Path(__file__).parents[2]
CORPUS = {
    "a": "the cat sat on the mat",
    "b": "the dog sat on the log, and the dog slept",
    "c": "cats and dogs",
    "d": "",
}


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def score(text: str, document: str, k1: float = 0.9, b: float = 0.4) -> float:
    """BM25 as the formula is written."""
    lengths = {name: len(words(text)) for name, text in CORPUS.items()}
    mean = sum(lengths.values()) / len(lengths)
    total = 0.0
    for word in words(text):
        having = sum(word in words(other) for other in CORPUS.values())
        idf = math.log(1 + (len(CORPUS) - having + 0.5) / (having + 0.5))
        tf = words(CORPUS[document]).count(word)
        norm = k1 * (1 - b + b * lengths[document] / mean)
        total += idf * tf * (k1 + 1) / (tf + norm) if tf else 0.0
    return total


@pytest.mark.parametrize("text", ["cat", "the dog sat", "dogs and cats sat", "bird", "the the"])
def test_the_baseline_is_bm25(text: str) -> None:
    expected = {name: score(text, name) for name in CORPUS}
    (found,) = Bm25(CORPUS).search([Query(text)], k=10)
    assert {m.id: m.distance for m in found} == pytest.approx(
        {name: value for name, value in expected.items() if value}
    )
    assert [m.distance for m in found] == sorted((m.distance for m in found), reverse=True)
    assert Bm25(CORPUS).search([Query(text)], k=1) == [found[:1]]


def test_every_question_has_its_passage_and_no_passage_its_question() -> None:
    data = stdlib_docs(queries=20, passages=50)
    assert (len(data.queries), len(data.corpus)) == (20, 50)
    for name, judged in data.qrels.items():
        ((passage, relevance),) = judged.items()
        assert relevance == 1
        assert passage in data.queries[name]
        assert passage not in data.corpus[passage]


def test_the_data_set_is_written_for_others(tmp_path: Path) -> None:
    done = run("benchmarks.retrieval", "beir", tmp_path, "--queries", "5", "--passages", "9")
    assert done.returncode == 0, done.stderr
    assert read_beir(tmp_path) == stdlib_docs(queries=5, passages=9)


def test_shares_are_what_passes_the_filters() -> None:
    data = clustered(4000, 8, queries=1)
    exact = fidelity.truth(data.datapoints())
    for name, share in SHARES.items():
        eligible = len(exact.search([query(data.queries[0], name)], k=4000)[0])
        assert eligible == pytest.approx(share * 4000, rel=0.2, abs=6)


def test_an_index_that_forgets_is_caught() -> None:
    """What the figures are for: half of the datapoints, writes that are lost, ghosts."""
    data = clustered(1000, 8, queries=20)
    points = data.datapoints()
    exact = fidelity.truth(points)

    class Deaf(VectorIndex):
        """Loses writes of its test, and removes nothing."""

        def upsert(self, datapoints: object, **_: object) -> None: ...

        def remove(self, ids: object) -> int:
            return 0

    deaf = Deaf(VectorSettings(8))
    deaf.load([p.id for p in points[:500]], data.vectors[:500])
    first = fidelity.levels(deaf, exact, data)[0]
    assert 0.3 < first.recall[10] < 0.7
    assert first.distance_ratio is not None
    assert first.distance_ratio > 1.05
    assert fidelity.at_recall(deaf, exact, data, 0.9).leaves_fraction is None
    assert fidelity.churn(deaf, exact, data).ghosts > 0


def test_measuring_by_the_command_line(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = run("benchmarks.retrieval", "fidelity", "--rows", "1500", "--json", report)
    assert done.returncode == 0, done.stderr
    kept = json.loads(report.read_text())
    assert [level["share"] for level in kept["levels"]] == list(SHARES)
    assert all(level["recall"]["10"] == 1 for level in kept["levels"])  # few enough for exact
    assert kept["freshness"]["unseen"] == kept["churn"]["ghosts"] == 0


@pytest.mark.skipif(not find_spec("google.cloud.aiplatform_v1"), reason="samescore[vertex]")
def test_the_notebook_as_a_benchmark() -> None:
    done = run("harness", "run", "benchmarks/retrieval", "-k", "notebook")
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
