"""`harness doctor`: what is installed, and what can be had offline."""

from __future__ import annotations

import argparse
import platform
import re
from importlib import metadata
from typing import TYPE_CHECKING

from harness.cli._telling import print_json, unlogged
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.cli._types import Commands


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "doctor",
        help="show what is installed and what works here",
        description="Show versions, extras, device, store, models and broken plugins. "
        "Exits with 1 if something is broken.",
    )
    parser.add_argument("--store", metavar="URL", help="the store to look at")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(command=run)


@unlogged()
def run(options: argparse.Namespace) -> int:
    """Print what there is, a line each; what is broken says what to do."""
    from harness.loader import default_plugins

    plugins = default_plugins()
    found: dict[str, dict[str, str]] = {
        "versions": {
            "samescore": metadata.version("samescore"),
            "python": platform.python_version(),
            "platform": platform.platform(),
        },
        "extras": _extras(),
        "device": _device(),
        "store": _store(options.store),
        "models": _models(),
        "plugins": {p.name: f"{p.distribution} {p.version}" for p in plugins.loaded},
        "broken": {str(f.plugin): f"{f.doing}: {f.error}" for f in plugins.failures},
    }
    stranger = _stranger()
    if stranger:
        found["broken"]["import package"] = stranger
    if options.json:
        print_json(found)
    else:
        for section, lines in found.items():
            print(section)
            for key, text in (lines or {"none": ""}).items():
                print(f"  {key:<20} {text}")
    return 1 if found["broken"] else 0


def _extras() -> dict[str, str]:
    """Each extra of the distribution, and which of its packages are missing."""
    from packaging.requirements import Requirement

    missing: dict[str, list[str]] = {}
    for text in metadata.requires("samescore") or ():
        requirement = Requirement(text)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", str(requirement.marker or ""))
        if extra and requirement.name != "samescore":
            lacking = missing.setdefault(extra[1], [])
            if not _has(requirement.name):
                lacking.append(requirement.name)
    return {
        extra: "installed"
        if not lacking
        else f"needs {', '.join(lacking)}: pip install 'samescore[{extra}]'"
        for extra, lacking in sorted(missing.items())
    }


def _has(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _device() -> dict[str, str]:
    if not _has("torch"):
        return {"torch": "not installed"}
    import torch

    found = {"torch": torch.__version__, "threads": str(torch.get_num_threads())}
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        found[f"cuda:{index}"] = f"{properties.name}, {properties.total_memory >> 30} GiB"
    if len(found) == 2:
        found["device"] = "cpu"
    return found


def _store(url: str | None) -> dict[str, str]:
    from harness.store import Store

    try:
        with Store(url, readonly=True) as store:
            return {store.shown: f"{len(store.runs())} runs"}
    except HarnessError as error:
        return {"none": str(error)}


def _models() -> dict[str, str]:
    from harness.loader import default_plugins
    from harness.models import resolve

    found = {}
    for name in default_plugins().models():
        try:
            found[name] = resolve(name)
        except HarnessError as error:
            found[name] = str(error)
    return found


def _stranger() -> str | None:
    """Another distribution called `harness` puts its files into the same import package."""
    owners = metadata.packages_distributions().get("harness", [])
    others = sorted(set(owners) - {"samescore"})
    if not others:
        return None
    return f"{others[0]} has files in the same import package: pip uninstall {others[0]}"
