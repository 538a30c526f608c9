"""A calibration as people and programs read it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from harness.calibration.resampling import DRAWS

if TYPE_CHECKING:
    from harness.calibration.measures import Estimates
    from harness.calibration.resampling import Estimate
    from harness.calibration.run import Calibration

_WIDTH = 80
_FEW = 30
_MEASURES = {
    "kappa": "quadratic kappa",
    "alpha": "Krippendorff α",
    "spearman": "Spearman",
    "exact": "same level",
    "within_1": "within 1 step",
}
_PEOPLE_SHOWN = 12


def as_dict(calibration: Calibration) -> dict[str, object]:
    """Everything that was found, as JSON values."""
    c = calibration
    found: dict[str, object] = {
        "judge": c.judge,
        "run": c.run,
        "part": c.part or None,
        "scale": asdict(c.scale),
        "raters": list(c.raters),
        "n": c.items,
        "clusters": c.clusters,
        "unlabelled": c.unlabelled,
        "repeats": c.repeats,
        "verdicts": c.verdicts,
        "n_unscored": c.unscored,
        "causes": dict(c.causes),
        "alpha_level": "ordinal" if c.ordinal else "interval",
        "judge_human": _estimates(c.agreement.judge),
        "human_human": _estimates(c.agreement.people) if c.agreement.people else None,
        "by_rater": {name: _estimates(of) for name, of in c.agreement.raters.items()},
        "bias": {"value": c.bias.mean, "low": c.bias.low, "high": c.bias.high, "n": c.bias.n},
        "length": {
            "difference": {**c.length.difference.as_dict(), "p": c.length.difference_p},
            "partial": {**c.length.partial.as_dict(), "p": c.length.partial_p},
        },
        "consistency": None,
        "position": None,
        "notes": list(notes(c)),
    }
    if c.consistency:
        named = {"identical": c.consistency.identical, "sd": c.consistency.sd}
        found["consistency"] = _estimates({**named, "alpha": c.consistency.alpha})
    if c.position:
        found["position"] = _estimates({"flips": c.position.flips, "first": c.position.first})
    return found


def as_text(calibration: Calibration) -> str:
    """The same in lines of 80 columns, as far as names allow."""
    c = calibration
    what = f"part {c.part} of {c.judge}" if c.part else c.judge
    head = f"{what} against {', '.join(c.raters)} · run {c.run}", f"scale {c.scale}", counts(c)
    lines = [*map(_wrapped, head), "", _agreement_table(c)]
    lines += ["", "judge − human, in points of the scale"]
    lines.append(f"  mean                {_signed(c.bias.mean, c.bias.low, c.bias.high)}")
    lines += ["", "length bias: rank correlation with the words of the answer"]
    for name, found, p in (
        ("judge − human", c.length.difference, c.length.difference_p),
        ("judge, human held", c.length.partial, c.length.partial_p),
    ):
        chance = f"  p={p:.2g}" if p is not None else ""
        lines.append(f"  {name:<18}  {_signed(found.value, found.low, found.high)}{chance}")
    lines += ["", *_consistency(c), *_position(c)]
    return "\n".join([*lines, *(_wrapped(f"note: {note}") for note in notes(c))])


def counts(c: Calibration) -> str:
    """How much was judged, and what is missing: this stands beside every claim."""
    causes = ", ".join(f"{n} {cause}" for cause, n in c.causes.items())
    asked = f"{c.items} answers" + (f" {c.repeats} times" if c.repeats > 1 else "")
    text = f"judged {asked}: n_unscored={c.unscored} of {c.verdicts}{causes and f' ({causes})'}"
    return text + (f"; {_rows(c.unlabelled)} without a label left out" if c.unlabelled else "")


def notes(c: Calibration) -> Iterable[str]:
    """What one has to know to read the figures rightly."""
    if c.scale.found:
        yield "the scale is what the labels span; give --scale if it goes further"
    if c.clusters < c.items:
        yield f"{c.items} answers in {c.clusters} clusters, which are resampled whole"
    if c.one_level:
        yield "the judge gave every answer the same level: no measure of agreement means much"
    if c.clusters < _FEW:
        yield f"fewer than {_FEW} independent answers: take the intervals for too narrow"
    yield from _undefined("judge", c.agreement.judge)
    yield from _undefined("people", c.agreement.people or {})
    if c.consistency and c.consistency.constant:
        yield (
            "every repeat gave the same number: the scorer is deterministic, or its replies "
            "come from a cache; repeats tell nothing of it"
        )


def _undefined(who: str, estimates: Estimates) -> Iterable[str]:
    for name, found in estimates.items():
        measure = f"{_MEASURES[name]} ({who})"
        if found.value is None:
            yield f"{measure} is undefined: a rater gave one value to every answer"
        elif found.low is None and not found.undefined:
            yield f"{measure} has no interval: every resample gives the same"
        elif found.undefined:
            without = ": too many for an interval" if found.low is None else ", left out"
            yield f"{measure} is undefined in {found.undefined} of {DRAWS} resamples{without}"


def _agreement_table(c: Calibration) -> str:
    judge, people = c.agreement.judge, c.agreement.people
    several = len(c.raters) > 1
    heads = ["agreement", "judge–human" + (" (mean)" if several else "")]
    heads += ["human–human"] if people else []
    rows = [heads]
    for name, title in _MEASURES.items():
        if name in judge:
            title = f"{title} (ordinal)" if name == "alpha" and c.ordinal else title
            rows.append([f"  {title}", *(_shown(of[name]) for of in (judge, people) if of)])
    answers = [next(iter(of.values())).n for of in (judge, people) if of]
    rows.append(["  answers", *map(str, answers)])
    if several:
        rows += [[""], ["quadratic kappa of the judge with", ""]]
        shown = list(c.agreement.raters.items())[:_PEOPLE_SHOWN]
        rows += [[f"  {r}", f"{_shown(of['kappa'])}  n={of['kappa'].n}"] for r, of in shown]
        more = len(c.agreement.raters) - len(shown)
        rows += [[f"  and {more} more: --json has them"]] if more else []
    return _aligned(rows)


def _aligned(rows: list[list[str]]) -> str:
    """Columns of one width, but for a line that stands alone."""
    first = max(len(row[0]) for row in rows if len(row) > 1 and row[1])
    lines = [f"{row[0]:<{first}}" + "".join(f"  {cell:<24}" for cell in row[1:]) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _consistency(c: Calibration) -> list[str]:
    if not c.consistency:
        return ["repeats: judged once; --repeats N tells how consistent it is"]
    found = c.consistency
    return [
        f"{c.repeats} repeats ({_rows(found.identical.n, 'answer')} judged twice or more)",
        f"  same level always   {_shown(found.identical)}",
        f"  SD within an answer {_shown(found.sd)}",
        f"  Krippendorff α      {_shown(found.alpha)}",
    ]


def _position(c: Calibration) -> list[str]:
    if not c.position:
        return ["position bias: does not apply, as the scorer judges no two orders"]
    return [
        "position bias",
        f"  changes with order  {_shown(c.position.flips)}",
        f"  first place wins    {_shown(c.position.first)}  (0.5 is fair)",
    ]


def _wrapped(text: str) -> str:
    return textwrap.fill(
        text, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _shown(found: Estimate) -> str:
    if found.value is None:
        return "–"
    interval = "" if found.low is None else f" [{found.low:.3f}, {found.high:.3f}]"
    return f"{found.value:.3f}{interval}"


def _signed(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:+.3f}" + ("" if low is None else f" [{low:+.3f}, {high:+.3f}]")


def _rows(count: int, what: str = "row") -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"


def _estimates(estimates: Mapping[str, Estimate]) -> dict[str, object]:
    return {name: found.as_dict() for name, found in estimates.items()}
