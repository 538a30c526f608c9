"""What stands in changes/ becomes a section of the changelog."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PROJECT


def towncrier(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "towncrier", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """As much of this project as a release reads."""
    for name in ("CHANGELOG.md", "pyproject.toml"):
        shutil.copy(PROJECT / name, tmp_path)
    shutil.copytree(PROJECT / "changes", tmp_path / "changes")
    return tmp_path


def test_every_file_there_is_a_change() -> None:
    """One whose name has no kind, or another, is an error."""
    done = towncrier(PROJECT, "build", "--draft", "--version", "next")
    assert done.returncode == 0, done.stderr
    files = [path for path in (PROJECT / "changes").glob("*.md") if path.name[0] != "."]
    for file in files:
        assert file.read_text("utf-8").split()[0] in done.stdout


def test_a_release_puts_them_above_the_one_before(project: Path) -> None:
    before = (project / "CHANGELOG.md").read_text("utf-8").partition("\n## ")[2]
    (project / "changes" / "+seeds.fix.md").write_text("Seeds are the same again.\n")
    (project / "changes" / "+ray.feature.md").write_text("Runs over\nseveral machines.\n")
    done = towncrier(project, "build", "--keep", "--version", "9.9.0", "--date", "2030-01-01")
    assert done.returncode == 0, done.stderr
    page = (project / "CHANGELOG.md").read_text("utf-8")
    new = page[page.index("## 9.9.0, 2030-01-01") : page.index(before)]
    assert "### New\n\n- " in new
    assert "- Runs over\n  several machines." in new
    assert "- Seeds are the same again." in new.partition("### Mended")[2]


def test_a_file_of_no_kind_is_refused(project: Path) -> None:
    (project / "changes" / "+seeds.md").write_text("Seeds.\n")
    done = towncrier(project, "build", "--draft", "--version", "next")
    assert done.returncode == 1
    assert "+seeds.md" in done.stderr
