"""Measurements in the store: what goes in comes out, the latest last."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.store import Store
from harness.store.measurements import MeasurementRecord, measured

POINTS = [
    {"label": "leaves 0.1", "recall": 0.9, "latency_us": 80.5},
    {"label": "é", "recall": 1.0, "latency_us": 1e-300},
]
RECORD = MeasurementRecord(
    "abc1", "tree", "retrieval", 100.0, {"leaf_size": 500, "by": None}, {"points": POINTS}
)


def test_measurements_come_back_as_they_were_the_latest_last(tmp_path: Path) -> None:
    later = replace(RECORD, id="abd2", opened=time.time())
    with Store(tmp_path / "s.db") as store:
        store.measurements.add(later)
        store.measurements.add(RECORD)
    with Store(tmp_path / "s.db", readonly=True) as store:
        assert store.measurements.all() == [RECORD, later]
        assert store.measurements.get("abc") == RECORD
        assert store.measurements.get("last") == later
        with pytest.raises(HarnessError, match="2 measurements start with 'ab'; write more"):
            store.measurements.get("ab")
        with pytest.raises(HarnessError, match=r"no measurement 'x' in .*; the latest: abc1, abd2"):
            store.measurements.get("x")


def test_a_record_of_the_same_id_is_replaced() -> None:
    with Store("sqlite://") as store:
        store.measurements.add(RECORD)
        store.measurements.add(replace(RECORD, figures={"points": []}))
        (only,) = store.measurements.all()
    assert only.figures == {"points": []}


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        ({"points": [{"recall": math.nan}]}, r"figures\['points'\]\[0\]\['recall'\] is nan"),
        ({1: "one"}, "figures has the key 1, which is no text"),
        ({"points": {1.0}}, r"figures\['points'\] is \{1.0\}, which is no JSON value"),
    ],
)
def test_what_is_no_json_is_refused(figures: dict[str, object], told: str) -> None:
    with Store("sqlite://") as store:
        with pytest.raises(TypeError, match=told):
            store.measurements.add(replace(RECORD, figures=figures))
        assert store.measurements.all() == []


def test_the_same_figures_again_are_another_record() -> None:
    begun = time.time()
    records = [measured("n", "retrieval", config={}, figures={}) for _ in range(100)]
    assert len({record.id for record in records}) == 100
    assert all(len(record.id) == 12 and int(record.id, 16) >= 0 for record in records)
    assert all(begun <= record.opened <= time.time() for record in records)
