"""The site builds without a warning, and nothing on it comes from elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PROJECT, pages

FETCHED = re.compile(
    r"""<(?:script|img|iframe|source)[^>]*\ssrc="(?:https?:)?//[^"]*"
    |<link(?![^>]*rel="(?:canonical|author|license)")[^>]*\shref="(?:https?:)?//[^"]*"
    |@import[^;]*//[^;]*
    |url\(["']?(?:https?:)?//[^)]*""",
    re.VERBOSE,
)


BROKEN = "\n[x](tutorial.md#no-such)\n\n[x](no-such.md)\n\n![x](no-such.png)\n"


def build(source: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """As `make docs` does it."""
    where = ["-c", "docs", "-d", str(folder / "doctrees"), ".", str(folder / "html")]
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", *where]
    return subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site's pages."""
    folder = tmp_path_factory.mktemp("site")
    done = build(PROJECT, folder)
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_every_page_is_on_it_and_can_be_searched(site: Path) -> None:
    index = (site / "searchindex.js").read_text("utf-8")
    for page in pages():
        assert (site / page.with_suffix(".html")).is_file()
        assert f'"{page.with_suffix("")}"' in index
    redirect = re.search(r"url=([^\"]+)", (site / "index.html").read_text("utf-8"))
    assert redirect
    assert (site / redirect[1]).is_file()


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    files = [path for kind in ("html", "css", "js") for path in site.rglob(f"*.{kind}")]
    assert len(files) > len(pages())
    found = {match[0] for path in files for match in FETCHED.finditer(path.read_text("utf-8"))}
    assert not found


def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(PROJECT / "docs", project / "docs")
    shutil.copy(PROJECT / "pyproject.toml", project)
    for page in pages():
        (project / page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / page, project / page)
    with (project / "docs" / "stability.md").open("a") as page_file:
        page_file.write(BROKEN)
    done = build(project, tmp_path)
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if "docs/stability.md" in line]
    assert len(told) == 3
    assert all("no-such" in line for line in told)
