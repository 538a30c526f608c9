"""Write the pages of docs/reference that are made from the code: hooks, commands, components.

python docs/make_reference.py          writes them
python docs/make_reference.py --check  exits with 1 if one is not as the code has it
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import harness
from harness import hookspecs
from harness.building import ROLES
from harness.cli import parser
from harness.loader import default_plugins
from harness.settings import describe

FOR_PLUGINS = (
    "harness.models.resolve",
    "harness.models.path_of",
    "harness.models.cache_folder",
    "harness.models.fetch_from_hub",
    "harness.quiet.quiet",
    "harness.calls.Provider",
    "harness.calls.Request",
    "harness.calls.Reply",
    "harness.calls.CallError",
    "harness.calls.Failure",
    "harness.calls.Capabilities",
    "harness.calls.CallSettings",
    "harness.calls.Caller",
    "harness.calls.ask",
    "harness.calls.ChatGenerator",
    "harness.judging.RubricSettings",
    "harness.judging.RubricJudge",
    "harness.judging.PairwiseJudge",
    "harness.calibration.calibrate",
    "harness.vectors.VectorIndex",
    "harness.vectors.VectorSettings",
    "harness.data.tables.read_table",
    "harness.data.split.split",
    "harness.fingerprint.digest",
    "harness.fingerprint.file_digest",
    "harness.testing.check_rewarder",
    "harness.testing.check_generator",
    "harness.testing.completion",
    "harness.testing.installed",
    "harness.testing.faults.FaultServer",
    "harness.testing.faults.Faults",
    "harness.testing.scripted.Scripted",
)
WIDTH = 90
FOLDER = Path(__file__).parent / "reference"
NOTE = "<!-- Made by docs/make_reference.py from the code; edit the code. -->\n"


def hooks() -> str:
    """Every hook with its signature and its docstring."""
    lines = [NOTE, "# Hooks", "", str(inspect.getdoc(hookspecs))]
    for name, function in vars(hookspecs).items():
        if name.startswith("harness_"):
            lines += ["", f"## `{name}`", "", "```python", _stub(name, function), "```", ""]
            lines += _markdown(str(inspect.getdoc(function)))
    return "\n".join(lines) + "\n"


def python() -> str:
    """Every public name with its docstring."""
    lines = [NOTE, "# Python", "", "Imported from `harness`:"]
    for name in harness.__all__:
        lines += _entry(name, getattr(harness, name))
    lines += ["", "# For plugins", "", "What a plugin may import beside that:"]
    for path in FOR_PLUGINS:
        module, _, name = path.rpartition(".")
        lines += _entry(path, getattr(importlib.import_module(module), name))
    return "\n".join(lines) + "\n"


def _entry(name: str, value: object) -> list[str]:
    """A name as a stub of it, its docstring, and its methods."""
    lines, short = ["", f"## `{name}`", ""], name.rpartition(".")[2]
    if inspect.isfunction(value):
        lines += ["```python", _stub(short, value), "```", ""]
    elif isinstance(value, type) and dataclasses.is_dataclass(value):
        lines += ["```python", f"class {short}:", *(_fields(value) or ["    ..."]), "```", ""]
    elif isinstance(value, type) and "__init__" in vars(value) and not _is_protocol(value):
        lines += ["```python", _stub("__init__", vars(value)["__init__"]), "```", ""]
    lines += _markdown(str(inspect.getdoc(value) or "") if callable(value) else "")
    return lines + (_methods(value) if isinstance(value, type) else [])


def _fields(kind: type) -> list[str]:
    """The fields of a dataclass as they would be written, with the text below them."""
    docs, lines = {setting.name: setting.doc for setting in describe(kind)}, []
    for field in dataclasses.fields(kind):
        default = "" if field.default is dataclasses.MISSING else f" = {_value(field.default)}"
        if field.default_factory is not dataclasses.MISSING:
            default = f" = field(default_factory={_value(field.default_factory)})"
        lines.append(f"    {field.name}: {_annotation(field.type)}{default}")
        if docs[field.name]:
            lines.append(f'    """{docs[field.name]}"""')
    return lines


def _methods(kind: type) -> list[str]:
    """Public methods and properties, each with the first paragraph of its docstring."""
    lines = []
    for name, member in vars(kind).items():
        found = getattr(member, "__func__", member)
        if name.startswith("_") or not (inspect.isfunction(found) or isinstance(found, property)):
            continue
        doc = " ".join((inspect.getdoc(found) or "").partition("\n\n")[0].split())
        shown = name if isinstance(found, property) else name + _signature(found)
        lines.append(f"- `{shown}`" + (f": {doc}" if doc else ""))
    return ["", *lines] if lines else []


def commands() -> str:
    """Every command with its options."""
    lines = [NOTE, "# Commands", ""]
    for words, command in _walk(parser(), "harness"):
        lines += [f"## `{words}`", "", command.description or "", ""]
        told = [a for a in command._actions if a.help not in (None, argparse.SUPPRESS)]
        rows = [_option(a) for a in told if a.dest != "help"]
        if rows:
            lines += ["| argument | what it does |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def components() -> str:
    """Every built-in component with its settings."""
    plugins = default_plugins()
    lines = [NOTE, "# Components", ""]
    lines += ["A component is named by a reference: `NAME`, `NAME:KEY=VALUE,KEY=VALUE`, or", ""]
    lines[-2] += " `LABEL=NAME:…`"
    lines[-1] = "to give it a label of its own. The keys are the settings below."
    for role in ROLES:
        for registered in plugins.components(role):
            component = registered.component
            if registered.plugin.distribution != "samescore":
                continue
            lines += ["", f"## `{component.name}` ({role})", "", component.summary]
            if component.requires:
                lines += ["", f"Needs `pip install '{component.requires}'`."]
            rows = [
                f"| `{s.name}` | `{s.type}` | `{s.default}` | {s.doc} |".replace(
                    " | None", " or None"
                )
                for s in describe(component.settings)
            ]
            if rows:
                lines += ["", "| setting | type | default | |", "|---|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


PAGES = {
    "hooks.md": hooks,
    "python.md": python,
    "commands.md": commands,
    "components.md": components,
}


def _markdown(doc: str) -> list[str]:
    """A docstring's sections as lists, and its example as code."""
    text, _, example = doc.partition("Example:\n")
    text = re.sub(r"^(Args|Raises|Returns):$", r"**\1**\n", text.rstrip(), flags=re.MULTILINE)
    text = re.sub(r"^ {4}(\w+): ", r"- `\1`: ", text, flags=re.MULTILINE)
    text = re.sub(r"^(When|Arguments|Return): ", r"- **\1:** ", text, flags=re.MULTILINE)
    lines = [
        re.sub(r"^ {4,}", "  ", line)
        for line in text.replace("**Args**", "**Arguments**").splitlines()
    ]
    code = ["", "```python", inspect.cleandoc(example), "```"] if example else []
    return [*lines, *code]


