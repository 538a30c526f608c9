"""A comparison as JUnit's XML, which build servers show: a case for each result."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from harness.comparison.figures import MINUS
from harness.data.writing import replacing

if TYPE_CHECKING:
    from harness.comparison.gate import Outcome
    from harness.comparison.results import Comparison, Result

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(file: str | Path, comparison: Comparison, outcomes: Sequence[Outcome]) -> None:
    """Write a case for each suite, pair and scorer, failed where a gate of it failed.

    Raises:
        DataError: if the file cannot be written.
    """
    root = ElementTree.Element("testsuites", name="harness compare")
    for suite in comparison.suites:
        results = [result for result in comparison.results if result.suite == suite.name]
        failed = [_failures(result, outcomes) for result in results]
        element = ElementTree.SubElement(
            root,
            "testsuite",
            name=_text(suite.name),
            tests=str(len(results)),
            failures=str(sum(map(bool, failed))),
            errors="0",
        )
        for result, failures in zip(results, failed, strict=True):
            _case(element, result, failures)
    with replacing(Path(file)) as temporary:
        ElementTree.ElementTree(root).write(temporary, "utf-8", xml_declaration=True)


def _case(suite: ElementTree.Element, result: Result, failures: Sequence[str]) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=_text(result.suite),
        name=_text(f"{result.scorer}, {result.other} {MINUS} {result.first}"),
    )
    if failures:
        told = _text("\n".join(failures))
        failure = ElementTree.SubElement(case, "failure", message=told.partition("\n")[0])
        failure.text = told
    ElementTree.SubElement(case, "system-out").text = _text(str(result.difference))


def _failures(result: Result, outcomes: Sequence[Outcome]) -> list[str]:
    return [o.told for o in outcomes if o.failed and o.result is result]


def _text(text: str) -> str:
    """Text that XML can hold."""
    return _NOT_XML.sub("\ufffd", text)
