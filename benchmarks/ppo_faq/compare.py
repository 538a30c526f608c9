"""Reference, [good] and [bad] compared: what each scorer says of them, row by row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

from harness import Completion, DataError, Evaluation, Score
from harness.stats import Difference, paired

from .study import BAD, GOOD, REFERENCE

PAIRS = {
    f"{GOOD} - {REFERENCE}": (GOOD, REFERENCE),
    f"{REFERENCE} - {BAD}": (REFERENCE, BAD),
    f"{GOOD} - {BAD}": (GOOD, BAD),
}
"""The differences that are taken, each the first less the second."""

SURE = 0.01
"""A difference is one where p is below this."""

ALIKE = 1.25
"""The most by which one model may use more words than another, for their scores to be compared."""

_WORD = re.compile(r"[^\W_]+")
_PARTS = {"words": ("length", "words"), "commas": ("length", "commas")}


@dataclass(frozen=True, slots=True)
class Answers:
    """What one model answered: each measure's mean over attempts, by the sample's id.

    `scores` has the scorers' values, `forms` what the text is like, and `corpus` numbers of all
    answers together. `clusters` names the group of each sample.
    """

    scores: Mapping[str, Mapping[str, float]]
    forms: Mapping[str, Mapping[str, float]]
    corpus: Mapping[str, float]
    texts: Mapping[str, str]
    unscored: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Three models over the same rows.

    `means` are by measure and model; `differences` by scorer and by the names in `PAIRS`.
    `examples` are some rows with an answer of each model.
    """

    rows: int
    attempts: int
    clusters: int | None
    means: Mapping[str, Mapping[str, float]]
    differences: Mapping[str, Mapping[str, Difference]]
    unscored: int
    examples: Sequence[Mapping[str, str]] = ()

    def as_dict(self) -> dict[str, object]:
        """The comparison as JSON-like values."""
        return asdict(self)

    def ratio(self, measure: str, model: str) -> float:
        """How large a model's mean is, as a share of the reference's; NaN where that is 0."""
        whole = self.means[measure][REFERENCE]
        return self.means[measure][model] / whole if whole else float("nan")


def answers(evaluation: Evaluation) -> Answers:
    """What an evaluation of one model says, with the attempts at a sample as one mean."""
    scores: dict[str, dict[str, list[float]]] = {label: {} for label in evaluation.summaries}
    forms: dict[str, dict[str, list[float]]] = {}
    texts: dict[str, str] = {}
    for row in evaluation.rows():
        completion = row.completion
        of = completion.sample.id
        for label, score in row.scores.items():
            if score.value is not None:
                scores[label].setdefault(of, []).append(score.value)
        for name, value in _forms(completion, row.scores).items():
            forms.setdefault(name, {}).setdefault(of, []).append(value)
        if completion.attempt == 0:
            texts[of] = completion.text
    return Answers(
        {label: _means(found) for label, found in scores.items()},
        {name: _means(found) for name, found in forms.items()},
        {"distinct_1": distinct(texts.values(), 1), "distinct_2": distinct(texts.values(), 2)},
        texts,
        sum(summary.unscored for summary in evaluation.summaries.values()),
    )


def compare(evaluations: Mapping[str, Evaluation], examples: int = 3) -> Comparison:
    """Compare the models; rows that a scorer lacks for one of a pair are left out of that pair.

    Raises:
        DataError: if a scorer has no row in common.
    """
    found = {model: answers(evaluation) for model, evaluation in evaluations.items()}
    one = next(iter(evaluations.values()))
    clusters = {v.sample_id: v.cluster for v in one.values(next(iter(one.summaries)))}
    ids = list(found[REFERENCE].texts)
    return Comparison(
        rows=len(ids),
        attempts=one.run.total // len(ids),
        clusters=len(set(clusters.values())) if _clustered(clusters) else None,
        means=_all_means(found),
        differences={
            label: {
                name: _difference(label, found[a], found[b], clusters)
                for name, (a, b) in PAIRS.items()
            }
            for label in found[REFERENCE].scores
        },
        unscored=sum(model.unscored for model in found.values()),
        examples=_examples(evaluations[REFERENCE], found, ids[:examples]),
    )


