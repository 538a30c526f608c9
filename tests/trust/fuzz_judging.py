"""Labels that people gave, and rubrics."""

from __future__ import annotations

import warnings

from hypothesis import strategies as st

from harness.calibration.labels import Columns, read_labels
from harness.calibration.scale import parse_scale
from harness.judging import load_rubric
from tests.trust.fuzz_files import READ, REFUSED
from tests.trust.fuzz_texts import tomls
from tests.trust.fuzzing import TEXTS, folder, mutated, raw_or, refused

_SCALES = st.one_of(
    st.just(None),
    st.just(None),
    st.sampled_from(
        ["0:5", "0:1:0.1", "-5:5:0", "0:1e9", "0:1e308", "-1e308:1e308:0", "1:1", "a:b"]
    ),
    TEXTS,
)
_LABELS = st.one_of(st.integers(0, 5).map(str), st.floats().map(repr), TEXTS)
_LABEL_FILE = st.lists(st.tuples(TEXTS, _LABELS, _LABELS), max_size=5).map(
    lambda rows: "\n".join(["answer,one,two", *(f"{a!r},{b},{c}" for a, b, c in rows)]).encode(
        "utf-8", "replace"
    )
)
_RIGHT_LABELS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=5
).map(lambda rows: "\n".join(["answer,one,two", *(f"x,{b},{c}" for b, c in rows)]).encode())
LABELS = st.tuples(
    st.one_of(mutated(_RIGHT_LABELS), mutated(_LABEL_FILE)),
    _SCALES,
    st.sampled_from([(), (), ("bad", "good"), ("0", "1", "2", "3")]),
)


def label(given: tuple[bytes, str | None, tuple[str, ...]]) -> str:
    """Labels that people gave, with a scale and choices."""
    data, scale, choices = given
    with folder() as here:
        path = here / "labels.csv"
        path.write_bytes(data)
        found: list[object] = []
        if scale is not None and refused(lambda: found.append(parse_scale(scale))):
            return REFUSED
        on = parse_scale(scale) if scale is not None else None
        columns = Columns("answer", ("one", "two"))
        line = refused(lambda: read_labels(path, columns, scale=on, choices=choices), "labels.csv")
        if line:
            return REFUSED
        labels = read_labels(path, columns, scale=on, choices=choices)
        known = [x for item in labels.items for x in item.labels if x is not None]
        assert all(labels.scale.has(x) for x in known)
        assert len(set(known)) > 1
    return READ


_RUBRIC_KEYS = {
    "": {"reference": ['"required"', '"none"'], "instructions": ['"é"'], "reason_words": ["9"]},
    "[[questions]]": {
        "name": ['"a"'], "kind": ['"predicate"'], "question": ['"q?"'],
        "weight": ["2", "0.5", "1e300"], "yes": ['"y"'], "good": ['"no"'],
    },
    "[[questions]] ": {
        "name": ['"b"'], "kind": ['"choice"'], "question": ['"q?"'],
        "values": ["[0, 1]", "[0.1, 0.9]"], "choices": ['{x = "x", "y z" = "y"}'],
    },
    "[[questions]]  ": {
        "name": ['"c"'], "kind": ['"score"'], "question": ['"q?"'], "weight": ["1e-300"],
    },
    "[questions.levels]": {"0": ['"zero"'], "1": ['"one"'], "-3": ['"less"'], "9999": ['"most"']},
}  # fmt: skip
RUBRIC = b"""reference = "required"
reason_words = 9
[[questions]]
name = "right"
kind = "score"
question = "How right is it?"
[questions.levels]
0 = "wrong"
5 = "right"
[[questions]]
name = "long"
kind = "predicate"
question = "Is it long?"
good = "no"
[[questions]]
name = "kind"
kind = "choice"
question = "How kind is it?"
values = [0, 0.5, 1]
[questions.choices]
rude = "r"
plain = "p"
kind = "k"
"""
RUBRICS = st.one_of(
    mutated(st.just(RUBRIC)),
    tomls(_RUBRIC_KEYS),
    tomls(_RUBRIC_KEYS),
    raw_or(tomls(_RUBRIC_KEYS)),
)


def rubric(data: bytes) -> str:
    """A rubric's file; what it says gives a number from 0 to 1 for every answer."""
    with folder() as here, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = here / "rubric.toml"
        path.write_bytes(data)
        if refused(lambda: load_rubric(str(path)), path):
            return REFUSED
        found = load_rubric(str(path))
        for place in (0, -1):
            shares = {q.name: q.shares_of(q.options[place].answer) for q in found.questions}
            value, _ = found.graded(shares)
            assert 0 <= value <= 1
        assert found.digest == load_rubric(str(path)).digest
    return READ
