"""Builds every component that is installed, and prints what became of each as JSON.

`python built.py` in any environment that has samescore, and in an empty folder: it imports nothing
else, and a component may write. A setting that must be given gets a name that leads nowhere.
"""

from __future__ import annotations

import dataclasses
import json
import sys

from harness import HarnessError
from harness.building import ROLES, Registered
from harness.building import build as build_component
from harness.loader import default_plugins
from harness.references import Reference

NOWHERE = "no-such-thing"


def main() -> None:
    """One entry a component: what it requires, and how building it went."""
    found = [
        {
            "name": registered.component.name,
            "role": role,
            "requires": registered.component.requires,
            "outcome": outcome(registered),
        }
        for role in ROLES
        for registered in default_plugins().components(role)
    ]
    json.dump(found, sys.stdout)


def outcome(registered: Registered) -> str:
    """`built`, or the line that a user would read; anything else is an error of this program."""
    fields = dataclasses.fields(registered.component.settings)
    needed = {f.name: NOWHERE for f in fields if _is_needed(f) and f.type in (str, "str")}
    try:
        build_component(registered, Reference(registered.component.name, needed))
    except HarnessError as error:
        return str(error)
    return "built"


def _is_needed(field: dataclasses.Field[object]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


if __name__ == "__main__":
    main()
