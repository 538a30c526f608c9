"""A run, some runs compared, or a training as one file that needs nothing else."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from markupsafe import Markup

from harness.components import Completion, Score
from harness.data.plain import plain
from harness.data.writing import replacing
from harness.errors import DataError
from harness.store.schema import RunRecord, ScoredRow
from harness.store.trainings import TrainingRecord
from harness.viewer.columns import Overview, overview, read_columns
from harness.viewer.origin import Origin, origin
from harness.viewer.pairs import Measured, furthest, measured
from harness.viewer.reading import Reading
from harness.viewer.rendering import STATIC, environment, plotly_file
from harness.viewer.trainings import Curves, curves

if TYPE_CHECKING:
    from harness.comparison import Comparison
    from harness.plots import Plot

T = TypeVar("T")

MOST_BYTES = 10_000_000
SAMPLES = 10_000
_AT_ONCE = 500
_CUTS = (None, 4000, 2000, 1000, 500, 250, 120)
_SCRIPTS = ("theme.js", "plots.js", "report.js")


@dataclass(frozen=True, slots=True)
class SideReport:
    """One run of a report: what a page says of it as a whole; its letter, if there are several."""

    letter: str
    run: RunRecord
    overview: Overview
    origin: Origin


@dataclass(frozen=True, slots=True)
class PairReport:
    """A side compared with the first."""

    measured: tuple[Measured, ...]
    plot: Plot


@dataclass(frozen=True, slots=True)
class Report:
    """All that a report says; `rows` are the samples of its table, of `every` that there are."""

    title: str
    sides: tuple[SideReport, ...]
    pairs: tuple[PairReport, ...]
    certificates: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    training: TrainingRecord | None
    curves: Curves
    labels: tuple[str, ...]
    rows: tuple[list[object], ...]
    every: int
    cut: int | None = None

    @property
    def origin(self) -> Origin | None:
        """Where a training comes from; that of a run is its side's."""
        return origin(self.training) if self.training else None


def report_on_runs(
    reading: Reading, runs: Sequence[RunRecord], *, samples: int = SAMPLES, anyway: bool = False
) -> Report:
    """A report on a run, or on some runs compared with the first.

    Raises:
        HarnessError: if they cannot be compared; `anyway` compares other scorers and samples too.
    """
    letters = [chr(ord("A") + i % 26) for i in range(len(runs))] if len(runs) > 1 else [""]
    sides = tuple(_side(reading, *pair) for pair in zip(letters, runs, strict=True))
    labels = tuple(dict.fromkeys(label for run in runs for label in run.scorers))
    title = " and ".join(dict.fromkeys(_name(run) for run in runs))
    if len(runs) == 1:
        return Report(
            title, sides, (), (), _unfinished(runs[0], sides[0].overview.rows), None, Curves(),
            labels, tuple(_rows(reading, runs[0], labels, samples)), sides[0].overview.rows,
        )  # fmt: skip
    comparison = _compared(reading, runs, anyway)
    from harness.comparison.report import certificate_lines

    matched = len(comparison.suites[0].matched["A", "B"].first)
    return Report(
        title=title,
        sides=sides,
        pairs=tuple(_pairs(comparison)),
        certificates=tuple(tuple(lines) for lines in certificate_lines(comparison)),
        notes=comparison.notes,
        training=None,
        curves=Curves(),
        labels=labels,
        rows=tuple(_compared_rows(reading, runs, comparison, labels, samples)),
        every=matched,
    )


def report_on_training(reading: Reading, training: TrainingRecord) -> Report:
    """A report on a training, with the completions that it recorded."""
    steps = [reading.step(training.id, n) for n in reading.steps_with_examples(training.id)]
    labels = tuple(training.weights)
    rows = [
        _row(f"step {step.step} · {completion.sample.id}", labels, [(completion, scores)])
        for step in steps
        if step
        for completion, scores in step.examples
    ]
    name = training.name.rpartition("::")[2] or training.id
    found = curves(reading, training)
    return Report(name, (), (), (), (), training, found, labels, tuple(rows), len(rows))


def write_report(path: Path, report: Report) -> int:
    """Write a report to a file, whole or not at all; gives its size in bytes.

    Texts are cut where the file would be larger than 10 MB otherwise, and it says so.

    Raises:
        DataError: if the file cannot be written.
    """
    if not path.parent.is_dir():
        raise DataError(f"{path}: the folder {path.parent} does not exist; create it first")
    data = b""
    for limit in _CUTS:
        data = _document(replace(report, cut=limit))
        if len(data) <= MOST_BYTES:
            break
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return len(data)


