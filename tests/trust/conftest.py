"""The trust suite: a test says what it tries, and `make trust` makes docs/trust.md of it."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trust.trial import ROUNDS, SEED, Row, Trial, merged

_ROWS = pytest.StashKey[dict[str, Row]]()


@pytest.fixture
def trial(request: pytest.FixtureRequest) -> Iterator[Trial]:
    """Says what a test tries, how often, and what was lost."""
    place = request.node.nodeid.rpartition("/")[2]
    one = Trial(place)
    print(f"again: make trust ROW='{place}' SEED={SEED} ROUNDS={ROUNDS}")
    failed = request.session.testsfailed
    yield one
    if failed == request.session.testsfailed:
        assert one.tried, "say what is tried: trial('…')"
        assert one.times, "say how often: trial('…', times=1) or trial.rounds()"
    # What a test reports reaches the process that makes the table, wherever the test ran.
    request.node.user_properties.append(("trust", json.dumps(dataclasses.asdict(one))))


def pytest_configure(config: pytest.Config) -> None:
    os.environ["SAMESCORE_TRUST_SEED"] = str(SEED)  # one seed for all processes of pytest-xdist
    config.stash[_ROWS] = {}
    config.pluginmanager.register(_Table(config.stash[_ROWS]), "trust-table")


def pytest_report_header() -> str:
    return f"trust: SEED={SEED} ROUNDS={ROUNDS}"


class _Table:
    """Gathers the rows of the tests that ran, and puts them in the table."""

    def __init__(self, rows: dict[str, Row]) -> None:
        self._rows, self._failed = rows, set[str]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = report.nodeid.rpartition("/")[2].partition("[")[0]
        if report.failed:
            self._failed.add(test)
        told = dict(report.user_properties).get("trust")
        if report.when == "teardown" and told:
            one = json.loads(str(told))
            del one["place"]
            row = Row(test, **one)
            self._rows[test] = self._rows[test] + row if test in self._rows else row

    def pytest_sessionfinish(self) -> None:
        page = os.environ.get("SAMESCORE_TRUST_TABLE")
        if page and not os.environ.get("PYTEST_XDIST_WORKER"):
            rows = {
                name: dataclasses.replace(row, failed=name in self._failed)
                for name, row in self._rows.items()
            }
            file = Path(page)
            file.write_text(merged(file.read_text("utf-8"), rows), "utf-8")
