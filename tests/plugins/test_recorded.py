"""The generator `recorded`: answers that exist already, as they are."""

from __future__ import annotations

import pytest

from harness import Sample, evaluate, generator
from harness.errors import PluginError
from harness.testing import check_generator


def sample(id: str, **metadata: object) -> Sample:  # noqa: A002
    return Sample(id, "prompt", ("yes",), metadata)


def test_answers_are_replayed_in_order() -> None:
    samples = [sample("a", completion="yes"), sample("b", completion=""), sample("c", completion=7)]
    found = check_generator("recorded", samples)
    assert [(c.text, c.finish) for c in found] == [("yes", "stop"), ("", "stop"), ("7", "stop")]


def test_another_column_can_be_named() -> None:
    found = generator("recorded:field=answer").generate([sample("a", answer="no", completion="y")])
    assert found[0].text == "no"


@pytest.mark.parametrize("metadata", [{}, {"completion": None}])
def test_a_sample_without_an_answer_has_failed(metadata: dict[str, object]) -> None:
    found = generator("recorded").generate([sample("a", **metadata)], attempt=2)
    assert (found[0].finish, found[0].text, found[0].attempt) == ("error", "", 2)
    assert found[0].error == "the sample has nothing under 'completion'"


def test_every_attempt_gives_the_same_answer() -> None:
    result = evaluate(
        [sample("a", completion="yes"), sample("b", completion="no")],
        generator="recorded",
        scorers=["match"],
        repeats=2,
    )
    assert [row.completion.text for row in result.rows()] == ["yes", "yes", "no", "no"]
    assert result["match"].mean == 0.5


def test_a_setting_that_it_has_not_is_refused() -> None:
    with pytest.raises(
        PluginError, match=r"recorded has no setting 'fields'; did you mean 'field'"
    ):
        generator("recorded:fields=x")
