"""`harness plugins`: what is installed, and what is broken."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.cli._telling import print_json, unlogged

if TYPE_CHECKING:
    from harness.cli._types import Commands
    from harness.loader import Plugins


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "plugins",
        help="list components and their settings",
        description="List what plugins register. Exits with 1 if a plugin is broken.",
    )
    parser.add_argument("name", nargs="?", help="show the settings of this component alone")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(command=run)


@unlogged()
def run(options: argparse.Namespace) -> int:
    """Print every component; broken plugins come last, each with its error."""
    from harness.building import ROLES
    from harness.loader import default_plugins

    plugins = default_plugins()
    found = _found(plugins, options.name)
    if options.name and not found:
        plugins.find(options.name, *ROLES)  # which says what was meant
    plugins.models()  # so that a plugin whose models cannot be had is named as well
    if options.json:
        print_json({"components": found, "broken": _broken(plugins)})
    else:
        _print(found, with_settings=bool(options.name))
        for name, qualified in _ambiguous(found).items():
            print(f"AMBIGUOUS  {name}: write {' or '.join(qualified)}")
        for failure in plugins.failures:
            print(f"BROKEN  {failure.plugin}: {failure.doing}: {failure.error}")
        if not options.name:
            print("Settings of one of them: harness plugins NAME")
    return 1 if plugins.failures else 0


def _found(plugins: Plugins, name: str | None) -> list[dict[str, object]]:
    from harness.building import ROLES
    from harness.settings import describe

    return [
        {
            "name": r.component.name,
            "role": role,
            "summary": r.component.summary,
            "plugin": r.plugin.name,
            "distribution": r.plugin.distribution,
            "version": r.plugin.version,
            "settings": [s._asdict() for s in describe(r.component.settings)],
        }
        for role in ROLES
        for r in plugins.components(role)
        if name in (None, r.component.name, f"{r.plugin.distribution}/{r.component.name}")
    ]


def _ambiguous(found: list[dict[str, object]]) -> dict[str, list[str]]:
    """The names that two components of one use have, each with the names that tell them apart.

    A generator and a judge may have one name: nobody asks for either where the other is meant.
    """
    by_name: dict[tuple[object, str], list[str]] = {}
    for component in found:
        use = "scorer" if component["role"] in ("rewarder", "judge") else component["role"]
        qualified = f"{component['distribution'] or component['plugin']}/{component['name']}"
        by_name.setdefault((use, str(component["name"])), []).append(qualified)
    return {name: every for (_, name), every in by_name.items() if len(every) > 1}


def _broken(plugins: Plugins) -> list[dict[str, str]]:
    return [
        {"plugin": str(f.plugin), "doing": f.doing, "error": f.error, "traceback": f.details}
        for f in plugins.failures
    ]


def _print(found: list[dict[str, object]], *, with_settings: bool) -> None:
    from harness.report import listing

    if not with_settings:
        print(listing(map(_line, found), folded=(2, 3)))
        return
    for component in found:
        print(listing([_line(component)], folded=(2, 3)))
        settings = component["settings"]
        for s in settings if isinstance(settings, list) else ():
            print(f"    {s['name']} ({s['type']}, default {s['default']}): {s['doc']}")


def _line(component: dict[str, object]) -> list[str]:
    origin = f"{component['distribution']} {component['version']}".strip()
    told = [str(component[key]) for key in ("role", "name", "summary")]
    return [*told, f"[{origin or component['plugin']}]"]
