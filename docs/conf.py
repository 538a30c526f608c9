"""The site, built by `make docs`: Sphinx reads the pages where they are in the repository.

So one link is right in both. A warning, such as of a link that leads nowhere, is an error.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

PROJECT = Path(__file__).parents[1]

# The pages beside the text, in the order of reading; a pattern takes what is left.
NAVIGATION = {
    "Learn": ["/docs/tutorial"],
    "How to": [
        "/docs/how-to/train-with-ppo",
        "/docs/how-to/use-trl",
        "/docs/how-to/compare-runs",
        "/docs/how-to/look-at-runs",
        "/docs/how-to/judge-with-llms",
        "/docs/how-to/judge-locally",
        "/docs/how-to/write-a-rubric",
        "/docs/how-to/calibrate-a-judge",
        "/docs/how-to/retrieval",
        "/docs/how-to/vertex-vector-search",
        "/docs/how-to/vertex-emulator",
        "/docs/how-to/write-a-plugin",
        "/docs/how-to/use-evaluate-metrics",
        "/docs/how-to/share-a-store",
        "/docs/how-to/run-on-ray",
        "/docs/how-to/*",
    ],
    "Look up": ["/docs/reference/*"],
    "Understand": ["/docs/design", "/docs/stability", "/docs/trust", "/docs/scale", "/SECURITY"],
    "The project": ["README </README>", "/CHANGELOG", "/CONTRIBUTING"],
    "Suites": ["/benchmarks/README", "/benchmarks/*/*"],
}

project = "samescore"
project_copyright = "the authors of samescore"
release = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]["version"]

extensions = ["myst_parser"]
myst_heading_anchors = 3
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "benchmarks/**.md"]
exclude_patterns = [
    *(path.name for path in PROJECT.glob(".*")),
    *("build", "changes", "harness", "plugins", "runs", "site", "tests"),
]

html_theme = "furo"
html_title = f"samescore {release}"
html_theme_options = {"navigation_with_keys": True}
html_extra_path = ["site-root"]
html_copy_source = False
html_use_index = False


def setup(app: Sphinx) -> None:
    """Add what the pages want and no extension has."""
    app.add_lexer("csv", TextLexer)
    app.connect("source-read", _navigation)


def _navigation(app: Sphinx, page: str, source: list[str]) -> None:
    """Append the tree of pages to the first page, which would show it as code in the repository."""
    if page == root_doc:
        for caption, pages in NAVIGATION.items():
            options = f":hidden:\n:glob:\n:caption: {caption}\n"
            lines = "\n".join(pages)
            source[0] += f"\n```{{toctree}}\n{options}\n{lines}\n```\n"
