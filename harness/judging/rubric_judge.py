"""A judge that grades one answer by a rubric."""

from __future__ import annotations

from collections.abc import Mapping

from harness.calls import CallSettings, Provider
from harness.calls.loop import drained
from harness.components import Completion, Score, Unscored
from harness.judging.ballots import tallied
from harness.judging.examiner import Examiner
from harness.judging.prompt import Field
from harness.judging.rubric import Rubric, load_rubric
from harness.judging.settings import RubricSettings

_TASK = "You grade an answer to a question, strictly and fairly."
_REFERENCES = " Of several references each alone would be a right answer."

NO_REFERENCE = Score.missing(
    Unscored.NO_REFERENCE,
    "the rubric compares with a reference; use rubric=score-free where there is none",
)


def fields_of(rubric: Rubric, completion: Completion) -> list[Field] | None:
    """What a judge by a rubric is shown of a completion; None if it lacks a reference."""
    sample = completion.sample
    if rubric.reference == "required" and not sample.references:
        return None
    shown = () if rubric.reference == "none" else sample.references
    references = [("reference", text) for text in shown]
    return [("question", sample.prompt), *references, ("answer", completion.text)]


class RubricJudge:
    """A judge over a provider: the value in [0, 1], each question's level in `parts` by its name.

    Args:
        provider: The model.
        settings: Inherits `RubricSettings` and `CallSettings`, or `calls` gives the latter.
        calls: How calls are made.

    Raises:
        DataError: for a rubric that cannot be used.
        PluginError: for a method, temperature or seed that the model does not have.
    """

    def __init__(
        self, provider: Provider, settings: RubricSettings, calls: CallSettings | None = None
    ) -> None:
        rubric = load_rubric(settings.rubric)
        free = rubric.reference == "none"
        self._votes = settings.votes
        self._examiner = Examiner(
            provider,
            settings,
            calls,
            rubric=rubric,
            task=_TASK if free else _TASK + _REFERENCES,
            fields=f"the question, {'' if free else 'reference answers if there are any, '}"
            "and the answer",
            method=settings.method,
        )
        self.concurrency = self._examiner.concurrency

    def identity(self) -> Mapping[str, str]:
        """The provider's identity, and digests of the rubric and of how it is put."""
        return self._examiner.identity()

    async def judge(self, completion: Completion) -> Score:
        """The verdict on one answer, or the cause why there is none.

        Raises:
            HarnessError: when no call can succeed, or the run was stopped.
        """
        rubric = self._examiner.rubric
        fields = fields_of(rubric, completion)
        if fields is None:
            return NO_REFERENCE
        first = completion.attempt * self._votes  # repeats are asked for again, not read again
        turns = range(first, first + self._votes)
        return tallied(rubric, await drained([self._examiner.ballot(fields, t) for t in turns]))
