"""Finding plugins, and building the components they register.

With `building` the only module that handles what a plugin returns before its type is known, so
the only ones with `Any` in them. A discovered plugin that breaks is recorded in
`Plugins.failures` and left out; a component that the user asked for and cannot have raises.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import itertools
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from importlib import metadata
from typing import Any

import pluggy

from harness import hookspecs
from harness.building import ROLES, Built, Plugin, Registered, Role, build, one_line
from harness.components import Component, Model
from harness.errors import PluginError
from harness.references import Reference, is_name, parse

GROUP = "samescore"


@dataclass(frozen=True, slots=True)
class Failure:
    """A plugin that broke: what it was doing, the error in one line, and the traceback."""

    plugin: Plugin
    doing: str
    error: str
    details: str


class Plugins:
    """A set of plugins: what they register, who observes, and which of them are broken."""

    def __init__(self, blocked: Iterable[str] = ()) -> None:
        self.failures: list[Failure] = []
        self.loaded: list[Plugin] = []
        self._manager = pluggy.PluginManager("harness")
        self._manager.add_hookspecs(hookspecs)
        self._blocked = set(blocked)
        self._names: dict[int, Plugin] = {}
        self._silent: set[int] = set()
        self._numbers = itertools.count()
        self._found: dict[Role, list[Registered]] | None = None
        self._models: dict[str, Model] | None = None
        self._built: dict[tuple[Plugin, Role, str], Built] = {}

    def discover(self) -> None:
        """Load every plugin named by an entry point in the group `samescore`."""
        points = metadata.entry_points(group=GROUP)
        for name in self._blocked - points.names:
            _log(
                f"harness: no plugin is called {name!r}, so none is left out; see: harness plugins"
            )
        for point in points:
            plugin = _plugin_of(point)
            if point.name not in self._blocked:
                self._guard(plugin, "loading", functools.partial(self._load, point, plugin))

    def add(self, module: object, plugin: Plugin) -> bool:
        """Register a module or object whose functions are marked with `@hookimpl`.

        Returns:
            Whether it is registered by this call: not if it was before, or is to be left out.

        Raises:
            PluginError: if it implements an unknown hook or has a wrong signature; nothing of
                it is registered then.
        """
        if plugin.name in self._blocked or self._manager.is_registered(module):
            return False
        self._refuse_unmarked(module)
        try:
            self._manager.register(module, f"{plugin.name}#{next(self._numbers)}")
            self._manager.check_pending()
            self._refuse_wrappers(module)
        except (pluggy.PluginValidationError, PluginError) as error:
            if self._manager.is_registered(module):
                self._manager.unregister(module)
            raise PluginError(one_line(error)) from error
        self.loaded.append(plugin)
        self._names[id(module)] = plugin
        self._found = self._models = None
        return True

    def remove(self, module: object) -> None:
        """Take back what `add` registered."""
        if self._manager.is_registered(module):
            self._manager.unregister(module)
            plugin = self._names.pop(id(module))
            self.loaded.remove(plugin)
            self._silent.discard(id(module))
            self._built = {key: b for key, b in self._built.items() if key[0] != plugin}
            self._found = self._models = None

    def components(self, role: Role) -> list[Registered]:
        """Every component of a role, in the order in which plugins were loaded."""
        if self._found is None:
            self._found = {r: list(self._register(r)) for r in ROLES}
        return self._found[role]

    def models(self) -> Mapping[str, Model]:
        """Every packaged model by name; of two with one name the first loaded stands."""
        if self._models is None:
            self._models = {}
            for plugin, model in self._collect("harness_models", Model):
                if model.name in self._models:
                    text = f"the model {model.name!r} is registered already by another plugin"
                    self._fail(plugin, "harness_models", text)
                self._models.setdefault(model.name, model)
        return self._models

    def find(self, name: str, *roles: Role) -> Registered:
        """The component of this name, which may be qualified as `distribution/name`.

        Raises:
            PluginError: if there is none, or more than one; the message names what there is.
        """
        known = [r for role in roles for r in self.components(role)]
        found = [r for r in known if name in (r.component.name, _qualified(r))]
        if len(found) == 1:
            return found[0]
        if found:
            raise PluginError(_ambiguous(name, found))
        raise PluginError(self._unknown(name, " or ".join(roles), known))

    def build(self, reference: str | Reference, *roles: Role) -> Built:
        """The component that a reference names; built once, then the same object each time.

        Raises:
            PluginError: for an unknown name or setting, a package that is not installed, or an
                object that lacks its role's method.
        """
        parsed = parse(reference) if isinstance(reference, str) else reference
        registered = self.find(parsed.name, *roles)
        name, settings = registered.component.name, sorted(parsed.settings.items())
        key = registered.plugin, registered.role, f"{name} {settings}"
        if key not in self._built:
            self._built[key] = build(registered, parsed)
        return self._built[key]

    def offered(self, plugin: str, name: str) -> Any:
        """What a plugin's module has under a name, beside its hooks: a server that can be started.

        Raises:
            PluginError: if the plugin is not there, or has nothing of that name.
        """
        for module in self._manager.get_plugins():
            if self._plugin_of(module).name == plugin and hasattr(module, name):
                return getattr(module, name)
        broken = [f.error for f in self.failures if f.plugin.name == plugin]
        why = f"is broken: {broken[0]}" if broken else f"that offers {name!r} is not installed"
        raise PluginError(f"the plugin {plugin!r} {why}; see: harness plugins")

    def forget(self, keep: Iterable[object] = ()) -> None:
        """Build components anew when they are next asked for, but those to `keep`.

        For when what they are made from has changed: a path that holds another model now.
        """
        kept = {id(component) for component in keep}
        self._built = {key: b for key, b in self._built.items() if id(b.instance) in kept}

    def observed(self, hook: str) -> bool:
        """Whether anyone observes a hook, so that a hot loop can leave the calls out."""
        return any(True for _ in self._observers(hook))

    def tell(self, hook: str, **arguments: object) -> None:
        """Call every observer of a hook; one that raises is recorded once and not called again."""
        for implementation in list(self._observers(hook)):
            plugin = self._plugin_of(implementation.plugin)
            call = functools.partial(_call, implementation, arguments)
            if not self._guard(plugin, hook, call):
                self._silent.add(id(implementation.plugin))

    def _observers(self, hook: str) -> Iterator[Any]:
        """The implementations of a hook, less those of plugins that broke while observing."""
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            if id(implementation.plugin) not in self._silent:
                yield implementation

    def _load(self, point: metadata.EntryPoint, plugin: Plugin) -> None:
        self.add(point.load(), plugin)

    def _register(self, role: Role) -> Iterator[Registered]:
        for plugin, component in self._collect(f"harness_{role}s", Component):
            yield Registered(component, role, plugin)

    def _collect(self, hook: str, kind: type) -> Iterator[tuple[Plugin, Any]]:
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            plugin = self._plugin_of(implementation.plugin)
            items: list[Any] = []
            self._guard(plugin, hook, functools.partial(_consume, implementation, items))
            for item in items:
                wrong = _wrong(item, kind)
                if wrong:
                    self._fail(plugin, hook, f"{hook} gave {item!r}; {wrong}")
                else:
                    yield plugin, item

    def _plugin_of(self, module: object) -> Plugin:
        return self._names[id(module)]

    def _guard(self, plugin: Plugin, doing: str, call: Callable[[], object]) -> bool:
        try:
            call()
        except (Exception, SystemExit) as error:
            self._fail(plugin, doing, one_line(error), traceback.format_exc())
            return False
        return True

    def _fail(self, plugin: Plugin, doing: str, error: str, details: str = "") -> None:
        """Record a failure, and log it: once, however often the plugin is asked again."""
        if (plugin, doing, error) not in [(f.plugin, f.doing, f.error) for f in self.failures]:
            self.failures.append(Failure(plugin, doing, error, details or error))
            _log(f"harness: broken plugin {plugin}: {doing}: {error}")

    def _refuse_unmarked(self, module: object) -> None:
        for name, member in inspect.getmembers(module, inspect.isroutine):
            if name.startswith("harness_") and not hasattr(member, "harness_impl"):
                raise PluginError(f"{name} is not marked with @hookimpl")

    def _refuse_wrappers(self, module: object) -> None:
        for caller in self._manager.get_hookcallers(module) or ():
            for implementation in caller.get_hookimpls():
                if implementation.plugin is module and _is_special(implementation):
                    raise PluginError(f"{caller.name} is a wrapper; harness hooks take none")

    def _unknown(self, name: str, role: str, known: list[Registered]) -> str:
        names = sorted({r.component.name for r in known})
        near = difflib.get_close_matches(name, names, 1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        broken = [f for f in self.failures if name in (f.plugin.name, f.plugin.distribution)]
        others = ", ".join(dict.fromkeys(str(f.plugin) for f in self.failures))
        why = f" Broken plugins (see harness plugins): {others}." if others else ""
        why = f" The plugin {broken[0].plugin} is broken: {broken[0].error}" if broken else why
        return f"no {role} is called {name!r}{hint} Known: {', '.join(names) or 'none'}.{why}"


def default_plugins() -> Plugins:
    """The installed plugins less those in the environment variable HARNESS_NO_PLUGIN (a,b,c)."""
    return _installed_without(os.environ.get("HARNESS_NO_PLUGIN", ""))


@functools.cache
def _installed_without(names: str) -> Plugins:
    plugins = Plugins(filter(None, map(str.strip, names.split(","))))
    plugins.discover()
    return plugins


def _call(implementation: Any, arguments: Mapping[str, object]) -> Any:
    if os.environ.get("HARNESS_TRACE"):
        shown = ", ".join(f"{k}={str(v)[:60]}" for k, v in arguments.items())
        name = implementation.function.__name__
        print(f"[harness] {implementation.plugin_name} {name}({shown})", file=sys.stderr)
    return implementation.function(*(arguments[name] for name in implementation.argnames))


def _log(line: str) -> None:
    import logging

    logging.getLogger("harness").warning(line)


def _wrong(item: object, kind: type) -> str:
    """What keeps a registered item from being used; empty if nothing does."""
    if not isinstance(item, kind):
        return f"it must give {kind.__name__} objects"
    if not isinstance(item, Component):
        return ""
    if not isinstance(item.name, str) or not is_name(item.name):
        return "its name must be letters, digits, '_', '-' and '.'"
    if not callable(item.build) or not is_dataclass(item.settings):
        return "`build` must be callable and `settings` a dataclass"
    return ""


def _consume(implementation: Any, items: list[Any]) -> None:
    """Collect what a registration hook yields: a generator raises only when it is consumed."""
    items.extend(_call(implementation, {}))


def _ambiguous(name: str, found: list[Registered]) -> str:
    sides = " and ".join(f"{r.role} {_qualified(r)!r} of {r.plugin}" for r in found)
    return (
        f"{name!r} is ambiguous: {sides}. Write the qualified name, "
        f"or leave one out with --no-plugin {' or '.join(r.plugin.name for r in found)}"
    )


def _qualified(registered: Registered) -> str:
    return f"{registered.plugin.distribution or registered.plugin.name}/{registered.component.name}"


def _plugin_of(point: metadata.EntryPoint) -> Plugin:
    if point.dist is None:
        return Plugin(point.name)
    return Plugin(point.name, point.dist.name, point.dist.version)


def _is_special(implementation: Any) -> bool:
    return bool(implementation.wrapper or implementation.hookwrapper)
