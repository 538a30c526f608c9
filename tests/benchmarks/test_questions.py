"""The questions of the suite stdlib_docs: deterministic, plentiful, and fairly split."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from benchmarks.stdlib_docs.questions import questions
from benchmarks.stdlib_docs.similar import SIMILAR, groups, words
from harness import Sample
from harness.fingerprint import digest, sample_digest

_PRINT_DIGEST = """
from benchmarks.stdlib_docs.questions import questions
from harness.fingerprint import digest, sample_digest
print(digest([(s.id, sample_digest(s)) for k in ("train", "test") for s in questions(k)]))
"""


def both() -> tuple[Sample, ...]:
    return questions("train") + questions("test")


@pytest.mark.parametrize("seed", ["1", "2"])
def test_every_process_asks_the_same(seed: str) -> None:
    """Also this one, in which pytest has replaced functions of the standard library."""
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    command = [sys.executable, "-c", _PRINT_DIGEST]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == digest([(s.id, sample_digest(s)) for s in both()])
    assert done.stderr == ""


def test_there_are_thousands_of_questions_and_a_fifth_of_them_is_for_testing() -> None:
    assert len(both()) > 3000
    assert 0.15 < len(questions("test")) / len(both()) < 0.25


def test_ids_and_answers_are_unique() -> None:
    assert len({s.id for s in both()}) == len(both())
    assert len({words(s.references[0]) for s in both()}) == len(both())


def test_an_object_with_several_names_is_asked_about_under_the_best_known() -> None:
    ids = {s.id for s in both()}
    assert {"os.path.join", "len", "str.lower", "socket.socket.connect"} <= ids
    assert not {name for name in ids if name.startswith(("posixpath.", "builtins.", "_"))}


def test_a_question_has_one_answer_of_one_line() -> None:
    for sample in both():
        (answer,) = sample.references
        assert answer == " ".join(answer.split()), sample.id
        assert len(answer.split()) >= 4, sample.id
        assert " at 0x" not in answer, sample.id
        assert sample.prompt == f"What does `{sample.id}` do?"
        assert sample.metadata["kind"] in ("function", "class", "method")


def test_no_answer_of_the_test_split_is_like_one_of_the_training_split() -> None:
    known = [set(words(s.references[0])) for s in questions("train")]
    for sample in questions("test"):
        asked = set(words(sample.references[0]))
        alike = max(len(asked & other) / len(asked | other) for other in known)
        assert alike < SIMILAR, sample.references


def test_the_first_hundred_questions_come_from_many_modules() -> None:
    assert len({s.metadata["module"] for s in questions("test")[:100]}) > 30


def test_likeness_is_passed_on() -> None:
    chain = [tuple("abcdefgh"), tuple("bcdefghi"), tuple("cdefghij"), tuple("vwxyz")]
    assert sorted(map(len, groups(chain))) == [1, 3]
    assert groups(reversed(chain)) == groups(chain)
