"""A scorer as an `evaluate.Metric`, and as a module that `evaluate.load` loads."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import datasets
import evaluate

from harness import Completion, HarnessError, Judge, Rewarder, Sample, scorer
from harness.guards import GuardedScorer

_DESCRIPTION = """The scorer {label} of samescore.

The mean is over what could be scored; what could not is None in `scores`, never zero.
"""
_INPUTS = """
Args:
    predictions: texts.
    references: a text or a list of texts for each prediction.
    prompts: what each prediction answers, for scorers that read it (optional).
"""
_MODULE = '''"""A scorer of samescore, as a metric of evaluate; written by harness_evaluate."""

from harness_evaluate import metric_class

{identifier} = metric_class({reference!r}, {name!r})
'''


def make_class(source: str | Rewarder | Judge | GuardedScorer, name: str) -> type:
    """Make a subclass of `evaluate.Metric` that scores with the given scorer."""
    guarded = scorer(source)
    key = name or identifier(guarded.label)

    def info(_: object) -> object:
        return evaluate.MetricInfo(
            description=_DESCRIPTION.format(label=guarded.label),
            citation="",
            inputs_description=_INPUTS,
            features=[_features(several=True), _features(several=False)],
        )

    def compute(
        _: object,
        predictions: Sequence[str],
        references: Sequence[str | Sequence[str]],
        prompts: Sequence[str] | None = None,
    ) -> dict[str, object]:
        return _result(key, guarded, _completions(predictions, references, prompts))

    members = {"_info": info, "_compute": compute, "fingerprint": guarded.fingerprint}
    return type(identifier(key), (evaluate.Metric,), {**members, "__module__": __name__})


def export(reference: str, directory: Path, name: str) -> Path:
    """Write the module of a scorer; raises HarnessError if it cannot be built or exists."""
    name = identifier(name or scorer(reference).label)
    folder = directory / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = _MODULE.format(reference=reference, identifier=name.title(), name=name)
        with (folder / f"{name}.py").open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise HarnessError(f"cannot write the metric module {folder}: {error}") from error
    return folder


def identifier(label: str) -> str:
    """Give a label as a Python name in lower case: `match:mode=contains` is match_mode_contains."""
    name = re.sub(r"\W+", "_", label.lower()).strip("_")
    return name if name.isidentifier() else f"scorer_{name}"


def _features(*, several: bool) -> datasets.Features:
    text = datasets.Value("string")
    references = datasets.Sequence(text) if several else text
    return datasets.Features({"predictions": text, "references": references})


def _completions(
    predictions: Sequence[str],
    references: Sequence[str | Sequence[str]],
    prompts: Sequence[str] | None,
) -> list[Completion]:
    prompts = prompts if prompts is not None else [""] * len(predictions)
    if len(prompts) != len(predictions):
        raise ValueError(f"{len(prompts)} prompts for {len(predictions)} predictions")
    rows = zip(predictions, references, prompts, strict=True)
    return [
        Completion(Sample(str(i), prompt, _texts(given)), text)
        for i, (text, given, prompt) in enumerate(rows)
    ]


def _texts(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _result(key: str, guarded: GuardedScorer, completions: list[Completion]) -> dict[str, object]:
    scores = guarded.score(completions)
    values = [score.value for score in scores if score.value is not None]
    causes = Counter(str(score.unscored) for score in scores if score.unscored is not None)
    return {
        key: sum(values) / len(values) if values else None,
        "scores": [score.value for score in scores],
        "scored": len(values),
        "unscored": len(scores) - len(values),
        "causes": dict(causes),
    }
