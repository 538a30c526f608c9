"""Finding plugins: what is broken is named and left out, and the rest works."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from harness import Component, HarnessError, PluginError, Score, hookimpl
from harness.building import Plugin
from harness.hookspecs import hookimpl as mark
from harness.loader import Plugins
from harness.testing import completion, installed

Install = Callable[..., str]

HEAD = "from harness import Component, Completion, Model, Score, hookimpl\n"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Lays a distribution down as conda does: a module, and a `*.dist-info` beside it."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))

    def lay(distribution: str, code: str, version: str = "1.2", value: str = "") -> str:
        module = distribution.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(HEAD + textwrap.dedent(code), "utf-8")
        info = tmp_path / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        points = f"[samescore]\n{distribution.partition('-')[2]} = {value or module}\n"
        (info / "entry_points.txt").write_text(points)
        importlib.invalidate_caches()
        return module

    yield lay
    for name in set(sys.modules) - before:
        if name.startswith("acme"):
            del sys.modules[name]


def discovered(*blocked: str) -> Plugins:
    plugins = Plugins(blocked)
    plugins.discover()
    return plugins


GOOD = """
    class Length:
        def __init__(self, settings): pass
        def score(self, completions): return [Score(float(len(c.text))) for c in completions]

    @hookimpl
    def harness_rewarders():
        yield Component("howlong", build=Length, summary="how long")
