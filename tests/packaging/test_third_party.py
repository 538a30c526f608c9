"""The road of a third party: one module and one entry point, outside of this project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

MODULE = '''
"""A rewarder, a generator and an observer, as the how-to for authors of plugins has them."""

import os
from dataclasses import dataclass

from harness import Completion, Component, Score, hookimpl


@dataclass(frozen=True)
class ShoutSettings:
    """Settings of `shout`."""

    times: int = 1
    """How many exclamation marks."""


class Shout:
    def __init__(self, settings):
        self.marks = "!" * settings.times

    def generate(self, samples, *, attempt=0):
        return [Completion(s, s.prompt.upper() + self.marks, attempt=attempt) for s in samples]


class Loudness:
    def __init__(self, settings):
        pass

    def score(self, completions):
        return [Score(sum(map(str.isupper, c.text)) / max(len(c.text), 1)) for c in completions]


@hookimpl
def harness_generators():
    yield Component("shout", build=Shout, settings=ShoutSettings, summary="says it louder")


@hookimpl
def harness_rewarders():
    yield Component("loudness", build=Loudness, summary="the share of capitals")


@hookimpl
def harness_completion_scored(scorer, completion, score):
    with open(os.environ["ACME_LOG"], "a") as log:
        print(scorer, completion.text, score.value, file=log)
    if os.environ.get("ACME_BREAKS"):
        raise RuntimeError("the dashboard is down")
'''

BROKEN = {
    "import": ("import no_such_package", "ModuleNotFoundError: No module named"),
    "exit": ("raise SystemExit(7)", "SystemExit: 7"),
    "misspelt": ("@hookimpl\ndef harness_reward(): yield", "unknown hook 'harness_reward'"),
    "signature": ("@hookimpl\ndef harness_rewarders(config): yield", "{'config'}"),
    "unmarked": ("def harness_rewarders(): yield", "not marked with @hookimpl"),
    "wrapper": ("@hookimpl(wrapper=True)\ndef harness_rewarders(): yield", "is a wrapper"),
    "garbage": ("@hookimpl\ndef harness_rewarders(): yield 'x'", "gave 'x'"),
    "midway": ("@hookimpl\ndef harness_models():\n yield from ()\n 1 / 0", "ZeroDivisionError"),
}


class Site:
    """A folder of distributions, laid down as conda does, and a shell that has it on its path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.env = {**os.environ, "PYTHONPATH": str(folder), "ACME_LOG": str(self.log)}

    def lay(self, distribution: str, code: str, version: str = "1.4") -> None:
        module = distribution.replace("-", "_")
        (self.folder / f"{module}.py").write_text(textwrap.dedent(code))
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        head = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        (info / "METADATA").write_text(head)
        name = distribution.partition("-")[2]
        (info / "entry_points.txt").write_text(f"[samescore]\n{name} = {module}\n")

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            env={**self.env, **env},
            cwd=self.folder,
            capture_output=True,
            text=True,
        )

    def harness(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return self.run("-m", "harness", *arguments, **env)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "answers.csv").write_text("answer\nHEY\nno\n")
    found = Site(tmp_path)
    found.lay("acme-shout", MODULE)
    return found


SCORE = ["score", "answers.csv", "--completion", "answer", "--scorer"]


def test_one_module_and_one_entry_point_add_a_rewarder_a_generator_and_an_observer(
    site: Site,
) -> None:
    listed = json.loads(site.harness("plugins", "--json").stdout)
    ours = {c["name"]: c for c in listed["components"] if c["distribution"] == "acme-shout"}
    assert {name: c["role"] for name, c in ours.items()} == {
        "shout": "generator",
        "loudness": "rewarder",
    }
    assert ours["shout"]["version"] == "1.4"
    assert ours["shout"]["settings"] == [
        {"name": "times", "type": "int", "default": "1", "doc": "How many exclamation marks."}
    ]
    code = """
        from harness import Sample, evaluate
        samples = [Sample("a", "hey"), Sample("b", "you")]
        result = evaluate(samples, generator="shout:times=3", scorers=["loudness"])
        print(result["loudness"].mean)
    """
    done = site.run("-c", textwrap.dedent(code))
    assert (done.stdout, done.stderr) == ("0.5\n", "")
    assert site.log.read_text() == "loudness HEY!!! 0.5\nloudness YOU!!! 0.5\n"