def distinct(texts: Iterable[str], n: int) -> float:
    """Different groups of `n` words as a share of all such groups (Li et al. 2016); 0 for none."""
    groups: list[tuple[str, ...]] = []
    for words in map(_words, texts):
        groups += [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return len(set(groups)) / len(groups) if groups else 0.0


def copied(question: str, answer: str) -> float:
    """The share of the question's different words that stand in the answer too."""
    asked = set(_words(question))
    return len(asked & set(_words(answer))) / len(asked) if asked else 0.0


def _forms(completion: Completion, scores: Mapping[str, Score]) -> dict[str, float]:
    """What a text is like, as far as it was measured."""
    found = {
        name: scores[label].parts[part]
        for name, (label, part) in _PARTS.items()
        if label in scores and part in scores[label].parts
    }
    found["copied"] = copied(completion.sample.prompt, completion.text)
    found["ended"] = float(completion.finish == "stop")
    return found


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _means(found: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {sample: fmean(values) for sample, values in found.items()}


def _all_means(found: Mapping[str, Answers]) -> dict[str, dict[str, float]]:
    first = found[REFERENCE]
    means: dict[str, dict[str, float]] = {}
    for name in first.scores:
        means[name] = {model: fmean(a.scores[name].values()) for model, a in found.items()}
    for name in first.forms:
        means[name] = {model: fmean(a.forms[name].values()) for model, a in found.items()}
    for name in first.corpus:
        means[name] = {model: a.corpus[name] for model, a in found.items()}
    return means


def _difference(
    label: str, one: Answers, other: Answers, clusters: Mapping[str, str]
) -> Difference:
    ids = [sample for sample in one.scores[label] if sample in other.scores[label]]
    if not ids:
        raise DataError(f"{label} scored no row of both models")
    groups = [clusters[sample] for sample in ids] if _clustered(clusters) else None
    return paired(
        [one.scores[label][sample] for sample in ids],
        [other.scores[label][sample] for sample in ids],
        clusters=groups,
    )


def _clustered(clusters: Mapping[str, str]) -> bool:
    """Whether samples share clusters; repeats of a sample are their own, and a mean here."""
    return any(clusters.values()) and len(set(clusters.values())) < len(clusters)


def _examples(
    evaluation: Evaluation, found: Mapping[str, Answers], ids: Sequence[str]
) -> list[dict[str, str]]:
    chosen = (row.completion for row in evaluation.rows() if row.completion.attempt == 0)
    return [
        {
            "question": completion.sample.prompt,
            "answer": completion.sample.references[0],
            **{model: known.texts[completion.sample.id] for model, known in found.items()},
        }
        for completion in chosen
        if completion.sample.id in ids
    ]


def claims(comparison: Comparison, *, full: bool = True) -> list[str]:
    """What should hold and does not: empty where the study shows what it set out to show.

    Of a full study: [good] above the reference above [bad], by BERTScore and by its part that is
    specific to the question, p below 0.01 each, in answers of about the same length. Of a short
    one: [good] above [bad] by BERTScore.
    """
    steps = list(PAIRS)[:2] if full else list(PAIRS)[2:]
    labels = ("bertscore", "specific") if full else ("bertscore",)
    missed = []
    for label in labels:
        for name in steps:
            found = comparison.differences[label][name]
            if not (found.mean > 0 and found.p is not None and found.p < SURE):
                missed.append(f"{label}: {name} is {found}")
    words = comparison.means["words"]
    if full and not max(words.values()) <= ALIKE * min(words.values()):
        missed.append(f"words: {', '.join(f'{m} {w:.1f}' for m, w in words.items())}")
    return missed