"""


def test_a_distribution_on_the_path_is_found_with_its_version(install: Install) -> None:
    install("acme-length", GOOD)
    plugins = discovered()
    assert not plugins.failures
    assert Plugin("length", "acme-length", "1.2") in plugins.loaded
    built = plugins.build("acme-length/howlong", "rewarder")
    assert built.description["distribution"] == "acme-length"
    assert built.description["version"] == "1.2"
    assert built.instance.score([completion("four")]) == [Score(4.0)]


@pytest.mark.parametrize(
    ("code", "doing", "told"),
    [
        ("import no_such_package", "loading", "ModuleNotFoundError: No module named 'no_such_"),
        ("raise ImportError('old\\nlibrary')", "loading", "ImportError: old library"),
        ("import sys; sys.exit(4)", "loading", "SystemExit: 4"),
        ("def f(:", "loading", "SyntaxError"),
        ("raise RuntimeError", "loading", "RuntimeError"),
        ("def harness_rewarders(): yield 1", "loading", "harness_rewarders is not marked"),
        (
            "@hookimpl\ndef harness_rewarder(): yield 1",
            "loading",
            "unknown hook 'harness_rewarder'",
        ),
        ("@hookimpl\ndef harness_rewarders(config): yield 1", "loading", "{'config'} are declared"),
        ("@hookimpl(wrapper=True)\ndef harness_rewarders(): yield", "loading", "is a wrapper"),
        ("@hookimpl\ndef harness_rewarders(): return None", "harness_rewarders", "not iterable"),
        ("@hookimpl\ndef harness_rewarders(): return 5", "harness_rewarders", "not iterable"),
        ("@hookimpl\ndef harness_rewarders(): return [5]", "harness_rewarders", "gave 5; it must"),
        (
            "@hookimpl\ndef harness_rewarders(): yield Component('', build=len)",
            "harness_rewarders",
            "its name must be",
        ),
        (
            "@hookimpl\ndef harness_rewarders(): yield Component('a b', build=len)",
            "harness_rewarders",
            "'_', '-' and '.'",
        ),
        (
            "@hookimpl\ndef harness_rewarders(): yield Component('x', build=None)",
            "harness_rewarders",
            "`build` must be callable",
        ),
        (
            "@hookimpl\ndef harness_rewarders(): yield Component('x', build=len, settings=dict)",
            "harness_rewarders",
            "`settings` a dataclass",
        ),
        ("@hookimpl\ndef harness_rewarders(): raise OSError('no')", "harness_rewarders", "OSError"),
        (
            "@hookimpl\ndef harness_rewarders():\n  yield from ()\n  exit(5)",
            "harness_rewarders",
            "5",
        ),
    ],
)
def test_a_broken_plugin_is_named_and_the_rest_works(
    install: Install, code: str, doing: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    install("acme-broken", code, version="0.3")
    install("acme-length", GOOD)
    plugins = discovered()
    assert plugins.build("howlong", "rewarder").instance
    assert plugins.build("match", "rewarder").instance
    (failure,) = plugins.failures
    assert failure.plugin == Plugin("broken", "acme-broken", "0.3")
    assert failure.doing == doing
    assert told in failure.error
    assert "\n" not in failure.error
    assert failure.details
    assert "broken (acme-broken 0.3)" in caplog.text


def test_what_a_hook_gave_before_it_broke_can_be_used(install: Install) -> None:
    install("acme-half", GOOD + "        raise ValueError('midway')\n")
    plugins = discovered()
    assert plugins.build("howlong", "rewarder").instance
    assert [f.error for f in plugins.failures] == ["ValueError: midway"]


def test_an_entry_point_that_names_nothing_is_a_broken_plugin(install: Install) -> None:
    install("acme-gone", "", value="acme_gone:plugin")
    install("acme-odd", "", value="not a module!")
    assert {f.plugin.name for f in discovered().failures} == {"gone", "odd"}


def test_a_failure_is_recorded_once_however_often_hooks_are_asked(install: Install) -> None:
    install("acme-broken", "@hookimpl\ndef harness_rewarders(): raise OSError('no')")
    plugins = discovered()
    for _ in range(3):
        extra = SimpleNamespace()
        plugins.add(extra, Plugin("extra"))
        plugins.components("rewarder")
        plugins.remove(extra)
    assert len(plugins.failures) == 1


def test_a_blocked_plugin_is_not_even_imported(install: Install) -> None:
    module = install("acme-exits", "raise SystemExit")
    assert not discovered("exits").failures
    assert module not in sys.modules


def test_two_components_of_one_name_are_both_named_and_can_be_told_apart(
    install: Install,
) -> None:
    install("acme-length", GOOD)
    install("acme-other", GOOD, version="7")
    plugins = discovered()
    with pytest.raises(PluginError) as caught:
        plugins.build("howlong", "rewarder")
    for part in ("acme-length/howlong", "length (acme-length 1.2)", "other (acme-other 7)"):
        assert part in str(caught.value)
    assert "--no-plugin" in str(caught.value)
    assert plugins.build("acme-other/howlong", "rewarder").description["version"] == "7"
    assert discovered("other").build("howlong", "rewarder").description["version"] == "1.2"


def test_an_unknown_name_is_answered_with_the_known_the_nearest_and_the_broken(
    install: Install,
) -> None:
    install("acme-rouge", "import no_such_package")
    plugins = discovered()
    with pytest.raises(PluginError, match=r"did you mean 'match'\? Known: .*bertscore"):
        plugins.build("mathc", "rewarder", "judge")
    with pytest.raises(PluginError, match=r"rouge \(acme-rouge 1.2\) is broken: ModuleNotFound"):
        plugins.build("rouge", "rewarder")
    with pytest.raises(PluginError, match=r"Broken plugins \(see harness plugins\): rouge"):
        plugins.build("zzz", "rewarder")


@pytest.mark.parametrize(
    ("build", "told"),
    [
        ("import no_such_package", "acme needs no_such_package: pip install 'acme[x]'"),
        ("raise ImportError('too old')", "cannot be imported: ImportError: too old"),
        ("raise OSError('no such\\nfile')", "cannot be built: OSError: no such file"),
        ("raise SystemExit(3)", "cannot be built: SystemExit: 3"),
        ("return None", "must have score(…)"),
        ("return type('S', (), {'score': lambda self: []})()", "must have score(…)"),
    ],
)
def test_a_component_that_was_asked_for_and_cannot_be_had_fails_in_one_line(
    install: Install, build: str, told: str
) -> None:
    install(
        "acme-hard",
        f"""
        def build(settings):
            {build}

        @hookimpl
        def harness_rewarders():
            yield Component("acme", build=build, requires="acme[x]")
        """,
    )
    with pytest.raises(PluginError) as caught:
        discovered().build("acme", "rewarder")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_judge_must_be_asynchronous(install: Install) -> None:
    install(
        "acme-judge",
        """
        class Judge:
            def __init__(self, settings): pass
            def judge(self, completion): return Score(1.0)

        @hookimpl
        def harness_judges():
            yield Component("grader", build=Judge)
        """,
    )
    with pytest.raises(PluginError, match="'grader' must have `async def judge"):
        discovered().build("grader", "judge")


def test_of_two_models_of_one_name_the_first_stands_and_the_second_is_named(
    install: Install,
) -> None:
    code = """
    @hookimpl
    def harness_models():
        yield Model("minilm", "other", "other==1", "0" * 64, "model", "MIT", 1)
    """
    install("acme-models", code)
    plugins = discovered()
    models = plugins.models()
    assert models["minilm"] in [m for m in models.values() if m.name == "minilm"]
    (failure,) = plugins.failures
    assert "'minilm' is registered already" in failure.error


class Echoing:
    """A plugin as an object, whose component says which object it is of."""

    def __init__(self, value: float) -> None:
        self.value = value

    @hookimpl
    def harness_rewarders(self) -> Iterator[Component[object]]:
        value = self.value

        class Constant:
            def score(self, completions: list[object]) -> list[Score]:
                return [Score(value) for _ in completions]

        yield Component("constant", build=lambda settings: Constant())


def test_what_was_built_of_a_plugin_goes_with_it() -> None:
    for value in (1.0, 2.0):
        with installed(Echoing(value)) as plugins:
            built = plugins.build("constant", "rewarder")
            assert built.instance.score([None]) == [Score(value)]
            assert plugins.build("constant", "rewarder") is built
    with installed() as plugins, pytest.raises(PluginError, match="no rewarder"):
        plugins.find("constant", "rewarder")


def test_objects_of_one_class_can_come_and_go_in_any_order() -> None:
    plugins = Plugins()
    first, second, third = (SimpleNamespace(n=n) for n in range(3))
    plugins.add(first, Plugin("same"))
    plugins.add(second, Plugin("same"))
    plugins.remove(first)
    plugins.add(third, Plugin("same"))
    assert len(plugins.loaded) == 2


def test_a_plugin_that_is_refused_leaves_nothing_behind() -> None:
    plugins = Plugins()
    wrong = ModuleType("wrong")
    wrong.harness_rewarders = mark(Echoing(1.0).harness_rewarders.__func__)  # type: ignore[attr-defined]
    wrong.harness_typo = mark(lambda: None)  # type: ignore[attr-defined]
    with pytest.raises(PluginError):
        plugins.add(wrong, Plugin("wrong"))
    assert plugins.components("rewarder") == []
    assert plugins.loaded == []
    plugins.add(Echoing(1.0), Plugin("right"))
    assert [r.component.name for r in plugins.components("rewarder")] == ["constant"]


class Observer:
    """An observer that breaks at its second score, and also registers a component."""

    def __init__(self) -> None:
        self.told: list[str] = []

    @hookimpl
    def harness_completion_scored(self, scorer: str) -> None:
        self.told.append(scorer)
        if len(self.told) == 2:
            raise RuntimeError("no more")

    @hookimpl
    def harness_run_finished(self) -> None:
        self.told.append("finished")

    @hookimpl
    def harness_rewarders(self) -> Iterator[Component[object]]:
        yield Component("observed", build=lambda settings: None)


def test_an_observer_that_raises_is_dropped_once_and_its_components_stay() -> None:
    plugins = Plugins()
    breaks, works = Observer(), Observer()
    works.told = ["", ""]
    plugins.add(breaks, Plugin("breaks", "acme", "1"))
    plugins.add(works, Plugin("works"))
    assert plugins.observed("harness_completion_scored")
    for _ in range(4):
        plugins.tell("harness_completion_scored", run=None, scorer="s", completion=None, score=None)
    plugins.tell("harness_run_finished", run=None, evaluation=None)
    assert breaks.told == ["s", "s"]
    assert works.told == ["", "", "s", "s", "s", "s", "finished"]
    assert [(str(f.plugin), f.error) for f in plugins.failures] == [
        ("breaks (acme 1)", "RuntimeError: no more")
    ]
    assert len(plugins.components("rewarder")) == 2
    plugins.remove(works)
    assert not plugins.observed("harness_completion_scored")


def test_the_trace_shows_each_call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HARNESS_TRACE", "1")
    plugins = Plugins()
    plugins.add(Observer(), Plugin("watcher"))
    plugins.tell("harness_completion_scored", run=None, scorer="m", completion=None, score=None)
    assert "watcher#0 harness_completion_scored(" in capsys.readouterr().err


def test_an_interrupt_is_no_failure_of_a_plugin() -> None:
    class Interrupting:
        @hookimpl
        def harness_run_finished(self) -> None:
            raise KeyboardInterrupt

    plugins = Plugins()
    plugins.add(Interrupting(), Plugin("x"))
    with pytest.raises(KeyboardInterrupt):
        plugins.tell("harness_run_finished", run=None, evaluation=None)
    assert issubclass(PluginError, HarnessError)
