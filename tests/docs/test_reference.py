"""The reference pages are as the code has them, and every hook is on them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from harness import hookspecs

DOCS = Path(__file__).parents[2] / "docs"


def test_the_pages_made_from_the_code_are_current() -> None:
    """Run `make docs` where this fails."""
    command = [sys.executable, str(DOCS / "make_reference.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_hook_is_documented() -> None:
    """With its exact signature, as `make_reference.py` writes it."""
    page = (DOCS / "reference" / "hooks.md").read_text("utf-8")
    hooks = [name for name in vars(hookspecs) if name.startswith("harness_")]
    assert len(hooks) == 13
    for name in hooks:
        assert f"```python\ndef {name}(" in page
