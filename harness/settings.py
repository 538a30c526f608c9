"""Settings: a frozen dataclass whose fields are the keys of a reference, and the help."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import inspect
import itertools
import linecache
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from harness.data.toml import read_toml
from harness.errors import HarnessError, PluginError

_EXPECTED: Mapping[object, str] = {
    int: "a whole number",
    float: "a number, as 0.5 or 1e-6",
    bool: "true or false",
}


class Setting(NamedTuple):
    """One field of a settings class, as help shows it."""

    name: str
    type: str
    default: str
    doc: str


def describe(settings: type) -> list[Setting]:
    """The fields of a settings class; the text literal under each field is its help.

    A field that a subclass gives another default keeps the help that it had.
    """
    bases = [base for base in reversed(settings.__mro__) if dataclasses.is_dataclass(base)]
    docs = {name: text for base in bases for name, text in _field_docs(base).items()}
    return [
        Setting(f.name, _type_name(f.type), _default(f), docs.get(f.name, ""))
        for f in dataclasses.fields(settings)
    ]


def build_settings(owner: str, settings: type, given: Mapping[str, object]) -> Any:
    """An instance of `settings` from what the user gave; text is read as the field's type.

    Raises:
        PluginError: for an unknown key, a missing one, or a value of another type; names the owner.
    """
    hints = get_type_hints(settings)
    names = [f.name for f in dataclasses.fields(settings)]
    for key in given:
        if key not in names:
            raise PluginError(_unknown_key(owner, key, names))
    values = {key: _convert(f"{owner}: {key}", value, hints[key]) for key, value in given.items()}
    for f in dataclasses.fields(settings):
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and f.name not in values:
            raise PluginError(f"{owner} needs the setting {f.name!r}: write {owner}:{f.name}=…")
    try:
        return settings(**values)
    except HarnessError:
        raise
    except ValueError as error:
        raise PluginError(f"{owner}: {error}") from error


def _unknown_key(owner: str, key: str, names: list[str]) -> str:
    if not names:
        return f"{owner} has no setting {key!r}; it takes none"
    near = difflib.get_close_matches(key, names, 1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"{owner} has no setting {key!r}{hint} It has: {', '.join(names)}"


def _convert(where: str, value: object, hint: object) -> object:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _convert_optional(where, value, hint)
    if origin is Literal:
        choices = get_args(hint)
        for choice in choices:
            if _text(value) == str(choice):
                return choice
        raise PluginError(f"{where} is {value!r}; choose one of {', '.join(map(str, choices))}")
    if origin is tuple:
        return tuple(_convert(where, item, get_args(hint)[0]) for item in _items(where, value))
    if hint is str:
        return _text(value)
    read = _read(value) if isinstance(value, str) else value
    if hint is float and isinstance(read, int) and not isinstance(read, bool):
        return float(read)
    if not isinstance(hint, type) or type(read) is not hint:
        expected = _EXPECTED.get(hint, getattr(hint, "__name__", str(hint)))
        raise PluginError(f"{where} is {value!r}; it must be {expected}")
    return read


def _items(where: str, value: object) -> Sequence[object]:
    """The items of a list; a value that is none is a list of one."""
    if not isinstance(value, str):
        return value if isinstance(value, list | tuple) else [value]
    read = _read(value)
    if isinstance(read, list):
        return read
    if value.startswith("["):
        raise PluginError(f'{where} is {value!r}; write a list as ["one","two"] or [1,2]')
    return [value]


def _convert_optional(where: str, value: object, hint: object) -> object:
    members = [m for m in get_args(hint) if m is not type(None)]
    if value is None or value == "none":
        return None
    for member in members[:-1]:
        try:
            return _convert(where, value, member)
        except PluginError:
            continue
    return _convert(where, value, members[-1])


def _text(value: object) -> str:
    """Text as it was written; quotes are for what the grammar of references would split."""
    if isinstance(value, str) and value[:1] in ("'", '"'):
        read = _read(value)
        return read if isinstance(read, str) else value
    return str(value)


def _read(text: str) -> object:
    """A TOML value (number, boolean, quoted text, list), or else the text itself."""
    if text.lstrip()[:3] in ('"""', "'''"):  # references know no such quotes
        return text
    try:
        found = read_toml(f"table = {{value = {text}}}")  # where no comment or line can follow
    except ValueError:
        return text
    table = found["table"]
    return (
        table["value"] if len(found) == 1 and isinstance(table, dict) and len(table) == 1 else text
    )


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return repr(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return repr(field.default_factory())
    return "required"


def _type_name(annotation: object) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _field_docs(settings: type) -> dict[str, str]:
    try:
        file = inspect.getsourcefile(settings)
    except TypeError:
        return {}
    found = _definition(_parsed("".join(linecache.getlines(file or ""))), settings.__qualname__)
    docs: dict[str, str] = {}
    for statement, following in itertools.pairwise(found.body if found else []):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            text = _literal_text(following)
            if text is not None:
                docs[statement.target.id] = " ".join(text.split())
    return docs


@functools.cache
def _parsed(source: str) -> ast.Module:
    """A module's tree: many settings stand in one, and `inspect` would parse it for each."""
    return ast.parse(source)


def _definition(tree: ast.AST, name: str) -> ast.ClassDef | None:
    """The class of a qualified name, which may stand within classes and functions."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for part in name.replace(".<locals>", "").split("."):
        named = (n for n in ast.walk(tree) if isinstance(n, kinds) and n.name == part)
        tree = next(named, ast.Pass())
    return tree if isinstance(tree, ast.ClassDef) else None


def _literal_text(statement: ast.stmt) -> str | None:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        value = statement.value.value
        return value if isinstance(value, str) else None
    return None
