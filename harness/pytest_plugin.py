"""The pytest plugin: the `evaluate` fixture, and what `harness run` adds to a report.

It is loaded in every pytest run where samescore is installed, so it imports nothing heavy and
prints nothing until a test uses the fixture.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from inspect import isroutine
from typing import TYPE_CHECKING

import pytest

from harness.errors import HarnessError, UnscoredError

if TYPE_CHECKING:
    from harness.components import Sample
    from harness.evaluation import Evaluation
    from harness.store.measurements import MeasurementRecord
    from harness.testing.faults import FaultServer
    from harness.testing.vertex import VertexEmulator

BELOW_THRESHOLD = 10
TOO_MUCH_UNSCORED = 11
_RESULTS = pytest.StashKey[list["Evaluation"]]()
_PROPERTY = "samescore"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options under one prefix; `harness run` gives them shorter names."""
    group = parser.getgroup("samescore")
    group.addoption("--samescore-store", metavar="URL", help="where evaluations are recorded")
    group.addoption("--samescore-limit", type=int, metavar="N", help="take only N samples")
    group.addoption("--samescore-rows", action="append", metavar="GLOB", help="take these samples")
    group.addoption("--samescore-report-json", metavar="FILE", help="write results as JSON")
    group.addoption("--samescore-max-unscored", type=float, metavar="SHARE", help="0.1")
    group.addoption("--samescore-executor", metavar="REF", help="where the work is done: local")
    group.addoption("--samescore-json-to", type=int, metavar="N", help="file number, for JSON")


@pytest.fixture
def evaluate(request: pytest.FixtureRequest) -> Callable[..., Evaluation]:
    """Evaluate samples, as `harness.evaluate` does, under the options of this run.

    What the command line says goes before what the test does. The run is named after the test.
    What it gives is reported at the end.
    """
    _bridge(request.config)
    results = request.node.stash.setdefault(_RESULTS, [])

    def run(samples: Sequence[Sample], **options: object) -> Evaluation:
        from harness.engine import evaluate

        settings = {"name": request.node.nodeid, **options, **_given(request.config)}
        with _progress(request.config):
            evaluation = evaluate(samples, **settings)
        results.append(evaluation)
        return evaluation

    return run


@pytest.fixture
def record_measurement(request: pytest.FixtureRequest) -> Callable[..., MeasurementRecord]:
    """Keep figures that are no scores, in the store where evaluations of this run go.

    Called with a `kind`, a `config` (what was measured, and how) and `figures`, JSON values by
    name, it gives the record. That is named after the test, unless `name` says otherwise.
    """

    def record(
        kind: str, *, config: Mapping[str, object], figures: Mapping[str, object], name: str = ""
    ) -> MeasurementRecord:
        from harness.store import Store
        from harness.store.measurements import measured

        found = measured(name or request.node.nodeid, kind, config=config, figures=figures)
        with Store(request.config.getoption("samescore_store")) as store:
            store.measurements.add(found)
        return found

    return record


@pytest.fixture
def fault_server() -> Generator[Callable[..., FaultServer]]:
    """Servers with the shapes and the faults of OpenAI and Anthropic; closed after the test.

    Called with what `harness.testing.faults.FaultServer` takes, it gives one that serves.
    """
    from harness.testing.faults import FaultServer

    with contextlib.ExitStack() as stack:
        yield lambda *faults, **options: stack.enter_context(FaultServer(*faults, **options))


@pytest.fixture
def vertex_emulator() -> Generator[Callable[..., VertexEmulator]]:
    """Emulators of Vertex AI Vector Search; closed after the test.

    Called with the fields of `harness.testing.vertex.VertexEmulatorSettings`, it gives one that
    serves.
    """
    from harness.testing.vertex import vertex_emulator

    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(vertex_emulator(**options))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach results to the report, and say in one line what the user can mend."""
    report = yield
    if not _is_ours(item):
        return report
    results = item.stash.get(_RESULTS, [])
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, HarnessError):
        report.longrepr = f"{type(error).__name__}: {error}"
    if call.when == "call" or isinstance(error, HarnessError):
        failed = isinstance(error, AssertionError)
        shown = {
            "problem": _problem(error),
            "runs": [e.as_dict() for e in results],
            "rows": [line for e in results for line in _lowest(e)] if failed else [],
        }
        report.user_properties.append((_PROPERTY, shown))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """What the user can mend is one line also where a file asks for it while it is imported."""
    report = yield
    call = getattr(report, "call", None)
    error = call.excinfo.value if call and call.excinfo else None
    if isinstance(error, HarnessError):
        report.longrepr = f"{type(error).__name__}: {error}"
    return report


def pytest_configure(config: pytest.Config) -> None:
    """Collect results on the side where reports arrive, which with xdist is not the workers'."""
    if not hasattr(config, "workerinput"):
        if (number := config.getoption("samescore_json_to")) is not None:
            os.set_inheritable(number, False)  # who reads it would wait for our children, too
        config.pluginmanager.register(_Reporter(config), "samescore-reporter")


