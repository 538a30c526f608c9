"""Scorers for other libraries' trainers: the same guarded scorer behind the door that they have.

Example:
    from harness.adapters import as_reward_func
    from trl import GRPOTrainer

    GRPOTrainer(model, reward_funcs=[as_reward_func("bertscore:model=minilm")], ...)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from harness.api import scorer as build_scorer
from harness.components import Completion, Judge, Rewarder, Sample
from harness.errors import HarnessError
from harness.guards import GuardedScorer

# What TRL hands over beside the columns of the data set.
_NO_COLUMNS = {"trainer_state", "log_extra", "log_metric", "environments"}


def as_reward_func(
    scorer: str | Rewarder | Judge | GuardedScorer,
    *,
    references: str | Sequence[str] | None = "reference",
    prompt: str | None = None,
    metadata: Sequence[str] = (),
) -> RewardFunction:
    """A scorer as a reward function of TRL, for GRPO, RLOO and what takes the same.

    The function is called with a batch and scores it in one call. It gives a number a completion,
    or None where there is no score, which TRL leaves out; `log_metric` is told how many there
    were, as `unscored/LABEL`. Prompts and completions may be texts, or lists of messages.

    Args:
        scorer: A reference such as `bertscore:model=minilm`, or a scorer of your own.
        references: The column, or columns, with the references: a text or a list of texts a row,
            and None where a row has none. None: there are no references.
        prompt: The column with the sample's prompt; None takes what the model was asked.
        metadata: Columns that become the sample's metadata.

    Raises:
        PluginError: if no such scorer can be built.
        HarnessError: when called, for a column that is missing or holds something else.
    """
    columns = (references,) if isinstance(references, str) else tuple(references or ())
    return RewardFunction(build_scorer(scorer), columns, prompt, tuple(metadata))


class RewardFunction:
    """A scorer that is called as TRL calls reward functions; `__name__` is its label."""

    def __init__(
        self,
        scorer: GuardedScorer,
        references: tuple[str, ...],
        prompt: str | None,
        metadata: tuple[str, ...],
    ) -> None:
        self.scorer = scorer
        self.__name__ = scorer.label
        self._references, self._prompt, self._metadata = references, prompt, metadata

    def __call__(
        self,
        prompts: Sequence[object],
        completions: Sequence[object],
        completion_ids: object = None,
        *,
        log_metric: Callable[[str, float], None] | None = None,
        **columns: object,
    ) -> list[float | None]:
        """The score of each completion, None where there is none."""
        asked = self._column(self._prompt, columns) if self._prompt else prompts
        references = [self._column(name, columns) for name in self._references]
        metadata = {name: self._column(name, columns) for name in self._metadata}
        batch = [
            Completion(
                Sample(
                    str(row),
                    _asked(asked[row]),
                    tuple(text for column in references for text in self._texts(column[row], row)),
                    {name: column[row] for name, column in metadata.items()},
                ),
                _answer(completion),
            )
            for row, completion in enumerate(completions)
        ]
        values = [score.value for score in self.scorer.score(batch)]
        if log_metric is not None:
            log_metric(f"unscored/{self.__name__}", float(values.count(None)))
        return values

    def _column(self, name: str, columns: Mapping[str, object]) -> Sequence[object]:
        column = columns.get(name)
        if isinstance(column, list | tuple):
            return column
        there = ", ".join(sorted(columns.keys() - _NO_COLUMNS)) or "none but the prompts"
        raise HarnessError(
            f"{self.__name__}: the data set has no column {name!r}; its columns: {there}. "
            "Name yours in as_reward_func(references=…), or None where the scorer needs none"
        )

    def _texts(self, cell: object, row: int) -> Sequence[str]:
        """The references in a cell: a text, a list of texts, or none."""
        texts = [] if cell is None else [cell] if isinstance(cell, str) else cell
        if isinstance(texts, list | tuple) and all(isinstance(text, str) for text in texts):
            return texts
        raise HarnessError(
            f"{self.__name__}: row {row} of the batch has the references {cell!r}; "
            "give a text or a list of texts"
        )


def _asked(prompt: object) -> str:
    """The question in a prompt: of messages the only one that is no system's, or else them all."""
    if isinstance(prompt, str):
        return prompt
    messages = _messages(prompt)
    told = [text for role, text in messages if role != "system"]
    return told[0] if len(told) == 1 else "\n".join(f"{role}: {text}" for role, text in messages)


def _answer(completion: object) -> str:
    """What the model said: of messages those of the assistant, so that no tool is rewarded."""
    if isinstance(completion, str):
        return completion
    return "\n".join(text for role, text in _messages(completion) if role == "assistant")


def _messages(conversation: object) -> list[tuple[str, str]]:
    """The role and the text of each message."""
    if not isinstance(conversation, list | tuple):
        raise HarnessError(f"{conversation!r} is neither a text nor a list of messages")
    try:
        return [(str(m["role"]), _content(m.get("content"))) for m in conversation]
    except (AttributeError, KeyError, TypeError) as error:
        raise HarnessError(
            f"{conversation!r} is no list of messages, each with a role and a content"
        ) from error


def _content(content: object) -> str:
    """The text of a message; a list of parts may hold images too, and a call of a tool nothing."""
    if isinstance(content, list | tuple):
        return "".join(str(part.get("text") or "") for part in content)
    return "" if content is None else str(content)
