"""What a reader of a comparison must know beside its figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.comparison.matching import Matched, changes
from harness.comparison.results import Result, Suite
from harness.comparison.sides import Side

_MANY = 0.1
_FEW_CLUSTERS = 20


def notes(suites: Sequence[Suite], results: Sequence[Result]) -> Iterator[str]:
    """One line each; suites are named where there are several."""
    for suite in suites:
        head = f"{suite.name}: " if len(suites) > 1 else ""
        for side in suite.sides.values():
            yield from (head + note for note in side.notes)
        for (first, other), matched in suite.matched.items():
            names = f"{first} and {other}"
            pair = suite.sides[first], suite.sides[other]
            yield from (head + note for note in _unmatched(first, other, matched))
            yield from (head + note for note in _scorers(names, *pair, results))
        for result in results:
            if result.suite == suite.name:
                yield from (head + note for note in _doubts(result))


def _unmatched(first: str, other: str, matched: Matched) -> Iterator[str]:
    alone = ((first, matched.only_first), (other, matched.only_other))
    told = [f"{count} only in {name}" for name, count in alone if count]
    if told:
        common = f"{first} and {other} have {len(matched.first)} samples in common"
        yield f"{common}; {' and '.join(told)}, left out"
    if matched.changed:
        how = "compared all the same" if matched.kept else "left out"
        yield (
            f"{matched.changed} ids stand for another prompt or reference in {other} than in "
            f"{first}: {how}"
        )


def _scorers(names: str, one: Side, two: Side, results: Sequence[Result]) -> Iterator[str]:
    """Those that differ and were compared all the same, and those that one side lacks."""
    for label in one.scored:
        changed = changes(one, two, label, label) if label in two.scored else []
        if changed:
            yield f"{label} is not the same scorer in {names}: {'; '.join(changed)}"
    compared = {result.scorer for result in results}
    alone = [label for label in (*one.scored, *two.scored) if label not in compared]
    if alone:
        yield f"not compared, as only one of {names} has it: {', '.join(dict.fromkeys(alone))}"


def _doubts(result: Result) -> Iterator[str]:
    what = f"{result.scorer}, {result.other} − {result.first}"
    n, d = result.difference.n, result.difference
    lacking = max(result.lacking)
    if lacking > _MANY * (n + lacking):
        side = result.first if result.lacking[0] == lacking else result.other
        yield (
            f"{what}: {lacking} of {result.common} common samples have no score in {side}; the "
            "difference is of the others"
        )
    if d.p is None:
        yield f"{what}: one {'cluster' if d.clusters else 'sample'} tells nothing of chance"
    elif d.clusters is not None and d.clusters < _FEW_CLUSTERS:
        yield f"{what}: {d.clusters} clusters are few; its interval may be somewhat too narrow"
