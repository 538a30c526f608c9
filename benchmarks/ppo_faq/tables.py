"""A comparison as plain tables, 100 columns wide at most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from harness.stats import Difference

from .compare import PAIRS, Comparison
from .study import BAD, GOOD, REFERENCE

_NAMES = {
    "bertscore": "BERTScore",
    "specific": "  specific part",
    "layer6": "BERTScore, layer 6",
    "f1": "token F1",
    "f1_specific": "  specific part",
    "relevance": "classifier",
    "reward": "the reward itself",
    "length": "length (guard)",
    "repetition": "repetition (guard)",
    "copy": "copying (guard)",
    "words": "words",
    "commas": "commas",
    "copied": "question's words",
    "ended": "ended by itself",
    "distinct_1": "distinct words",
    "distinct_2": "distinct pairs",
}
_ORDER = tuple(_NAMES)
_RATIOS = ("bertscore", "layer6", "f1", "words", "commas")
_GUARDS = ("length", "repetition", "copy")
_MODELS = (REFERENCE, GOOD, BAD)
_WIDE = 19


def tables(comparison: Comparison) -> str:
    """Means of the three models, then their differences row by row."""
    return "\n\n".join([_means(comparison), _differences(comparison)])


def tables_over_seeds(comparisons: Mapping[int, Comparison]) -> str:
    """Each scorer's differences over the seeds: mean, lowest … highest, and the largest p."""
    shown = list(comparisons.values())
    lines = [_row(f"{len(shown)} seeds", list(PAIRS), 27)]
    for label in _ordered(shown[0].differences):
        if label in _GUARDS:
            continue
        cells = [_spread([c.differences[label][name] for c in shown]) for name in PAIRS]
        lines.append(_row(_name(label), cells, 27))
    words = {model: [c.ratio("words", model) for c in shown] for model in (GOOD, BAD)}
    told = (f"{model}/reference {_range(found, '.2f')}" for model, found in words.items())
    return "\n".join([*lines, "", f"words: {', '.join(told)}"])


def _means(comparison: Comparison) -> str:
    heads = [*_MODELS, f"{GOOD}/ref", f"{BAD}/ref"]
    lines = [_row("means", heads, 11)]
    for name in _ordered(comparison.means):
        found = comparison.means[name]
        ratios = [_ratio(comparison, name, model) for model in (GOOD, BAD)]
        lines.append(_row(_name(name), [_number(found[model]) for model in _MODELS] + ratios, 11))
    return "\n".join(lines)


def _differences(comparison: Comparison) -> str:
    lines = [_row("paired differences", list(PAIRS), 26)]
    for name in _ordered(comparison.differences):
        found = comparison.differences[name]
        lines.append(_row(_name(name), [_difference(found[pair]) for pair in PAIRS], 26))
    return "\n".join(lines)


def _row(head: str, cells: Sequence[str], width: int) -> str:
    return (head.ljust(_WIDE) + "".join(f" {cell:>{width - 1}}" for cell in cells)).rstrip()


def _difference(found: Difference) -> str:
    if found.high is None or found.p is None:
        return f"{found.mean:+.4f}"
    return f"{found.mean:+.4f} ±{found.high - found.mean:.4f} {_p(found.p):>7}"


def _spread(found: Sequence[Difference]) -> str:
    means = [difference.mean for difference in found]
    known = [difference.p for difference in found if difference.p is not None]
    worst = _p(max(known, default=1.0))
    return f"{fmean(means):+.3f} {min(means):.3f}…{max(means):.3f} {worst:>6}"


def _range(values: Sequence[float], form: str) -> str:
    return f"{fmean(values):{form}} ({min(values):{form}} … {max(values):{form}})"


def _p(p: float) -> str:
    return f"p={p:.2f}" if p >= 0.01 else f"{p:.0e}".replace("e-0", "e-")


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"


def _ratio(comparison: Comparison, name: str, model: str) -> str:
    """Only where 0 means none, as of words."""
    if name not in _RATIOS or not comparison.means[name][REFERENCE]:
        return ""
    return f"{comparison.ratio(name, model):.2f}"


def _name(label: str) -> str:
    return _NAMES.get(label, label)[: _WIDE - 1]


def _ordered(labels: Mapping[str, object]) -> list[str]:
    rank = {name: i for i, name in enumerate(_ORDER)}
    return sorted(labels, key=lambda label: rank.get(label, len(rank)))
