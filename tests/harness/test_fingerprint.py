"""Fingerprints: the same for the same content, whatever way it was written down."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import Sample
from harness.fingerprint import code_digest, differences, digest, file_digest, sample_digest

_JSON: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(value=_JSON)
def test_a_digest_survives_json(value: object) -> None:
    assert digest(json.loads(json.dumps(value))) == digest(value)


@given(value=st.dictionaries(st.text(), st.integers(), min_size=2))
def test_the_order_of_keys_is_no_content(value: dict[str, int]) -> None:
    assert digest(dict(reversed(value.items()))) == digest(value)


@given(a=_JSON, b=_JSON)
def test_other_content_has_another_digest(a: object, b: object) -> None:
    same = json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    assert (digest(a) == digest(b)) is same


def test_a_tuple_is_a_list_and_a_set_has_no_order() -> None:
    assert digest((1, "a")) == digest([1, "a"])
    assert digest({"a", "b", "c"}) == digest({"c", "b", "a"})


def test_half_a_surrogate_pair_has_a_digest() -> None:
    assert digest("\ud800") != digest("\ud801")


def test_the_content_of_a_sample_is_all_but_its_id() -> None:
    one = Sample("a", "p", ("r",), {"k": 1})
    assert sample_digest(one) == sample_digest(Sample("b", "p", ("r",), {"k": 1}))
    others = [
        Sample("a", "q", ("r",), {"k": 1}),
        Sample("a", "p", ("r", "r"), {"k": 1}),
        Sample("a", "p", ("r",), {"k": "1"}),
        Sample("a", "p", ("r",)),
    ]
    assert len({sample_digest(s) for s in [one, *others]}) == 5


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    assert file_digest(tmp_path / "a") == known


def test_the_digest_of_code_is_that_of_the_whole_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "fp_package"
    package.mkdir()
    (package / "__init__.py").write_text("from fp_package import _inner\n")
    (package / "_inner.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    __import__("fp_package")
    try:
        before = code_digest("fp_package._inner")
        assert before == code_digest("fp_package")
        (package / "_inner.py").write_text("x = 2\n")
        code_digest.cache_clear()
        assert code_digest("fp_package") != before
    finally:
        for name in ("fp_package", "fp_package._inner"):
            sys.modules.pop(name, None)
    assert code_digest("no_such_module") == ""


def test_differences_name_the_keys_within_and_show_values_in_brief() -> None:
    old = {"a": {"b": 1, "c": [1], "fingerprint": "x"}, "d": 1, "f": "short"}
    new = {"a": {"b": 2, "c": [1], "fingerprint": "y"}, "e": {"reference": "match"}, "f": "l" * 40}
    assert differences(old, new) == [
        "a.b: 1 → 2",
        "d: 1 → nothing",
        "e: nothing → match",
        f"f: short → {'l' * 12}…",
    ]
    assert differences(old, old) == []


def test_long_arrays_that_differ_in_the_middle_have_different_digests() -> None:
    one, other = np.zeros(5000), np.zeros(5000)
    other[2500] = 1
    assert digest({"weights": one}) != digest({"weights": other})


def test_a_module_of_a_namespace_package_is_digested_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "spacey" / "rouge"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "_score.py").write_text("A = 1")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("spacey.rouge")
    code_digest.cache_clear()
    before = code_digest("spacey.rouge")
    (package / "_score.py").write_text("A = 2")
    code_digest.cache_clear()
    assert code_digest("spacey.rouge") != before
