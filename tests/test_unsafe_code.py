"""Nothing that is shipped runs code out of a data file or a model file.

A look at the syntax of every module: what unpickles, evaluates or trusts is either not called, or
is told not to. What these calls do with files made to do harm is tested in `plugins/`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
MODULES = sorted(p for folder in ("harness", "plugins") for p in (PROJECT / folder).rglob("*.py"))
NO_IMPORTS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"}
NO_CALLS = {"eval", "exec", "compile", "os.system", "os.popen", "pd.read_pickle"}
# A call by the end of its name, and the argument that makes it safe.
MUST = {
    "from_pretrained": ("trust_remote_code", False),
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
}


def faults(code: str) -> Iterator[str]:
    """What a module does that it should not, with the line."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            wrong = {alias.name.partition(".")[0] for alias in node.names} & NO_IMPORTS
        elif isinstance(node, ast.ImportFrom):
            wrong = {str(node.module).partition(".")[0]} & NO_IMPORTS
        elif isinstance(node, ast.Call):
            wrong = set(_wrong_call(node, code))
        else:
            continue
        yield from (f"line {node.lineno}: {what}" for what in sorted(wrong))


def _wrong_call(call: ast.Call, code: str) -> Iterator[str]:
    name = ast.unparse(call.func)
    given = {k.arg: k.value.value for k in call.keywords if isinstance(k.value, ast.Constant)}
    if name in NO_CALLS or given.get("shell") is True:
        yield name
    for ending, (argument, value) in MUST.items():
        # `**source` may hold it, and then it must stand in the module.
        hidden = None in {k.arg for k in call.keywords} and f'"{argument}": {value}' in code
        if name.endswith(ending) and given.get(argument) is not value and not hidden:
            yield f"{name} without {argument}={value}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_a_module_runs_no_code_out_of_files(path: Path) -> None:
    assert list(faults(path.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from yaml import load",
        "eval(text)",
        "subprocess.run(text, shell=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "AutoModel.from_pretrained(path)",
        "AutoModel.from_pretrained(path, **more)",
    ],
)
def test_what_is_looked_for_is_found(code: str) -> None:
    assert len(list(faults(code))) == 1


def test_a_loader_that_is_handed_on_is_told_as_well() -> None:
    """`read = AutoModel.from_pretrained` hides the call; such a module must say it elsewhere."""
    for path in MODULES:
        code = path.read_text("utf-8")
        loaders = code.count(".from_pretrained")
        told = code.count("trust_remote_code")
        assert told >= loaders or '"trust_remote_code": False' in code, path
