"""A study's answers as one HTML file, to be looked at question by question."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness import Evaluation

from .study import BAD, GOOD, REFERENCE, Study


def write(study: Study, evaluations: Mapping[str, Evaluation]) -> Path | None:
    """Write `report.html` beside a seed's models; None where the extra `view` is not installed.

    Raises:
        HarnessError: if the file cannot be written.
    """
    try:
        from harness.viewer import report
        from harness.viewer.reading import Reading
    except ModuleNotFoundError:
        return None
    runs = [evaluations[model].run for model in (REFERENCE, GOOD, BAD)]
    reading = Reading(str(study.store))
    try:
        report.write_report(study.folder / "report.html", report.report_on_runs(reading, runs))
    finally:
        reading.close()
    return study.folder / "report.html"
