"""What a new plugin's distribution, import package, component and classes are called."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from dataclasses import dataclass
from importlib import metadata

from packaging.utils import canonicalize_name

from harness.building import ROLES, Role
from harness.errors import HarnessError
from harness.loader import GROUP, default_plugins

ROLES_WRITTEN: tuple[Role, ...] = ("rewarder", "judge", "generator", "retriever", "trainer")
"""The roles of which a package is written; who writes an executor reads `harness.executors`."""

_PYPI = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE | re.ASCII)
_LONGEST = 100
_OURS = "harness", "samescore"


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a plugin; of `acme-rouge-l` they are `acme_rouge_l`, `rouge-l` and `RougeL`."""

    distribution: str
    module: str
    component: str
    stem: str


def names_for(name: str, role: Role) -> Names:
    """The names of a plugin called `name`, which is normalised as PyPI does it.

    The component is what follows the first dash, and the whole name if there is no dash.

    Raises:
        HarnessError: for what is no name of a distribution or makes no import package, and for
            names that are taken here, but by an installed plugin of that very name.
    """
    if not _PYPI.fullmatch(name) or len(name) > _LONGEST:
        raise HarnessError(
            f"{name!r} cannot name a package: up to {_LONGEST} letters of ASCII, digits, "
            "'-', '_' and '.', with a letter or digit first and last"
        )
    distribution = str(canonicalize_name(name))
    component = distribution.partition("-")[2] or distribution
    module = distribution.replace("-", "_")
    _check_module(distribution, module)
    if not component[0].isalpha():
        raise HarnessError(
            f"{name!r} gives a component called {component!r}, which must begin with a letter"
        )
    _check_component(distribution, component, role)
    stem = "".join(part.capitalize() for part in component.split("-"))
    return Names(distribution, module, component, stem)


def _check_module(distribution: str, module: str) -> None:
    if not module.isidentifier() or keyword.iskeyword(module):
        raise HarnessError(f"{distribution!r} cannot be imported as {module!r}; choose another")
    if module.partition("_")[0] in _OURS:
        raise HarnessError(
            f"{distribution!r} begins as what samescore itself installs; begin with another word"
        )
    taken = module in sys.stdlib_module_names or importlib.util.find_spec(module)
    if taken and not _is_plugin(distribution):
        raise HarnessError(f"there is a package {module!r} here already; choose another name")


def _is_plugin(distribution: str) -> bool:
    try:
        return bool(metadata.distribution(distribution).entry_points.select(group=GROUP))
    except metadata.PackageNotFoundError:
        return False


def _check_component(distribution: str, component: str, role: Role) -> None:
    """Of two components with one name neither is picked, so a new one must not take another's."""
    scorers: tuple[Role, ...] = ("rewarder", "judge")
    same_use = scorers if role in scorers else (role,)
    for registered in (r for each in ROLES for r in default_plugins().components(each)):
        others = canonicalize_name(registered.plugin.distribution) != distribution
        if others and registered.role in same_use and registered.component.name == component:
            raise HarnessError(
                f"{distribution!r} gives a {role} called {component!r}, and that is the name of "
                f"one of {registered.plugin}; choose another"
            )
