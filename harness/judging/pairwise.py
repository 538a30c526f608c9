"""A judge that compares an answer with another one, in both orders.

Zheng et al. 2023, Judging LLM-as-a-Judge (https://arxiv.org/abs/2306.05685), section 3.4: a win
counts only where it stands in both orders.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.calls import CallSettings, Provider
from harness.calls.loop import drained
from harness.components import Completion, Sample, Score, Unscored
from harness.data.samples import no_column, required, text_in
from harness.data.tables import Row, read_table
from harness.errors import DataError
from harness.fingerprint import digest
from harness.judging.ballots import Ballot, spent, tallied
from harness.judging.examiner import Examiner
from harness.judging.prompt import Field
from harness.judging.rubric import Option, Question, Rubric
from harness.judging.settings import PairwiseSettings

_TASK = "You compare two answers to a question, strictly and fairly."
_FIELDS = "the question, reference answers if there are any, and two answers, A and B"
_INSTRUCTIONS = (
    "Which of the two comes first is chance and says nothing about them. Length, politeness and "
    "confidence earn nothing by themselves."
)


class PairwiseJudge:
    """A judge over a provider: 1 for a win in both orders, 0 for a loss in both, else 0.5.

    Parts: `first` and `second`, what the answer got (1, 0.5, 0) when it was shown first and
    second; `flipped`, 1 where these differ. Its mean is the flip rate. A pair with one order that
    has no verdict is unscored. Two answers of the same text are a tie, and nothing is asked.

    Args:
        provider: The model.
        settings: Inherits `PairwiseSettings` and `CallSettings`, or `calls` gives the latter.
        calls: How calls are made.

    Raises:
        DataError: for a table of answers that cannot be used.
        PluginError: for a temperature or seed that the model does not take.
    """

    def __init__(
        self, provider: Provider, settings: PairwiseSettings, calls: CallSettings | None = None
    ) -> None:
        self._examiner = Examiner(
            provider, settings, calls, rubric=_rubric(settings), task=_TASK, fields=_FIELDS
        )
        self._others = None if settings.against == "reference" else _answers(settings)
        self.concurrency = self._examiner.concurrency

    def identity(self) -> Mapping[str, str]:
        """The provider's identity, and digests of how it is asked and of the other answers."""
        against = "reference" if self._others is None else digest(self._others)
        return {**self._examiner.identity(), "against": against}

    async def judge(self, completion: Completion) -> Score:
        """The verdict on a pair, or the cause why there is none.

        Raises:
            HarnessError: when no call can succeed, or the run was stopped.
        """
        other = self._other(completion.sample)
        if other is None:
            said = "the sample has no reference" if self._others is None else "no other answer"
            return Score.missing(Unscored.NO_REFERENCE, f"{said} to compare with")
        if other == completion.text:
            parts = {"first": 0.5, "second": 0.5, "flipped": 0.0}
            return Score(0.5, parts, "both answers are the same text")
        first, second = await drained(
            [
                self._examiner.ballot(self._fields(completion.sample, pair), completion.attempt)
                for pair in ((completion.text, other), (other, completion.text))
            ]
        )
        return self._score(first, second)

    def _score(self, first: Ballot, second: Ballot) -> Score:
        lost = next((b for b in (first, second) if b.unscored is not None), None)
        if lost is not None:
            return spent(Score(None, reason=lost.reason, unscored=lost.unscored), (first, second))
        shown_first, shown_second = (
            tallied(self._examiner.rubric, [ballot]).value or 0.0 for ballot in (first, second)
        )
        shown_second = 1.0 - shown_second
        value = shown_first if shown_first == shown_second else 0.5
        flipped = float(shown_first != shown_second)
        parts = {"first": shown_first, "second": shown_second, "flipped": flipped}
        reason = f"first: {first.reason}; second: {second.reason}"
        return spent(Score(value, parts, reason), (first, second))

    def _fields(self, sample: Sample, pair: tuple[str, str]) -> list[Field]:
        shown = () if self._others is None else sample.references
        return [
            ("question", sample.prompt),
            *(("reference", text) for text in shown),
            ("answer-A", pair[0]),
            ("answer-B", pair[1]),
        ]

    def _other(self, sample: Sample) -> str | None:
        if self._others is None:
            return sample.references[0] if sample.references else None
        return self._others.get(sample.id)


def _rubric(settings: PairwiseSettings) -> Rubric:
    asked = f"Which answer is better? What counts: {settings.criteria}."
    menu = (
        Option("B", 0.0, 0.0, "B is better."),
        Option("tie", 0.5, 0.5, "Neither is better than the other."),
        Option("A", 1.0, 1.0, "A is better."),
    )
    return Rubric((Question("better", "choice", asked, menu),), _INSTRUCTIONS)


def _answers(settings: PairwiseSettings) -> dict[str, str]:
    """The other answers by the samples' ids; an empty cell of a CSV file is an empty answer.

    A row of `harness export` whose completion failed is no answer.
    """
    found: dict[str, str] = {}
    for row in read_table(settings.against):
        name = required(row, settings.against_id)
        if name in found:
            raise DataError(f"{row.where}: the id {name!r} is there twice; keep one answer each")
        if row.values.get("finish") != "error":
            found[name] = _answer(row, settings.against_answer)
    return found


def _answer(row: Row, column: str) -> str:
    if column not in row.values:
        raise DataError(f"{row.where}: {no_column(column, row.values)}")
    return text_in(row, column, row.values[column]) or ""
