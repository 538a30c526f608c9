"""A comparison as people and programs read it: text of 80 columns, and JSON values."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from harness.comparison.figures import (
    MINUS,
    brief,
    of_suites,
    score_text,
    unscored_text,
    written,
)

if TYPE_CHECKING:
    from harness.comparison.certificate import Certificate
    from harness.comparison.results import Comparison, Moved, Result, Suite

_WIDTH = 80
_MOVED = 3  # the results whose samples are shown
_STATES = {
    "trained on": "the very scorers of its reward",
    "part of reward": "inside its reward",
    "watched": "watched in training, not in its reward",
    "other version": "another version was in training",
    "never seen": "never seen in training",
}


def as_text(comparison: Comparison) -> str:
    """The whole comparison, 80 columns wide as far as names allow."""
    several = len(comparison.suites) > 1
    blocks = [_heading(suite, several) for suite in comparison.suites]
    for suite, first, other, results in of_suites(comparison.results):
        title = f"{suite}, {other} {MINUS} {first}\n" if several else ""
        blocks.append(title + _differences(first, other, results))
        blocks.append(_counts(first, other, results))
    moved = [result for result in comparison.results if result.moved]
    blocks += [_moved(result, several) for result in moved[:_MOVED]]
    if len(moved) > _MOVED:
        blocks.append(f"… and of {len(moved) - _MOVED} more: --score NAME, or --json")
    blocks += map(_certificate, certificate_lines(comparison))
    blocks.append("\n".join(_wrapped(f"note: {note}") for note in comparison.notes))
    return "\n\n".join(block for block in blocks if block)


def as_dict(comparison: Comparison) -> dict[str, object]:
    """The comparison as JSON-like values; what is not known is null."""
    return {
        "suites": [_suite_dict(suite) for suite in comparison.suites],
        "results": [
            {**flat(result), "moved": [_moved_dict(m) for m in result.moved]}
            for result in comparison.results
        ],
        "certificates": [asdict(certificate) for certificate in comparison.certificates],
        "notes": list(comparison.notes),
        "options": asdict(comparison.options),
    }


def flat(result: Result) -> dict[str, object]:
    """A result as one flat record."""
    d = result.difference
    return {
        "suite": result.suite,
        "scorer": result.scorer,
        "first": result.first,
        "other": result.other,
        "mean_first": result.mean_first,
        "mean_other": result.mean_other,
        "difference": d.mean,
        "low": d.low,
        "high": d.high,
        "se": d.se,
        "p": d.p,
        "p_holm": result.p_holm,
        "test": result.test,
        "n": d.n,
        "clusters": d.clusters,
        "wins": d.wins,
        "ties": d.ties,
        "losses": d.losses,
        "detectable": result.detectable,
        "common": result.common,
        "lacking_first": result.lacking[0],
        "lacking_other": result.lacking[1],
    }


def certificate_lines(comparison: Comparison) -> Iterator[list[str]]:
    """What training had to do with the scorers, for sides of which it says the same: a head first.

    Each line after it is of one state, with the scorers that are in it.
    """
    alike: dict[Certificate, list[str]] = {}
    for certificate in comparison.certificates:
        alike.setdefault(replace(certificate, side=""), []).append(certificate.side)
    for certificate, sides in alike.items():
        head = f"{certificate.suite}: " if len(comparison.suites) > 1 else ""
        told = f"{head}{', '.join(sides)} trained by {', from '.join(certificate.trainings)}"
        lines = [told + (f"; graded on {certificate.rows}" if certificate.rows else "")]
        states: dict[str, list[str]] = {}
        for claim in certificate.claims:
            detail = f" ({claim.detail})" if claim.detail else ""
            states.setdefault(claim.state, []).append(claim.scorer + detail)
        found = [state for state in _STATES if state in states]
        lines += [f"{_STATES[state]}: {', '.join(states[state])}" for state in found]
        if certificate.ungraded:
            lines.append(f"in its reward, not graded here: {', '.join(certificate.ungraded)}")
        yield [*lines, certificate.note] if certificate.note else lines


def _certificate(lines: Sequence[str]) -> str:
    head, *details = lines
    return "\n".join([_wrapped(head), *(_wrapped(f"  {line}", "    ") for line in details)])


def _heading(suite: Suite, several: bool) -> str:
    lines = [suite.name] if several else []
    for name, side in suite.sides.items():
        rows = f"{side.rows} rows" + (f", {len(side.ids)} samples" * (side.rows != len(side.ids)))
        lines.append(_wrapped(f"{name}  {side.name} · {side.source} · {rows}", "   "))
        unscored = [
            f"{label} {unscored_text(scored.unscored)}"
            for label, scored in side.scored.items()
            if scored.unscored
        ]
        if unscored:
            lines.append(_wrapped(f"   unscored: {'; '.join(unscored)}", "     "))
    return "\n".join(lines)


def _differences(first: str, other: str, results: Sequence[Result]) -> str:
    from harness.report import plain_table

    cells = [written(result) for result in results]
    heads = ["scorer", first, other, f"{other} {MINUS} {first}", "95 % interval", "p", "Holm"]
    rows = [(c.scorer, c.first, c.other, c.difference, c.interval, c.p, c.p_holm) for c in cells]
    return plain_table(heads, rows, width=_WIDTH)


def _counts(first: str, other: str, results: Sequence[Result]) -> str:
    from harness.report import plain_table

    cells = [(written(result), result.lacking) for result in results]
    n = "n/clusters" if any(r.clusters is not None for r in results) else "n"
    heads = ["scorer", "p by", n, f"{other} higher", "same", "lower", "detectable"]
    rows = [[c.scorer, c.test, c.n, c.better, c.same, c.worse, c.detectable] for c, _ in cells]
    if any(any(lacking) for _, lacking in cells):
        heads.append(f"no score {first}, {other}")
        for row, (_, lacking) in zip(rows, cells, strict=True):
            row.append(f"{lacking[0]}, {lacking[1]}")
    return plain_table(heads, rows, left=2, width=_WIDTH)


def _moved(result: Result, several: bool) -> str:
    suite = f"{result.suite}: " if several else ""
    lines = [_wrapped(f"{suite}{result.scorer}, {result.other} {MINUS} {result.first}: moved most")]
    for moved in result.moved:
        change = f"{score_text(moved.first)} → {score_text(moved.other)}"
        lines.append(f"  {brief(moved.sample, _WIDTH - len(change) - 4)}  {change}")
        lines += [f"    {line}" for line in _texts(moved, result)]
    return "\n".join(lines)


def _texts(moved: Moved, result: Result) -> Iterator[str]:
    one, two = moved.texts
    asked = one or two
    if asked and asked.prompt:
        yield f"asked: {brief(asked.prompt, _WIDTH - 11)}"
    for name, text in ((result.first, one), (result.other, two)):
        if text:
            yield f"{name:>5}: {brief(text.answer, _WIDTH - 11)}"


def _suite_dict(suite: Suite) -> dict[str, object]:
    return {
        "name": suite.name,
        "sides": {
            letter: {
                "name": side.name,
                "source": side.source,
                "rows": side.rows,
                "samples": len(side.ids),
                "unscored": {label: dict(s.unscored) for label, s in side.scored.items()},
                "scorers": {label: s.fingerprint for label, s in side.scored.items()},
            }
            for letter, side in suite.sides.items()
        },
        "pairs": [
            {
                "first": first,
                "other": other,
                "common": len(matched.first),
                "only_first": matched.only_first,
                "only_other": matched.only_other,
                "changed": matched.changed,
            }
            for (first, other), matched in suite.matched.items()
        ],
    }


def _moved_dict(moved: Moved) -> Mapping[str, object]:
    one, two = moved.texts
    asked = one or two
    return {
        "sample": moved.sample,
        "first": moved.first,
        "other": moved.other,
        "prompt": asked.prompt if asked else None,
        "answer_first": one.answer if one else None,
        "answer_other": two.answer if two else None,
    }


def _wrapped(text: str, indent: str = "  ") -> str:
    return textwrap.fill(
        text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
