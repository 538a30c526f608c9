"""What samescore wrote and reads again: cards, baselines, the cells of a store."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from harness.comparison.baseline import read_baseline, write_baseline
from harness.comparison.certificate import certificates
from harness.comparison.results import Suite
from harness.comparison.sides import Scored, Side
from harness.store import Store
from harness.training import card
from tests.trust.fuzz_files import READ, REFUSED
from tests.trust.fuzzing import DEEP, TEXTS, folder, mutated, raw_or, refused

CARD = {
    "training": "abc", "name": "n", "trainer": {"name": "ppo", "label": "ppo", "settings": {}},
    "scorers": {"exact": {"label": "exact", "fingerprint": "f", "weight": 1.0, "name": "match"}},
    "samples": {"n": 3, "digest": "d"}, "held_out": {"n": 0, "digest": ""}, "seed": 0, "use": "x",
}  # fmt: skip
_ANY = st.one_of(
    TEXTS, st.none(), st.integers(), st.floats(), st.booleans(), DEEP, st.just([]), st.just({})
)


@st.composite
def _spoilt(draw: st.DrawFn, right: object) -> bytes:
    """A JSON document with one of its values, at any depth, replaced or gone."""
    return json.dumps(_spoil(draw, right)).encode()


def _spoil(draw: st.DrawFn, value: object) -> object:
    if isinstance(value, dict | list) and value and draw(st.integers(0, 4)):
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = draw(st.sampled_from(keys))
        copy = value.copy()
        if draw(st.integers(0, 5)):
            copy[key] = _spoil(draw, value[key])
        else:
            del copy[key]
        return copy
    return draw(_ANY)


CARDS = st.one_of(_spoilt(CARD), mutated(st.just(json.dumps(CARD).encode())))


def read_card(data: bytes) -> str:
    """`samescore.json` beside a model: as the start of a training, and as what certifies a run."""
    with folder() as here:
        (here / card.NAME).write_bytes(data)
        line = refused(lambda: card.read(here), here)
        refused(lambda: list(certificates(_graded(here))))
        return REFUSED if line else READ


def _graded(model: Path) -> Suite:
    scored = Scored(np.array([0.5]), {}, {"fingerprint": "f", "name": "match"})
    settings = {"settings": {"model": str(model)}}
    side = Side("n", "x", "s", ["a"], {"exact": scored}, 1, samples="d", generator=settings)
    return Suite("s", {"n": side}, {})


_SIDE = {
    "suite": "s", "name": "n", "source": "x", "rows": 2, "samples": "d", "generator": {},
    "started": 1.5, "notes": [], "ids": ["a", "b"], "clusters": [], "contents": ["1", "2"],
    "scorers": {"exact": {"description": {"name": "match"}, "unscored": {"refusal": 1},
                          "values": [0.5, None]}},
}  # fmt: skip
BASELINE = {"samescore_baseline": 1, "suites": [_SIDE]}
BASELINES = st.one_of(_spoilt(BASELINE), mutated(st.just(json.dumps(BASELINE).encode())))


def baseline(data: bytes) -> str:
    """A baseline of `harness compare`, and the same one written."""
    with folder() as here:
        path = here / "baseline.json"
        path.write_bytes(data)
        if refused(lambda: read_baseline(path), path):
            return REFUSED
        found = read_baseline(path)
        write_baseline(here / "again.json", list(found.values()))
        assert [list(s.ids) for s in read_baseline(here / "again.json").values()] == [
            list(s.ids) for s in found.values()
        ]
    return READ


_TABLES = {
    "runs": ["config", "provenance", "process", "status", "total", "started"],
    "samples": ["prompt", "refs", "metadata"],
    "completions": ["text", "finish", "usage", "details", "latency_s", "attempt"],
    "scores": ["value", "parts", "usage", "credit", "calls", "unscored", "reason"],
    "calls": ["usage", "tokens", "outcome", "text"],
    "trainings": ["config", "provenance", "process"],
    "training_steps": ["metrics", "examples"],
    "measurements": ["config", "figures"],
    "meta": ["value"],
}
_PLACES = [(table, column) for table, columns in _TABLES.items() for column in columns]
CELLS = st.tuples(
    st.sampled_from(_PLACES),
    st.one_of(
        raw_or(
            st.sampled_from([b"{}", b"[]", b'{"a": 1}', b"[[0, 1, 0.5]]", b'{"input_tokens": 1}'])
        ),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        _ANY.map(lambda value: json.dumps(value).encode()),
    ),
    st.booleans(),
)


class Spoiling:
    """A store of which one cell after the other is spoilt, read, and made good again."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._whole = file.read_bytes()

    def survives(self, case: tuple[tuple[str, str], object, bool]) -> str:
        (table, column), value, as_text = case
        if isinstance(value, bytes) and as_text:
            value = value.decode("utf-8", "replace")
        self._file.write_bytes(self._whole)
        with contextlib.closing(sqlite3.connect(self._file, isolation_level=None)) as db:
            try:
                db.execute(f"UPDATE {table} SET {column} = ?", (value,))
            except sqlite3.IntegrityError:
                return "refused by the database"
        lines = [refused(lambda: _read_all(self._file), self._file)]
        return REFUSED if any(lines) else READ


def _read_all(file: Path) -> None:
    with Store(file, readonly=True) as store:
        for run in store.runs():
            for row in store.rows(run):
                assert row.completion.sample.id
            list(store.columns.scores(run, list(run.scorers.values())))
        for training in store.trainings.all():
            list(store.trainings.steps(training.id))
        store.measurements.all()
        store.calls.spent()
