"""Fuzzed references, configurations and stored values: they mean something, or are refused"""

from __future__ import annotations

from pathlib import Path

from tests.trust import fuzz_judging as judging
from tests.trust import fuzz_records as records
from tests.trust import fuzz_texts as texts
from tests.trust.fuzz_store import full_store
from tests.trust.fuzzing import fuzz
from tests.trust.trial import Trial


def test_references(trial: Trial) -> None:
    trial("references `NAME:KEY=VALUE,…`: parsed, written, and built")
    fuzz(trial, 700, texts.REFERENCES, texts.refer)


def test_settings(trial: Trial) -> None:
    trial("settings of every type: written as a reference and read again")
    fuzz(trial, 300, texts.SETTINGS, texts.survive_writing)


def test_configs(trial: Trial) -> None:
    trial("TOML files of `harness train`")
    fuzz(trial, 600, texts.CONFIGS, texts.configure)


def test_changes(trial: Trial) -> None:
    trial("`harness train --set KEY=VALUE`")
    fuzz(trial, 250, texts.CHANGES, texts.change)


def test_labels(trial: Trial) -> None:
    trial("label files of `harness calibrate`, with scales and choices")
    fuzz(trial, 400, judging.LABELS, judging.label)


def test_rubrics(trial: Trial) -> None:
    trial("rubrics in TOML")
    fuzz(trial, 500, judging.RUBRICS, judging.rubric)


def test_cards(trial: Trial) -> None:
    trial("`samescore.json` beside a model")
    fuzz(trial, 300, records.CARDS, records.read_card)


def test_baselines(trial: Trial) -> None:
    trial("baselines of `harness compare`")
    fuzz(trial, 300, records.BASELINES, records.baseline)


def test_filters(trial: Trial) -> None:
    trial("filters of a search, `colour=red` and `price<=10`")
    fuzz(trial, 300, texts.FILTERS, texts.filtered)


def test_store_urls(trial: Trial) -> None:
    trial("URLs of a store")
    fuzz(trial, 250, texts.URLS, texts.connect)


def test_stored_cells(trial: Trial, tmp_path: Path) -> None:
    trial("a cell of the store in which something else stands: everything is read")
    spoiling = records.Spoiling(full_store(tmp_path / "full.db"))
    fuzz(trial, 150, records.CELLS, spoiling.survives)
