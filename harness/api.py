"""Components by reference: the objects that evaluation, training and tests share."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping
from typing import cast

from harness.components import Generator, Judge, Retriever, Rewarder, Trainer
from harness.errors import PluginError
from harness.fingerprint import code_digest, deciding
from harness.guards import GuardedGenerator, GuardedScorer
from harness.judging import JudgeScorer
from harness.loader import default_plugins
from harness.references import Reference, parse


def scorer(reference: str | Reference | Rewarder | Judge | GuardedScorer) -> GuardedScorer:
    """The scorer that a reference names, or a rewarder or judge of your own, guarded.

    Raises:
        PluginError: if no such rewarder or judge can be built.
    """
    if isinstance(reference, GuardedScorer):
        return reference
    if isinstance(reference, str | Reference):
        parsed = parse(reference) if isinstance(reference, str) else reference
        built = default_plugins().build(parsed, "rewarder", "judge")
        judges = built.role == "judge"
        rewarder = JudgeScorer(built.instance) if judges else cast(Rewarder, built.instance)
        return GuardedScorer(parsed.label, rewarder, built.description, str(parsed))
    refuse_class(reference)
    if not isinstance(reference, Rewarder | Judge):
        raise PluginError(f"{reference!r} is no scorer: it has neither `score` nor `judge`")
    return GuardedScorer(name_of(reference), _rewarder(reference), describe(reference))


def generator(reference: str | Reference | Generator | GuardedGenerator) -> GuardedGenerator:
    """The generator that a reference names, or one of your own, guarded.

    Raises:
        PluginError: if no such generator can be built.
    """
    if isinstance(reference, GuardedGenerator):
        return reference
    if isinstance(reference, str | Reference):
        parsed = parse(reference) if isinstance(reference, str) else reference
        built = default_plugins().build(parsed, "generator")
        return GuardedGenerator(parsed.label, built.instance, built.description, str(parsed))
    refuse_class(reference)
    if not isinstance(reference, Generator):
        raise PluginError(f"{reference!r} is no generator: it has no `generate`")
    return GuardedGenerator(name_of(reference), reference, describe(reference))


def retriever(reference: str) -> Retriever:
    """The retriever that a reference names.

    Raises:
        PluginError: if no such retriever can be built.
    """
    return cast(Retriever, default_plugins().build(reference, "retriever").instance)


def trainer(reference: str | Reference) -> Trainer:
    """The trainer that a reference names.

    Raises:
        PluginError: if no such trainer can be built.
    """
    return cast(Trainer, default_plugins().build(reference, "trainer").instance)


def refuse_class(reference: object) -> None:
    """Raise PluginError for a class where an instance of it is meant."""
    if isinstance(reference, type):
        raise PluginError(f"{reference.__name__} is a class; give an instance of it")


def name_of(component: object) -> str:
    """What an object that is no reference is called: its `name`, or that of its class."""
    return str(getattr(component, "name", type(component).__name__))


def describe(component: object) -> Mapping[str, object]:
    """What an object's results hang on, where it can be known: fields, or its own identity.

    An object that tells neither, or whose code is in no file (a notebook's), is taken for
    another one each time, so nothing of it is reused.
    """
    kind = type(component)
    description: dict[str, object] = {"name": f"{kind.__module__}.{kind.__qualname__}"}
    description["code"] = code_digest(kind.__module__)
    if dataclasses.is_dataclass(component):
        description["settings"] = deciding(component)
    identity = getattr(component, "identity", None)
    if identity is not None:
        description["identity"] = dict(identity())
    elif "settings" not in description or not description["code"]:
        description["identity"] = {"object": uuid.uuid4().hex}
    return description


def _rewarder(component: Rewarder | Judge) -> Rewarder:
    return component if isinstance(component, Rewarder) else JudgeScorer(component)
