"""A run as the table that the class LLMEvaluation wrote: its 16 columns, in its order.

Everything comes from the run's record and its rows. What a run does not have is an empty cell:
a generator without a temperature has none, and a scorer that is no model is no judge.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import cast

from harness.components import Score
from harness.errors import HarnessError
from harness.loader import default_plugins
from harness.store.schema import RunRecord, ScoredRow

COLUMNS = (
    "Timestamp",
    "Prompt",
    "Ground Truth",
    "Generated Response",
    "Temperature",
    "Max Tokens",
    "Top P",
    "Frequency Penalty",
    "Presence Penalty",
    "Score",
    "Classification",
    "Model Name",
    "Dataset Size",
    "GPT Eval Model",
    "Scoring Reason",
    "Experiment_ID",
)
_SETTINGS = {
    "Temperature": ("temperature",),
    "Max Tokens": ("max_tokens", "max_new_tokens", "max_completion_tokens", "max_output_tokens"),
    "Top P": ("top_p",),
    "Frequency Penalty": ("frequency_penalty",),
    "Presence Penalty": ("presence_penalty",),
}
_RAW = "score"  # the part in which a rubric's judge keeps the level that it gave


def llm_evaluation_table(
    run: RunRecord, rows: Iterable[ScoredRow], scorer: str | None = None
) -> Iterator[dict[str, object]]:
    """A record a completion, with the keys `COLUMNS`; `scorer` is a label of the run's.

    - Timestamp: when the completion was recorded, `%Y%m%d%H%M%S` in UTC.
    - Ground Truth: the reference; a JSON list where there are several.
    - Score: the part `score`, which is a judge's level on its own scale (0 to 5 by the default
      rubric); the value of a scorer that has no such part.
    - Scoring Reason: the scorer's reason; for what was not scored the cause, and why.
    - Model Name, GPT Eval Model: the setting `model` of the generator and of the scorer.
    - Classification: what the sample's metadata has under `classification`.
    - Dataset Size: the number of samples in the run.

    Raises:
        HarnessError: if it is not clear whose scores are meant; names the scorers there are.
    """
    label = chosen_scorer(run, scorer)
    generator, judge = _part(run, "generator"), _scorers(run)[label]
    of_run: dict[str, object] = {
        **{column: _setting(generator, *names) for column, names in _SETTINGS.items()},
        "Model Name": _model(generator),
        "Dataset Size": run.total // cast(int, run.config["repeats"]),
        "GPT Eval Model": _model(judge) or (judge["reference"] if _is_judge(judge) else None),
        "Experiment_ID": run.id,
    }
    return ({**of_run, **_of_row(row), **_verdict(row.scores.get(label))} for row in rows)


def chosen_scorer(run: RunRecord, label: str | None = None) -> str:
    """The label of the scorer that is meant: this one, the only one, or the only judge.

    Raises:
        HarnessError: if there is none such, or it is not clear which; names those there are.
    """
    scorers = _scorers(run)
    if label is not None:
        found = [s for s in scorers if s == label] or [
            s for s in scorers if s.partition(":")[0] == label
        ]
    else:
        found = (
            list(scorers) if len(scorers) == 1 else [s for s in scorers if _is_judge(scorers[s])]
        )
    if len(found) == 1:
        return found[0]
    there = ", ".join(scorers)
    if label is None:
        raise HarnessError(
            f"run {run.id} has {len(scorers)} scorers; choose one with --scorer: {there}"
        )
    raise HarnessError(f"run {run.id} has no one scorer {label!r}; there are: {there}")


def _of_row(row: ScoredRow) -> dict[str, object]:
    completion, references = row.completion, row.completion.sample.references
    truth = references[0] if len(references) == 1 else json.dumps(references, ensure_ascii=False)
    return {
        "Timestamp": _stamp(row.created),
        "Prompt": completion.sample.prompt,
        "Ground Truth": truth if references else None,
        "Generated Response": None if completion.finish == "error" else completion.text,
        "Classification": completion.sample.metadata.get("classification"),
    }


def _verdict(score: Score | None) -> dict[str, object]:
    if score is None:
        return {"Score": None, "Scoring Reason": None}
    if score.unscored is not None:
        why = f"unscored ({score.unscored}): {score.reason}" if score.reason else ""
        return {"Score": None, "Scoring Reason": why or f"unscored ({score.unscored})"}
    return {"Score": score.parts.get(_RAW, score.value), "Scoring Reason": score.reason or None}


def _stamp(seconds: float | None) -> str | None:
    return (
        None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%d%H%M%S")
    )


def _part(run: RunRecord, name: str) -> Mapping[str, object]:
    return cast(Mapping[str, object], run.config[name])


def _scorers(run: RunRecord) -> Mapping[str, Mapping[str, object]]:
    return cast(Mapping[str, Mapping[str, object]], run.config["scorers"])


def _setting(part: Mapping[str, object], *names: str) -> object:
    """The first of these settings that the component has."""
    settings = cast(Mapping[str, object], part.get("settings", {}))
    return next((settings[name] for name in names if settings.get(name) is not None), None)


def _model(part: Mapping[str, object]) -> object:
    """The model of a component; an object of the user's own is known by its name alone."""
    return _setting(part, "model") or (None if "distribution" in part else part["label"])


def _is_judge(part: Mapping[str, object]) -> bool:
    """Whether a scorer is a judge of a plugin that is installed."""
    judges = default_plugins().components("judge")
    known = {(j.component.name, j.plugin.distribution) for j in judges}
    return (part["name"], part.get("distribution")) in known
