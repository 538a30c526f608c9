"""What is light stays light: imports that no command needs are not made."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import harness

HEAVY = [
    "torch", "pandas", "numpy", "transformers", "openai", "sqlalchemy", "rich", "pydantic",
    "scipy", "pyarrow", "datasets", "bert_score", "evaluate", "anthropic", "grpc", "scann",
    "xllamacpp", "google.protobuf", "google.auth", "google.api_core", "alembic", "psycopg",
    "plotly", "starlette", "jinja2",
]  # fmt: skip

PROBE = """
import json, sys
sys.argv[0] = "harness"
{code}
print(json.dumps([name for name in {heavy} if name in sys.modules]), file=sys.stderr)
"""

MAIN = """
from harness.cli import main
try:
    main({arguments})
except SystemExit as stop:
    assert not stop.code
"""


@pytest.mark.parametrize(
    "code",
    [
        "import harness",
        "import harness.testing, harness.api, harness.loader",
        "import harness.pytest_plugin",
        MAIN.format(arguments=["--help"]),
        MAIN.format(arguments=["--version"]),
        MAIN.format(arguments=["run", "--help"]),
        MAIN.format(arguments=["plugins"]),
        MAIN.format(arguments=["plugins", "bertscore"]),
        "from harness.loader import default_plugins as p\np().models()",
    ],
    ids=["import", "api", "pytest11", "help", "version", "run", "plugins", "plugin", "models"],
)
def test_nothing_heavy_is_imported(code: str) -> None:
    probe = PROBE.format(code=code, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr.splitlines()[-1]) == []


def test_a_plain_pytest_run_loads_none_of_the_core(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_light():
            assert "harness.pytest_plugin" in sys.modules
            light = {"harness", "harness.pytest_plugin", "harness.errors", "harness.components"}
            assert {name for name in sys.modules if name.startswith("harness")} <= light
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_the_public_names_are_these_and_each_can_be_had() -> None:
    assert sorted(harness.__all__) == list(harness.__all__)
    for name in harness.__all__:
        assert getattr(harness, name) is not None
    tree = ast.parse(Path(harness.__file__).read_text("utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    typed = [a.name for n in imports if str(n.module).startswith("harness") for a in n.names]
    assert sorted(typed) == sorted(harness.__all__), "what type checkers see is what there is"
    with pytest.raises(AttributeError, match="module 'harness' has no attribute 'Scorer'"):
        harness.Scorer  # noqa: B018


def test_a_star_import_gives_the_public_names() -> None:
    code = "from harness import *; import harness; assert set(harness.__all__) <= set(dir())"
    subprocess.run([sys.executable, "-c", code], check=True)
