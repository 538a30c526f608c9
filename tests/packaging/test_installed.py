"""The wheel in environments of its own: with each extra alone, and on other Pythons.

An environment costs from half a minute to many, and up to gigabytes, so each is asked for:

    SAMESCORE_TEST_EXTRAS=view,openai (or all) SAMESCORE_TEST_PYTHONS=python3.12,python3.13
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import pytest

from tests.packaging.conftest import PROJECT, run

PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = sorted(set(PYPROJECT["optional-dependencies"]) - {"all", "dev", "docs"})
BUILT = Path(__file__).with_name("built.py")
KEYS = {"ANTHROPIC_API_KEY": "no-such-key-1", "OPENAI_API_KEY": "no-such-key-1"}
OFFLINE = {"HF_HUB_OFFLINE": "1", "SAMESCORE_CACHE": "cache"}


def asked_for(variable: str) -> list[str]:
    return [item for item in os.environ.get(variable, "").split(",") if item]


PYTHONS = asked_for("SAMESCORE_TEST_PYTHONS")
CHOSEN = (
    EXTRAS if asked_for("SAMESCORE_TEST_EXTRAS") == ["all"] else asked_for("SAMESCORE_TEST_EXTRAS")
)
pytestmark = pytest.mark.slow


class Component(TypedDict):
    """What `built.py` tells of a component."""

    name: str
    role: str
    requires: str
    outcome: str


def built(python: Path, folder: Path) -> list[Component]:
    """What becomes of every component in an environment, where warnings are errors."""
    told = run(str(python), "-W", "error", str(BUILT), cwd=folder, **KEYS, **OFFLINE)
    found: list[Component] = json.loads(told)
    return found


def check(python: Path, folder: Path) -> dict[str, str]:
    """Assert that what needs no extra works; gives what `harness doctor` says of the extras."""
    harness = str(python.with_name("harness"))
    assert run(harness, "--version") == f"samescore {PYPROJECT['version']}\n"
    assert run(harness, "plugins")
    doctor = json.loads(run(harness, "doctor", "--json", cwd=folder, **OFFLINE))
    assert doctor["broken"] == {}
    for component in built(python, folder):
        name, outcome = component["name"], component["outcome"]
        assert "\n" not in outcome, f"{name}: {outcome}"
        if "pip install" in outcome:
            assert f"pip install '{component['requires']}'" in outcome, name
        if not component["requires"]:
            assert "pip install" not in outcome, name
    extras: dict[str, str] = doctor["extras"]
    return extras


@pytest.mark.parametrize("python", PYTHONS or [pytest.param("", marks=pytest.mark.skip)])
def test_without_extras_on_another_python(
    python: str, install: Callable[..., Path], tmp_path: Path
) -> None:
    extras = check(install(python=python), tmp_path)
    assert all("pip install" in said for said in extras.values())


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_alone_is_enough_for_what_requires_it(
    extra: str, install: Callable[..., Path], tmp_path: Path
) -> None:
    if extra not in CHOSEN:
        pytest.skip(f"set SAMESCORE_TEST_EXTRAS={extra}, or all")
    python = install(extra)
    assert check(python, tmp_path)[extra] == "installed"
    for component in built(python, tmp_path):
        if component["requires"] == f"samescore[{extra}]":
            assert "pip install" not in component["outcome"], component["outcome"]
