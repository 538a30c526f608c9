"""A comparison as GitHub-flavoured Markdown, and as HTML for a notebook."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from harness.comparison.figures import MINUS, brief, of_suites, score_text, unscored_text, written
from harness.comparison.report import certificate_lines

if TYPE_CHECKING:
    from harness.comparison.gate import Outcome
    from harness.comparison.results import Comparison, Moved, Result, Suite

_HEADS = ("p", "Holm", "n", "higher", "same", "lower", "detectable")
_TEXT = 300
_MARKS = re.compile(r"[\\`*_\[\]#|~@$]|:(?=//)|(?<=www)\.", re.IGNORECASE)


def as_markdown(comparison: Comparison, outcomes: Sequence[Outcome] = ()) -> str:
    """Gates, tables, what moved and notes; what a model wrote stays text."""
    several = len(comparison.suites) > 1
    blocks = ["## Comparison", *_gates(outcomes)]
    blocks += [_heading(suite, several) for suite in comparison.suites]
    for suite, first, other, results in of_suites(comparison.results):
        blocks += [f"### {_plain(suite)}"] if several else []
        blocks.append(_table(first, other, results))
    blocks += [_moved(result, several) for result in comparison.results if result.moved]
    blocks += map(_listed, certificate_lines(comparison))
    blocks.append("\n".join(f"- {_plain(note)}" for note in comparison.notes))
    return "\n\n".join(block for block in blocks if block) + "\n"


def as_html(comparison: Comparison) -> str:
    """The tables as HTML."""
    from harness.report import html_table

    parts = []
    for suite, first, other, results in of_suites(comparison.results):
        sides = next(s.sides for s in comparison.suites if s.name == suite)
        caption = f"{suite}: {other} ({sides[other].name}) {MINUS} {first} ({sides[first].name})"
        parts.append(html_table(_headings(first, other), map(_cells, results), caption))
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in comparison.notes)
    return "".join(parts) + (f"<ul>{notes}</ul>" if notes else "")


def _gates(outcomes: Sequence[Outcome]) -> Iterator[str]:
    if outcomes:
        failed = sum(outcome.failed for outcome in outcomes)
        yield f"**{failed} of {len(outcomes)} gates failed**" if failed else "**All gates passed**"
        yield "\n".join(f"- {_plain(outcome.told)}" for outcome in outcomes)


def _heading(suite: Suite, several: bool) -> str:
    lines = [f"**{_plain(suite.name)}**", ""] if several else []
    for letter, side in suite.sides.items():
        causes = [
            f"{label} {unscored_text(scored.unscored)}"
            for label, scored in side.scored.items()
            if scored.unscored
        ]
        unscored = f", unscored: {'; '.join(causes)}" if causes else ""
        told = f"{side.name}, {side.source}, {side.rows} rows{unscored}"
        lines.append(f"- {letter}: {_plain(told)}")
    return "\n".join(lines)


def _headings(first: str, other: str) -> list[str]:
    return ["scorer", first, other, f"{other} {MINUS} {first}", "95 % interval", *_HEADS, "p by"]


def _cells(result: Result) -> list[str]:
    c = written(result)
    means = c.scorer, c.first, c.other, c.difference, c.interval
    return [*means, c.p, c.p_holm, c.n, c.better, c.same, c.worse, c.detectable, c.test]


def _table(first: str, other: str, results: Iterable[Result]) -> str:
    heads = _headings(first, other)
    rule = ["---", *("--:" for _ in heads[1:])]
    rows = [[_plain(cell) for cell in _cells(result)] for result in results]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, rule, *rows])


def _moved(result: Result, several: bool) -> str:
    suite = f"{result.suite}: " if several else ""
    title = f"{suite}{result.scorer}, {result.other} {MINUS} {result.first}: moved most"
    rows = "\n".join(_moved_row(moved) for moved in result.moved)
    head = f"| sample | asked | {result.first} | {result.other} | scores |\n|---|---|---|---|--:|"
    return f"<details><summary>{_escaped(title)}</summary>\n\n{head}\n{rows}\n\n</details>"


def _moved_row(moved: Moved) -> str:
    one, two = moved.texts
    asked = one or two
    texts = (asked.prompt if asked else "", one.answer if one else "", two.answer if two else "")
    cells = [_plain(moved.sample), *(_plain(brief(text, _TEXT)) for text in texts)]
    change = f"{score_text(moved.first)} → {score_text(moved.other)}"
    return f"| {' | '.join([*cells, change])} |"


def _listed(lines: Sequence[str]) -> str:
    head, *details = map(_plain, lines)
    return "\n".join([f"- {head}", *(f"  - {line}" for line in details)])


def _plain(text: str) -> str:
    """Text in one line that Markdown takes for nothing else: no mark-up, link, mention or cell."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return _MARKS.sub(lambda found: f"&#{ord(found[0])};", _escaped(line))


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)