def test_the_command_line_uses_it_by_name(site: Site) -> None:
    done = site.harness(*SCORE, "loudness", "--scorer", "acme-shout/loudness")
    assert done.returncode == 0, done.stderr
    assert "0.5000" in done.stdout
    assert "acme-shout/loudness" in done.stdout


def test_broken_ones_are_named_with_distribution_and_version_and_take_nothing_down(
    site: Site,
) -> None:
    for number, (name, (code, _)) in enumerate(BROKEN.items()):
        site.lay(f"bad-{name}", f"from harness import hookimpl\n{code}\n", f"0.{number}")
    listed = site.harness("plugins")
    assert listed.returncode == 1
    assert listed.stderr == ""
    for number, (name, (_, told)) in enumerate(BROKEN.items()):
        (line,) = [x for x in listed.stdout.splitlines() if f" {name} (bad-{name} 0.{number})" in x]
        assert line.startswith("BROKEN  ")
        assert told in line
    for name in ("match", "recorded", "loudness", "shout"):
        assert f" {name} " in listed.stdout
    done = site.harness(*SCORE, "loudness")
    assert done.returncode == 0
    assert "0.5000" in done.stdout
    assert "broken plugin import (bad-import 0.0)" in done.stderr
    assert "Traceback" not in done.stderr
    blocked = [part for name in BROKEN for part in ("--no-plugin", name)]
    assert site.harness(*blocked, "plugins").returncode == 0
    assert site.harness("plugins", HARNESS_NO_PLUGIN=",".join(BROKEN)).returncode == 0


def test_one_name_of_two_distributions_must_be_qualified(site: Site) -> None:
    site.lay("rival-shout", MODULE, "9")
    done = site.harness(*SCORE, "loudness")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    for part in ("acme-shout/loudness", "rival-shout/loudness", "(rival-shout 9)"):
        assert part in done.stderr
    assert site.harness(*SCORE, "rival-shout/loudness").returncode == 0
    site.lay("more-louder", MODULE.replace("loudness", "more"), "9")
    assert site.harness("--no-plugin", "shout", *SCORE, "more").returncode == 0


@pytest.mark.parametrize(
    ("build", "told"),
    [
        ("import no_such", "needs no_such: pip install 'acme-heavy[all]'"),
        ("raise RuntimeError('no GPU\\nhere')", "cannot be built: RuntimeError: no GPU here"),
        ("return object()", "the rewarder 'heavy' must have score(…)"),
    ],
    ids=["extra", "raises", "object"],
)
def test_a_component_that_was_asked_for_fails_in_one_line(
    site: Site, build: str, told: str
) -> None:
    code = f"""
        from harness import Component, hookimpl

        def build(settings):
            {build}

        @hookimpl
        def harness_rewarders():
            yield Component("heavy", build=build, requires="acme-heavy[all]")
    """
    site.lay("acme-heavy", code)
    assert site.harness("plugins").returncode == 0, "nothing is built to be listed"
    done = site.harness(*SCORE, "heavy")
    assert done.returncode == 2
    assert done.stderr.startswith("harness: error: ")
    assert done.stderr.count("\n") == 1
    assert told in done.stderr


def test_an_observer_that_breaks_is_dropped_once_and_named(site: Site) -> None:
    done = site.harness(*SCORE, "loudness", ACME_BREAKS="1")
    assert done.returncode == 0
    assert "0.5000" in done.stdout
    assert done.stderr.count("shout (acme-shout 1.4)") == 1
    assert "RuntimeError: the dashboard is down" in done.stderr
    assert len(site.log.read_text().splitlines()) == 1


def test_the_trace_names_each_call_of_a_plugin(site: Site) -> None:
    done = site.harness(*SCORE, "loudness", HARNESS_TRACE="1")
    assert done.returncode == 0
    calls = [line for line in done.stderr.splitlines() if line.startswith("[harness] shout")]
    assert sum("harness_completion_scored(" in line for line in calls) == 2
    assert any("harness_rewarders()" in line for line in calls)
