from __future__ import annotations

from collections.abc import Callable

import pytest

_FIGURES = "retrieval"


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes lines of figures, which are shown at the end; with xdist, too."""
    return lambda line: request.node.user_properties.append((_FIGURES, line))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was measured."""
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.getreports(kind)]
    for report in reports:
        lines = [str(line) for name, line in report.user_properties if name == _FIGURES]
        if lines and report.when == "call":
            terminalreporter.section(report.nodeid.rpartition("::")[2], sep="-")
            for line in lines:
                terminalreporter.write_line(line)
