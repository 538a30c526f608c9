"""Fuzzed files: they are read, or refused by one line that names the file"""

from __future__ import annotations

import pytest

from tests.trust import fuzz_files as files
from tests.trust import fuzz_points as points
from tests.trust.fuzzing import fuzz
from tests.trust.trial import Trial


@pytest.mark.parametrize(
    ("suffix", "cases"),
    [(".csv", 550), (".tsv", 150), (".json", 450), (".jsonl", 550), (".parquet", 200)],
)
def test_tables(trial: Trial, suffix: str, cases: int) -> None:
    trial("tables (CSV, TSV, JSON, JSON Lines, Parquet): read, as samples, and written anew")
    fuzz(trial, cases, files.FILES[suffix], files.read_file(suffix))


def test_conversations(trial: Trial) -> None:
    trial("conversations as JSON Lines: `harness data convert` to columns, and back")
    fuzz(trial, 500, files.CHATS, files.converse)


def test_faq(trial: Trial) -> None:
    trial("questions with answers, as a suite reads them from CSV")
    fuzz(trial, 200, files.FAQS, files.faq)


def test_beir(trial: Trial) -> None:
    trial("BEIR's folders of corpus, queries and judgements")
    fuzz(trial, 350, files.BEIRS, files.beir)


def test_datapoints(trial: Trial) -> None:
    trial("datapoints as JSON Lines and CSV, into an index and out of it")
    fuzz(trial, 500, points.DATAPOINTS, points.datapoints)
