"""`harness calibrate`: compare a scorer's verdicts with labels that people gave."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli._telling import print_json, tell
from harness.cli._types import count, share
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.calibration import Calibration, Labels
    from harness.calibration.gate import Condition
    from harness.cli._types import Commands

_FAILED = 10


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "calibrate",
        help="compare a scorer with people",
        description="Compare the verdicts of a judge, or of any other scorer, with labels in a "
        "file: agreement with intervals, consistency, and where it leans. Exits with 10 if a "
        "--fail-if holds.",
    )
    add = parser.add_argument
    add("--judge", required=True, metavar="REF", help="the judge or other scorer")
    add("--labels", required=True, metavar="FILE", help="the table with answers and labels")
    add("--completion", required=True, metavar="COLUMN", help="the column with the answers")
    add(
        "--label",
        action="append",
        required=True,
        metavar="COLUMN",
        help="a column with a rater's labels; repeatable",
    )
    add("--prompt", metavar="COLUMN", help="the column with the questions")
    add("--reference", action="append", default=[], metavar="COLUMN", help="references; repeatable")
    add("--id", metavar="COLUMN", help="the column with the ids (row numbers)")
    add("--cluster", metavar="COLUMN", help="rows with the same value here are resampled together")
    _add_scales(parser)
    add("--repeats", type=count, default=1, metavar="N", help="ask the judge N times (1)")
    add("--ordinal", action="store_true", help="Krippendorff's alpha by order, not by distance")
    add(
        "--fail-if",
        action="append",
        default=[],
        metavar="CONDITION",
        help="exit with 10 if it holds, as in 'kappa<0.6' or 'kappa.low<0.5'; repeatable",
    )
    add("--json", action="store_true", help="print JSON")
    add("--store", metavar="URL", help="a file or database URL to record in")
    add("--limit", type=count, metavar="N", help="take only the first N rows")
    add("--max-unscored", type=share, default=0.1, metavar="SHARE", help="share allowed (0.1)")
    parser.set_defaults(command=run)


def _add_scales(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    scale = parser.add_mutually_exclusive_group()
    scale.add_argument(
        "--scale", metavar="LOW:HIGH[:STEP]", help="the labels' scale (what they span)"
    )
    scale.add_argument("--choices", metavar="A,B,…", help="labels that are words, lowest first")
    add("--part", default="", metavar="NAME", help="compare this part of the score, not its value")
    add(
        "--value-range",
        metavar="LOW:HIGH",
        help="what of the judge's numbers to lay on the scale (0:1; for a part the scale)",
    )


def run(options: argparse.Namespace) -> int:
    """Judge, compare, and say whether it is good enough."""
    from harness.calibration import calibrate
    from harness.calibration.gate import parse_condition
    from harness.calibration.scale import parse_range
    from harness.progress import shown

    conditions = [parse_condition(text) for text in options.fail_if]
    given = options.value_range
    value_range = parse_range(given, "--value-range") if given else None
    labels = _read(options)
    with shown():
        calibration = calibrate(
            labels,
            options.judge,
            part=options.part,
            value_range=value_range,
            repeats=options.repeats,
            ordinal=options.ordinal,
            store=options.store,
            max_unscored=options.max_unscored,
            name=f"calibrate {Path(options.labels).name} by {options.judge.partition(':')[0]}",
        )
    _print(calibration, conditions, as_json=options.json)
    return _FAILED if any(c.fails(calibration) for c in conditions) else 0


def _read(options: argparse.Namespace) -> Labels:
    from harness.calibration import Columns, read_labels
    from harness.calibration.scale import parse_scale

    columns = Columns(
        completion=options.completion,
        labels=tuple(options.label),
        prompt=options.prompt,
        references=tuple(options.reference),
        id=options.id,
        cluster=options.cluster,
    )
    twice = [name for name in columns.labels if columns.labels.count(name) > 1]
    if twice:
        raise HarnessError(f"--label {twice[0]} is given twice; a column is one rater")
    return read_labels(
        options.labels,
        columns,
        scale=parse_scale(options.scale) if options.scale else None,
        choices=_choices(options.choices),
        limit=options.limit,
    )


def _choices(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    choices = tuple(choice.strip() for choice in text.split(","))
    if len(set(choices)) < max(2, len(choices)) or "" in choices:
        raise HarnessError(f"--choices is {text!r}; name two or more, each once: bad,ok,good")
    return choices


def _print(calibration: Calibration, conditions: list[Condition], *, as_json: bool) -> None:
    from harness.calibration.report import as_dict, as_text

    if not as_json:
        tell(as_text(calibration))
        for condition in conditions:
            tell(condition.told(calibration))
        return
    gates = [{"fail_if": str(c), "failed": c.fails(calibration)} for c in conditions]
    print_json({**as_dict(calibration), "gates": gates})