class _Reporter:
    """Gathers the results of a session for its end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._results: list[dict[str, object]] = []
        self._interrupted = False

    def pytest_keyboard_interrupt(self) -> None:
        self._interrupted = "harness.engine" in sys.modules

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, value in report.user_properties:
            if name == _PROPERTY and isinstance(value, dict):
                head = {"benchmark": report.nodeid, "outcome": report.outcome}
                self._results.append({**head, **value})

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Turn the exit code into one that says what failed, and tell observers."""
        names = ("samescore_report_json", "samescore_json_to")
        if not self._results and all(self._config.getoption(name) is None for name in names):
            return
        problems = {str(result["problem"]) for result in self._results}
        if session.exitstatus == pytest.ExitCode.TESTS_FAILED:
            codes = [code for problem, code in _CODES.items() if problem in problems]
            session.exitstatus = codes[0] if codes else session.exitstatus
        ordered = sorted(self._results, key=lambda result: str(result["benchmark"]))
        if not self._tell({"exit_code": int(session.exitstatus), "benchmarks": ordered}):
            session.exitstatus = session.exitstatus or _CODES["input"]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show every result in one table, and the rows that failed a threshold."""
        if self._interrupted:
            terminalreporter.write_line("What was recorded stays; the same command goes on from it")
        if not any(result["runs"] for result in self._results):
            return
        from harness.loader import default_plugins
        from harness.report import results_table

        terminalreporter.section("samescore")
        runs = self._of_all("runs")
        if runs:
            terminalreporter.write_line(results_table(runs))
            store = self._config.getoption("samescore_store")
            more = f" --store {store}" if store else ""
            terminalreporter.write_line(f"The rows: harness show {runs[-1]['run']}{more}")
        for result in self._results:
            for line in result["rows"] if isinstance(result["rows"], list) else ():
                terminalreporter.write_line(f"lowest rows of {result['benchmark']}: {line}")
        for failure in default_plugins().failures:
            terminalreporter.write_line(f"broken plugin {failure.plugin}: {failure.error}")

    def _of_all(self, key: str) -> list[dict[str, object]]:
        lists = [result[key] for result in self._results]
        return [run for runs in lists if isinstance(runs, list) for run in runs]

    def _tell(self, report: dict[str, object]) -> bool:
        """Tell observers; whether what the user asked for was written."""
        from harness.building import Plugin
        from harness.loader import default_plugins
        from harness.report import JsonReport, JsonStream

        with contextlib.suppress(HarnessError):  # each benchmark has said so
            _bridge(self._config)
        plugins, asked = default_plugins(), Plugin("report-json")
        file = self._config.getoption("samescore_report_json")
        number = self._config.getoption("samescore_json_to")
        writers: list[JsonReport | JsonStream] = [JsonReport(file)] if file else []
        writers += [] if number is None else [JsonStream(number)]
        for writer in writers:
            plugins.add(writer, asked)
        plugins.tell("harness_report", report=report)
        for writer in writers:
            plugins.remove(writer)
        return not any(failure.plugin == asked for failure in plugins.failures)


_CODES = {"input": 2, "unscored": TOO_MUCH_UNSCORED, "threshold": BELOW_THRESHOLD}


def _is_ours(item: pytest.Item) -> bool:
    """Whether a test uses this plugin's fixture, and not another one of the same name."""
    known = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    return any(found.func.__module__ == __name__ for found in known.get("evaluate", ())[-1:])


def _problem(error: BaseException | None) -> str:
    if isinstance(error, UnscoredError):
        return "unscored"
    if isinstance(error, HarnessError):
        return "input"
    return "threshold" if isinstance(error, AssertionError) else ""


def _lowest(evaluation: Evaluation, count: int = 5) -> list[str]:
    """The rows with the lowest values of each scorer, and those without one first."""
    lines: list[str] = []
    for label in evaluation.summaries:
        worst = sorted(evaluation.values(label), key=lambda v: (v.value is not None, v.value))
        shown = ", ".join(
            f"{v.sample_id} ({v.unscored if v.value is None else f'{v.value:.4f}'})"
            for v in worst[:count]
        )
        lines.append(f"{label}: {shown}")
    return lines


def _given(config: pytest.Config) -> dict[str, object]:
    names = ("store", "limit", "rows", "max_unscored", "executor")
    options = {name: config.getoption(f"samescore_{name}") for name in names}
    return {name: value for name, value in options.items() if value is not None}


def _bridge(config: pytest.Config) -> None:
    """A suite's conftest.py may implement harness hooks as it does pytest's."""
    from harness.building import Plugin
    from harness.loader import default_plugins

    for name, module in config.pluginmanager.list_name_plugin():
        members = getattr(module, "__dict__", {}).values()
        if any(isroutine(m) and hasattr(m, "harness_impl") for m in list(members)):
            default_plugins().add(module, Plugin(name))


@contextlib.contextmanager
def _progress(config: pytest.Config) -> Generator[None]:
    capture = config.pluginmanager.getplugin("capturemanager")
    quiet = config.get_verbosity() < 0 or hasattr(config, "workerinput")
    if quiet or capture is None:
        yield
        return
    from harness.progress import shown

    with capture.global_and_fixture_disabled(), shown(sys.stderr):
        yield