def _document(report: Report) -> bytes:
    style = "\n".join((STATIC / name).read_text("utf-8") for name in ("viewer.css", "plotly.css"))
    script = "\n".join((STATIC / name).read_text("utf-8") for name in _SCRIPTS)
    drawn = report.curves.plot or report.pairs or any(s.overview.bars for s in report.sides)
    plotly = plotly_file().read_bytes() if drawn else b""
    policy = (
        f"default-src 'none'; script-src {_hash(script.encode())} {_hash(plotly)}; "
        f"style-src {_hash(style.encode())}; img-src data: blob:; base-uri 'none'; "
        "form-action 'none'"
    )
    rows = [_shortened(row, report.cut) for row in report.rows]
    data = {"labels": report.labels, "sides": [s.letter for s in report.sides] or [""],
            "rows": rows}  # fmt: skip
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    html = (
        environment()
        .get_template("report.html")
        .render(
            report=report,
            policy=policy,
            style=Markup(style),
            script=Markup(script),
            data=_packed(text.encode("utf-8", "backslashreplace")),
            plotly=_packed(plotly) if plotly else "",
        )
    )
    return html.encode("utf-8", "backslashreplace")


def _packed(data: bytes) -> str:
    """Compressed, the same each time, as text without any sign that HTML knows."""
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()


def _hash(data: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(data).digest()).decode()}'"


def _side(reading: Reading, letter: str, run: RunRecord) -> SideReport:
    found = overview(read_columns(reading.store, run, threading.Event()))
    return SideReport(letter, run, found, origin(run))


def _compared(reading: Reading, runs: Sequence[RunRecord], anyway: bool) -> Comparison:
    from harness.comparison import compare, stored

    sides = [stored(reading.store, run) for run in runs]
    return compare(*sides, moved=0, allow_different_scorers=anyway, allow_different_samples=anyway)


def _pairs(comparison: Comparison) -> Iterator[PairReport]:
    from harness.comparison.figures import of_suites
    from harness.plots import paired_differences

    for _, _, _, results in of_suites(comparison.results):
        differences = {result.scorer: result.difference for result in results}
        yield PairReport(tuple(map(measured, results)), paired_differences(differences))


def _rows(
    reading: Reading, run: RunRecord, labels: Sequence[str], samples: int
) -> Iterator[list[object]]:
    repeats = run.config.get("repeats", 1) != 1
    for places in _chunks(reading.ordinals(run, 0, samples)):
        for row in reading.rows(run, places):
            attempt = f" · attempt {row.completion.attempt + 1}" if repeats else ""
            name = row.completion.sample.id + attempt
            yield _row(name, labels, [(row.completion, row.scores)])


def _compared_rows(
    reading: Reading,
    runs: Sequence[RunRecord],
    comparison: Comparison,
    labels: Sequence[str],
    samples: int,
) -> Iterator[list[object]]:
    """The samples that moved most by the first scorer, with what each run answered first."""
    suite = comparison.suites[0]
    order = furthest(comparison, comparison.results[0])[:samples]
    ids = [suite.sides["A"].ids[i] for i in suite.matched["A", "B"].first[order].tolist()]
    places = [reading.places(run) for run in runs]
    for some in _chunks(ids):
        found = [_by_id(reading, run, at, some) for run, at in zip(runs, places, strict=True)]
        for sample in some:
            answers = [rows.get(sample) for rows in found]
            told = [(r.completion, r.scores) if r else None for r in answers]
            yield _row(sample, labels, told)


def _by_id(
    reading: Reading, run: RunRecord, places: Mapping[str, int], ids: Sequence[str]
) -> dict[str, ScoredRow]:
    wanted = [places[sample] for sample in ids if sample in places]
    return {row.completion.sample.id: row for row in reading.rows(run, wanted)}


def _row(
    name: str,
    labels: Sequence[str],
    answers: Sequence[tuple[Completion, Mapping[str, Score]] | None],
) -> list[object]:
    """A sample as JSON: its name, prompt and references, and what each side answered."""
    known = next(answer for answer in answers if answer)[0].sample
    told = [
        None
        if answer is None
        else [
            answer[0].text,
            answer[0].error if answer[0].finish == "error" else None,
            [_verdict(answer[1].get(label)) for label in labels],
        ]
        for answer in answers
    ]
    return [name, known.prompt, list(known.references), told]


def _verdict(score: Score | None) -> object:
    if score is None:
        return None
    value = str(score.unscored) if score.value is None else score.value
    credit = [[c.start, c.end, c.value] for c in score.credit]
    full: list[object] = [value, score.reason, plain(score.parts), credit]
    while len(full) > 1 and not full[-1]:
        full.pop()
    return full


def _shortened(row: list[object], limit: int | None) -> object:
    """A row whose texts are cut; credit goes on counting from their beginning."""

    def cut(value: object) -> object:
        if isinstance(value, str):
            return value if limit is None or len(value) <= limit else value[:limit] + " …"
        if isinstance(value, list):
            return [cut(item) for item in value]
        return value

    return cut(row)


def _chunks(found: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(found), _AT_ONCE):
        yield found[start : start + _AT_ONCE]


def _unfinished(run: RunRecord, rows: int) -> tuple[str, ...]:
    if run.status == "finished" and rows == run.total:
        return ()
    return (f"The run is {run.status}: {rows} of {run.total} rows are recorded.",)


def _name(run: RunRecord) -> str:
    return run.name.rpartition("::")[2] or run.id
