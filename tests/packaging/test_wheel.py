"""The built wheel in a clean environment without torch, with a third-party plugin beside it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from tests.packaging.conftest import PROJECT, Distributions, run

ACME = """
    from harness import Completion, Component, Score, hookimpl

    class Shout:
        def generate(self, samples, *, attempt=0):
            return [Completion(s, s.prompt.upper(), attempt=attempt) for s in samples]

    class Loud:
        def score(self, completions):
            return [Score(float(c.text.isupper())) for c in completions]

    @hookimpl
    def harness_generators():
        yield Component("shout", build=lambda settings: Shout(), summary="says it louder")

    @hookimpl
    def harness_rewarders():
        yield Component("loud", build=lambda settings: Loud())

    @hookimpl
    def harness_run_finished(run, evaluation):
        print(f"acme saw {run.total} answers")
"""
BENCH = """
    from harness import Sample

    def bench_loudness(evaluate):
        samples = [Sample("a", "hello", ("hello",)), Sample("b", "goodbye", ("goodbye",))]
        result = evaluate(samples, generator="shout", scorers=["loud", "match:ignore_case=true"])
        assert result["loud"].mean == 1 and result["match"].mean == 1
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory, distributions: Distributions) -> Path:
    """The Python of an environment that has the wheel, a third-party plugin, and no extras."""
    folder = tmp_path_factory.mktemp("clean")
    acme = folder / "acme"
    acme.mkdir()
    (acme / "acme_shout.py").write_text(textwrap.dedent(ACME))
    (acme / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "acme-shout"\nversion = "1.0"\ndependencies = ["samescore"]\n'
        '[project.entry-points.samescore]\nacme = "acme_shout"\n'
        '[tool.hatch.build.targets.wheel]\ninclude = ["acme_shout.py"]\n'
    )
    run(sys.executable, "-m", "build", "-w", "-n", "-o", str(folder), str(acme))
    run(sys.executable, "-m", "venv", str(folder / "venv"))
    python = folder / "venv" / "bin" / "python"
    constraints = str(PROJECT / "constraints.txt")
    wheels = str(distributions.wheel), str(next(folder.glob("*.whl")))
    run(str(python), "-m", "pip", "install", "-q", "-c", constraints, *wheels)
    return python


def test_a_bench_runs_with_a_third_party_plugin_and_without_torch(
    python: Path, tmp_path: Path
) -> None:
    """Installed as anyone installs it, the harness runs a stranger's generator and rewarder."""
    absent = "import importlib.util as u; assert not u.find_spec('torch')"
    run(str(python), "-c", absent)
    (tmp_path / "bench_loud.py").write_text(textwrap.dedent(BENCH))
    harness = str(python.with_name("harness"))
    listed = run(harness, "plugins")
    assert "shout" in listed
    assert "acme-shout 1.0" in listed
    assert "BROKEN" not in listed
    output = run(harness, "run", str(tmp_path), "-s", cwd=tmp_path)
    assert "1 passed" in output
    assert "acme saw 2 answers" in output


def test_the_version_and_the_doctor_need_no_extra(python: Path, tmp_path: Path) -> None:
    """Both commands work in an environment with nothing but the wheel."""
    harness = str(python.with_name("harness"))
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert run(harness, "--version") == f"samescore {version}\n"
    told = run(harness, "doctor", cwd=tmp_path)
    assert "pip install 'samescore[view]'" in told
    assert told.rstrip().endswith("none")


def test_a_missing_extra_is_named(python: Path, tmp_path: Path) -> None:
    """A component whose packages are not installed says what to install."""
    (tmp_path / "answers.csv").write_text("answer,truth\nyes,yes\n")
    arguments = ["--scorer", "bertscore", "--completion", "answer", "--reference", "truth"]
    done = subprocess.run(
        [str(python.with_name("harness")), "score", "answers.csv", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install 'samescore[bertscore]'" in done.stderr
    assert "Traceback" not in done.stderr
