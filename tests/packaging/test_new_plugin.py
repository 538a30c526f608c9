"""What `harness new-plugin` writes can be installed, is found, and passes its own tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.scaffold import write_plugin
from harness.scaffold.names import ROLES_WRITTEN

pytestmark = pytest.mark.slow
INSTALL = ["-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plugin of each role beside it, and all of them installed in `site`."""
    folder = tmp_path_factory.mktemp("plugins")
    written = [write_plugin(f"acme-new{role}", role, folder)[0] for role in ROLES_WRITTEN]
    run(folder, *INSTALL, "site", *map(str, written))
    return folder


def run(folder: Path, *arguments: str) -> str:
    """What a Python says that has `site` on its path and writes nothing elsewhere."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "site", "SAMESCORE_STORE": str(folder / "store.db")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def test_all_are_listed_and_none_is_broken(site: Path) -> None:
    listed = json.loads(run(site, "-m", "harness", "plugins", "--json"))
    found = {(c["role"], c["distribution"]) for c in listed["components"]}
    assert {(role, f"acme-new{role}") for role in ROLES_WRITTEN} <= found
    assert listed["broken"] == []


@pytest.mark.parametrize("role", ROLES_WRITTEN)
def test_its_own_tests_pass(role: str, site: Path) -> None:
    quick = ["-q", "-p", "no:cacheprovider", "-W", "error"]
    assert " passed" in run(site, "-m", "pytest", *quick, f"acme-new{role}")
