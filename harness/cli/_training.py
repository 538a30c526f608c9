"""What `harness show` tells of a training."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from harness.cli._telling import origin, print_json, print_row, tell
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.components import TrainingStep
    from harness.overoptimisation import Overoptimisation
    from harness.store import Store
    from harness.store.trainings import TrainingRecord

_ROWS = 10
_WRAP = textwrap.TextWrapper(
    80, subsequent_indent=" " * 10, break_long_words=False, break_on_hyphens=False
)
_COLUMNS = 8
# The columns of the table, as far as there is room; then comes what else the trainer reports.
_FIRST = (
    "reward",
    "loss",
    "score/",
    "kl",
    "entropy",
    "response_tokens",
    "ended",
    "unscored/",
    "tokens_per_s",
)


def show_training(
    record: TrainingRecord, store: Store, examples: int, *, as_json: bool = False
) -> int:
    """Print a training's settings, how its metrics went, and some completions of its last step."""
    steps = store.trainings.steps(record.id)
    if as_json:
        print_json(_as_dict(record, steps))
        return 0
    tell(f"training {record.id} · {record.name or 'unnamed'} · {record.status}")
    for key, text in _facts(record).items():
        tell(_WRAP.fill(f"{key:<9} {text}"))
    if steps:
        tell("\n" + "\n".join(_table(steps)))
        found = _report(record, steps)
        if found and found.watched:
            tell(f"\n{found}")
        tell("\n" + "\n".join(_last(steps[-1])))
    told = next((step for step in reversed(steps) if step.examples), None)
    for completion, scores in told.examples[:examples] if told else ():
        print_row(completion, scores)
    return 0


def _report(record: TrainingRecord, steps: Sequence[TrainingStep]) -> Overoptimisation | None:
    """What the training did to watched scorers; None where it reports no scores."""
    from harness.overoptimisation import analyse

    try:
        return analyse(steps, record.weights, training=record.id, name=record.name)
    except HarnessError:
        return None


def _facts(record: TrainingRecord) -> dict[str, str]:
    config = record.config
    scorers = _mapping(config["scorers"])
    named = [
        f"{label}{_aside(label, _mapping(s))}, weight {_mapping(s)['weight']:g}"
        for label, s in scorers.items()
    ]
    trainer = _mapping(config["trainer"])
    settings = _mapping(trainer.get("settings", {}))
    rows = f"{_mapping(config['samples'])['n']} trained on"
    return {
        "output": record.output,
        "trainer": str(trainer["name"]),
        "settings": ", ".join(f"{key}={value}" for key, value in settings.items()) or "none",
        "scorers": "; ".join(named) or "none",
        "rows": f"{rows}, {_mapping(config['held_out'])['n']} held out",
        "seed": str(config["seed"]),
        **({"select": str(_mapping(config["select"])["by"])} if "select" in config else {}),
        "origin": origin(record.provenance.get("git")),
    }


def _aside(label: str, scorer: Mapping[str, object]) -> str:
    return "" if scorer["reference"] == label else f" ({scorer['reference']})"


def _table(steps: Sequence[TrainingStep]) -> list[str]:
    """A line a step, of steps at even distances; the first and the last are among them.

    There are as many columns as the terminal has room for.
    """
    from harness.report import table_width

    chosen = [steps[i] for i in _evenly(len(steps))]
    names = _columns(steps)
    rows = [["step", *names]]
    rows += [[str(s.step), *(_number(s.metrics.get(name)) for name in names)] for s in chosen]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    ends = accumulate(width + 2 for width in widths)
    widths = [w for w, end in zip(widths, ends, strict=True) if end - 2 <= table_width()]
    return ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=False)) for row in rows]


def _evenly(count: int) -> list[int]:
    if count <= _ROWS:
        return list(range(count))
    return [round(i * (count - 1) / (_ROWS - 1)) for i in range(_ROWS)]


def _columns(steps: Sequence[TrainingStep]) -> list[str]:
    """The metrics that are shown: no counts of what never happened."""
    told = [
        name
        for name in steps[-1].metrics
        if not name.startswith("unscored/") or any(s.metrics.get(name) for s in steps)
        if not _beside(name)
    ]
    ordered = [
        name
        for first in _FIRST
        for name in told
        if name == first or (first.endswith("/") and name.startswith(first))
    ]
    return [*ordered, *(name for name in told if name not in ordered)][:_COLUMNS]


def _last(step: TrainingStep) -> list[str]:
    shown = {name: value for name, value in step.metrics.items() if not _beside(name)}
    told = [f"{name} {_number(value)}" for name, value in shown.items()]
    head = f"step {step.step} of {step.total} took {step.seconds:.1f} s"
    return [head, *textwrap.wrap("; ".join(told), 80, initial_indent="  ", subsequent_indent="  ")]


def _beside(name: str) -> bool:
    """Whether a metric only says how sure another is."""
    return name.partition("/")[0].endswith(("_se", "_n"))


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if 0.001 <= abs(value) < 1000 else f"{value:.4g}"


def _as_dict(record: TrainingRecord, steps: Sequence[TrainingStep]) -> dict[str, object]:
    from harness.data.plain import plain

    found = _report(record, steps)
    return {
        "training": record.id,
        "name": record.name,
        "status": record.status,
        "output": record.output,
        "started": record.started,
        "finished": record.finished,
        "steps": [
            {"step": s.step, "total": s.total, "seconds": s.seconds, "metrics": plain(s.metrics)}
            for s in steps
        ],
        "overoptimisation": plain(found.as_dict()) if found else None,
        "config": record.config,
        "provenance": record.provenance,
    }


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
