"""What a bare Python documents: run as a script, with the names of modules as its arguments.

`pytest`, torch and others replace functions of the standard library when they are imported, so
the docstrings are read by an interpreter of their own, without site-packages (`python -I -S`).
This file therefore imports nothing but the standard library.
"""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
import types
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple


class Documented(NamedTuple):
    """A public name of a module with its docstring."""

    module: str
    name: str
    kind: str
    """function, class or method."""
    foreign: bool
    """Whether the object says that it comes from another module."""
    text: str


def inventory(modules: Sequence[str]) -> list[Documented]:
    """The documented public functions, classes and methods of modules of this Python.

    Modules that it was built without are left out.
    """
    command = [sys.executable, "-I", "-S", __file__, *modules]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return [Documented(*found) for found in json.loads(done.stdout)]


def read(modules: Iterable[str]) -> Iterator[Documented]:
    """The same of this very process."""
    for name in modules:
        module = _imported(name)
        for member, value in _public(module) if module else ():
            yield from _documented(name, member, value)


def _imported(name: str) -> types.ModuleType | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return importlib.import_module(name)
        except ImportError:
            return None


def _public(module: types.ModuleType) -> Iterator[tuple[str, object]]:
    """The public names of a module: those that it lists, or else those that are its own."""
    members = vars(module)
    listed = members.get("__all__")
    for name in sorted(members if listed is None else listed):
        value = members.get(name)
        if not name.startswith("_") and (listed is not None or _own(value, module.__name__)):
            yield name, value


def _own(value: object, module: str) -> bool:
    return _origin(value) in (module, f"_{module}")


def _origin(value: object) -> str:
    return str(getattr(value, "__module__", None))


def _documented(module: str, name: str, value: object) -> Iterator[Documented]:
    foreign = not _own(value, module)
    if isinstance(value, type):
        text = vars(value).get("__doc__")
        found = [(name, "class", text)]
        found += [(f"{name}.{n}", "method", m.__doc__) for n, m in _methods(value)]
    else:
        found = [(name, "function", value.__doc__)] if inspect.isroutine(value) else []
    for full_name, kind, text in found:
        if isinstance(text, str):
            yield Documented(module, full_name, kind, foreign, text)


def _methods(kind: type) -> Iterable[tuple[str, object]]:
    """The public methods that a class defines, or has from a base in C that nobody knows."""
    found: dict[str, object] = {}
    for base in kind.__mro__:
        if base is kind or _origin(base).startswith("_"):
            found = {**vars(base), **found}
    return [(n, m) for n, m in sorted(found.items()) if not n.startswith("_") and _is_method(m)]


def _is_method(value: object) -> bool:
    return inspect.isroutine(value) or isinstance(value, classmethod | staticmethod)


if __name__ == "__main__":
    json.dump(list(read(sys.argv[1:])), sys.stdout)
