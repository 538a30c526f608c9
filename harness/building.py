"""Building a component: its settings, the object, and a look at whether it can play its role.

With the loader the only module that handles what a plugin returns before its type is known.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from harness import telemetry
from harness.components import Component, Identified
from harness.errors import HarnessError, PluginError
from harness.fingerprint import code_digest, deciding
from harness.references import Reference
from harness.settings import build_settings

Role = Literal["generator", "rewarder", "judge", "retriever", "trainer", "executor"]
ROLES: tuple[Role, ...] = ("generator", "rewarder", "judge", "retriever", "trainer", "executor")
_CALLS: dict[Role, tuple[str, tuple[object, ...], dict[str, object]]] = {
    "generator": ("generate", ([],), {"attempt": 0}),
    "rewarder": ("score", ([],), {}),
    "judge": ("judge", (None,), {}),
    "retriever": ("search", ([],), {"k": 1}),
    "trainer": ("train", (None,), {}),
    "executor": ("open", (None, ()), {}),
}


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin and the distribution that it came with."""

    name: str
    distribution: str = ""
    version: str = ""

    def __str__(self) -> str:
        return (
            f"{self.name} ({self.distribution} {self.version})" if self.distribution else self.name
        )


class Registered(NamedTuple):
    """A component with its role and the plugin that registered it."""

    component: Component[Any]
    role: Role
    plugin: Plugin


class Built(NamedTuple):
    """A component that was built, its role, and what its fingerprint is taken of."""

    instance: Any
    role: Role
    description: Mapping[str, object]


def build(registered: Registered, reference: Reference) -> Built:
    """The component as a reference's settings have it.

    Raises:
        PluginError: for a package that is not installed, a `build` that breaks, or an object that
            lacks its role's method; HarnessError for settings that cannot be used.
    """
    try:
        return _built(registered, reference)
    except HarnessError:
        raise
    except ModuleNotFoundError as error:
        raise PluginError(_missing(registered.component, error)) from error
    except (Exception, SystemExit) as error:
        name, doing = registered.component.name, "built"
        if isinstance(error, ImportError):
            doing = "imported"
        raise PluginError(
            f"{name} of the plugin {registered.plugin} cannot be {doing}: {one_line(error)}"
        ) from error


def _built(registered: Registered, reference: Reference) -> Built:
    component = registered.component
    settings = build_settings(component.name, component.settings, reference.settings)
    telemetry.switch_off()
    instance = component.build(settings)
    _check(component.name, registered.role, instance)
    description = _described(registered, settings)
    if isinstance(instance, Identified):
        description["identity"] = dict(instance.identity())
    return Built(instance, registered.role, description)


def describe(registered: Registered, reference: Reference) -> dict[str, object]:
    """What a component's fingerprint is taken of, less what it knows only once it is built.

    Raises:
        PluginError: for settings that cannot be used.
    """
    component = registered.component
    settings = build_settings(component.name, component.settings, reference.settings)
    return _described(registered, settings)


def _described(registered: Registered, settings: object) -> dict[str, object]:
    component = registered.component
    return {
        "name": component.name,
        "distribution": registered.plugin.distribution,
        "version": registered.plugin.version,
        "settings": deciding(settings),
        "code": code_digest(_source(component.build)),
    }


def _source(build: Any) -> str:
    """The module of a function, or of the one that a partial stands for."""
    return str(getattr(build, "func", build).__module__)


def _check(name: str, role: Role, instance: object) -> None:
    method, arguments, keywords = _CALLS[role]
    function = getattr(instance, method, None)
    try:
        inspect.signature(function).bind(*arguments, **keywords)  # type: ignore[arg-type]
    except TypeError as error:
        wanted = ", ".join(["…" for _ in arguments] + [f"{k}=…" for k in keywords])
        raise PluginError(f"the {role} {name!r} must have {method}({wanted}): {error}") from error
    if role == "judge" and not inspect.iscoroutinefunction(function):
        raise PluginError(f"the judge {name!r} must have `async def judge(completion)`")


def _missing(component: Component[Any], error: ModuleNotFoundError) -> str:
    install = f": pip install '{component.requires}'" if component.requires else ""
    return f"{component.name} needs {error.name or error}{install}"


def one_line(error: BaseException) -> str:
    """What an error says, and its type where it is not one of ours."""
    text = " ".join(str(error).split())
    if isinstance(error, HarnessError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
