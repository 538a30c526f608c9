"""Write the pages of docs/reference that are made from the code: hooks, commands, components.

python docs/make_reference.py          writes them
python docs/make_reference.py --check  exits with 1 if one is not as the code has it
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import inspect
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
FOLDER = Path(__file__).parent / "reference"
NOTE = "<!-- Made by docs/make_reference.py from the code; edit the code. -->\n"


def hooks() -> str:
    """Every hook with its signature and its docstring."""
    lines = [NOTE, "# Hooks", "", str(inspect.getdoc(hookspecs))]
    for name, function in vars(hookspecs).items():
        if name.startswith("harness_"):
            lines += ["", f"## `{name}`", "", "```python", name + _signature(function), "```", ""]
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
    """A name with its signature and its docstring."""
    lines = ["", f"## `{name}`", ""]
    if inspect.isfunction(value) or (isinstance(value, type) and dataclasses.is_dataclass(value)):
        short = name.rpartition(".")[2]
        lines += ["```python", f"{short}{_signature(value)}", "```", ""]
    return lines + _markdown(str(inspect.getdoc(value) or "") if callable(value) else "")


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


def _signature(function: Callable[..., object]) -> str:
    """The signature with its annotations as they are written, not as text in quotes."""
    text = str(inspect.signature(function)).replace("<factory>", "{}")
    text = re.sub(r"<function (\w+) at 0x[0-9a-f]+>", r"\1", text)
    return re.sub(r"(: |-> )'([^']+)'", r"\1\2", text)


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
    return f"| `{name}{value}` | {action.help} |"


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