def _stub(name: str, function: Callable[..., object]) -> str:
    """A function as its stub has it; a parameter a line where that is long."""
    start = "async def" if inspect.iscoroutinefunction(function) else "def"
    text = f"{start} {name}{_signature(function)}: ..."
    if len(text) <= WIDTH:
        return text
    *parameters, end = _parts(function)
    return "\n".join([f"{start} {name}(", *(f"    {p}," for p in parameters), f"){end}: ..."])


def _signature(function: Callable[..., object]) -> str:
    *parameters, end = _parts(function)
    return f"({', '.join(parameters)}){end}"


def _parts(function: Callable[..., object]) -> list[str]:
    """Each parameter but `self`, with its annotation as it is written; last, what is returned."""
    signature, parts, keywords = inspect.signature(function), [], False
    for name, parameter in signature.parameters.items():
        star = "*" * [0, 0, 1, 0, 2][parameter.kind]
        if parameter.kind == parameter.KEYWORD_ONLY and not keywords:
            parts.append("*")
        keywords |= parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        if parts or name not in ("self", "cls"):
            parts.append(_parameter(star + name, parameter))
    result = signature.return_annotation
    return [*parts, "" if result is signature.empty else f" -> {_annotation(result)}"]


def _parameter(name: str, parameter: inspect.Parameter) -> str:
    has_type = parameter.annotation is not parameter.empty
    text = f"{name}: {_annotation(parameter.annotation)}" if has_type else name
    if parameter.default is parameter.empty:
        return text
    return text + (" = " if has_type else "=") + _value(parameter.default)


def _annotation(annotation: object) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _value(default: object) -> str:
    """A default as it would be written."""
    if isinstance(default, str):
        return json.dumps(default, ensure_ascii=False)
    if not (inspect.isfunction(default) or isinstance(default, type)):
        return repr(default)
    return "..." if default.__name__.startswith("_") else default.__name__


def _is_protocol(kind: type) -> bool:
    return bool(getattr(kind, "_is_protocol", False))


def _walk(
    top: argparse.ArgumentParser, words: str
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield f"{words} {name}", command
                yield from _walk(command, f"{words} {name}")


def _option(action: argparse.Action) -> str:
    name = ", ".join(action.option_strings) or str(action.metavar or action.dest)
    value = f" {action.metavar}" if action.option_strings and action.metavar else ""
    told = " ".join(str(action.help).split())
    return f"| `{name}{value}` | {told} |"


def main() -> int:
    """Write the pages, or check them."""
    stale = []
    for name, make in PAGES.items():
        page, text = FOLDER / name, make()
        if "--check" not in sys.argv:
            page.write_text(text, "utf-8")
        elif not page.exists() or page.read_text("utf-8") != text:
            stale.append(name)
    if stale:
        print(f"not as the code has it: {', '.join(stale)}; run: make docs", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
