from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.stdlib_docs.nearest import Encoder, NearestQuestion, NearestSettings, build
from benchmarks.stdlib_docs.questions import questions
from harness import HarnessError, Sample
from harness.testing import check_generator


@pytest.fixture(scope="module")
def encoder(minilm: str) -> Encoder:
    return Encoder(Path(minilm))


@pytest.fixture(scope="module")
def nearest(encoder: Encoder) -> NearestQuestion:
    return NearestQuestion(encoder, questions("train")[:100])


def test_a_known_question_gets_its_own_answer(nearest: NearestQuestion) -> None:
    known = questions("train")[:100]
    assert [c.text for c in nearest.generate(known)] == [s.references[0] for s in known]


def test_another_question_gets_the_answer_of_the_one_most_like_it(encoder: Encoder) -> None:
    known = [
        Sample("lion", "Where do lions and tigers live?", ("In the wild.",)),
        Sample("tax", "When are taxes due?", ("In April.",)),
    ]
    asked = [
        Sample("1", "By which day must I pay my taxes?"),
        Sample("2", "Where is a lion found?"),
    ]
    answers = NearestQuestion(encoder, known).generate(asked)
    assert [c.text for c in answers] == ["In April.", "In the wild."]


def test_answers_hang_on_the_question_alone(nearest: NearestQuestion) -> None:
    check_generator(nearest, questions("test")[:10])


def test_identity_tells_what_was_trained_on(nearest: NearestQuestion, encoder: Encoder) -> None:
    same = NearestQuestion(encoder, questions("train")[:100])
    other = NearestQuestion(encoder, questions("train")[1:100])
    assert same.identity() == nearest.identity()
    assert other.identity()["train"] != nearest.identity()["train"]
    assert other.identity()["encoder"] == nearest.identity()["encoder"]


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="holds no model"):
        build(NearestSettings(model=str(tmp_path)))
