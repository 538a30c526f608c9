"""Which components are sent to workers, and what each of their workers is to have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from harness import HarnessError, Judge, Rewarder
from harness.api import name_of, refuse_class
from harness.building import describe
from harness.guards import GuardedGenerator, GuardedScorer
from harness.loader import default_plugins
from harness.references import parse
from harness_ray import RaySettings, number

if TYPE_CHECKING:
    from harness.executors import GivenGenerator, GivenScorer

Kind = Literal["generator", "scorer"]


class Part(NamedTuple):
    """A component as it was given; `sent` if workers build it.

    `expected` is what its fingerprint is taken of, as far as it is known before it is built.
    """

    label: str
    name: str
    kind: Kind
    reference: str
    expected: Mapping[str, object]
    sent: bool


class Share(NamedTuple):
    """How many workers a component has, and what each takes of its node."""

    workers: int
    cpus: float
    gpus: float


def part(given: GivenGenerator | GivenScorer, kind: Kind, driver: Sequence[str]) -> Part:
    """What becomes of a component.

    Raises:
        HarnessError: for an object, which only this process has, and an unknown component.
    """
    if isinstance(given, str):
        return _named(given, kind, driver)
    if isinstance(given, GuardedGenerator | GuardedScorer):
        if given.named:
            found = _named(given.reference, kind, driver)
            return found._replace(label=given.label, expected=given.description)
        label, component = given.label, _inner(given)
    else:
        refuse_class(given)
        label, component = name_of(given), given
    if label not in driver and not (isinstance(component, Judge) and not _scores(component)):
        raise HarnessError(
            f"ray: {label} is an object of this process, which no worker can build. Give its "
            f"reference, NAME:KEY=VALUE, of a plugin; or keep it here: ray:driver={label}"
        )
    return Part(label, label, kind, "", {}, sent=False)


def _named(reference: str, kind: Kind, driver: Sequence[str]) -> Part:
    parsed = parse(reference)
    plugins = default_plugins()
    if kind == "generator":
        registered = plugins.find(parsed.name, "generator")
    else:
        registered = plugins.find(parsed.name, "rewarder", "judge")
    calls = registered.role == "judge" or registered.component.calls
    sent = not calls and not {parsed.label, parsed.name}.intersection(driver)
    expected = describe(registered, parsed) if sent else {}
    return Part(parsed.label, parsed.name, kind, str(parsed), expected, sent)


def _inner(given: GuardedGenerator | GuardedScorer) -> object:
    return getattr(given.component, "judge", None) or given.component


def _scores(component: object) -> bool:
    return isinstance(component, Rewarder)


def shares(
    parts: Sequence[Part], settings: RaySettings, cluster: Mapping[str, float]
) -> list[Share]:
    """What each part that is sent has, in order: as many workers as fit, by default.

    Raises:
        HarnessError: for a setting that names no component of the run.
    """
    check_names(parts, settings)
    sent = [p for p in parts if p.sent]
    cpu = min(1.0, int(cluster["CPU"] * 1000 / max(len(sent), 1)) / 1000) or 1.0
    cpus = [_of(p, settings.cpus, cpu) for p in sent]
    gpus = [_of(p, settings.gpus, 0.0) for p in sent]
    workers = [_of(p, settings.workers, 0.0) for p in sent]
    found: list[Share] = []
    for place in range(len(sent)):
        fits = [
            (total - _fixed(workers, needs)) / _free(workers, needs)
            for total, needs in ((cluster["CPU"], cpus), (cluster["GPU"], gpus))
            if needs[place] > 0 and not workers[place]
        ]
        most = workers[place] or max(1.0, min(fits, default=cluster["CPU"]) + 1e-6)
        found.append(Share(int(most), cpus[place], gpus[place]))
    return found


def _fixed(workers: Sequence[float], needs: Sequence[float]) -> float:
    """What those take whose number of workers is given."""
    return sum(count * need for count, need in zip(workers, needs, strict=True))


def _free(workers: Sequence[float], needs: Sequence[float]) -> float:
    """What a worker of each of the others takes."""
    return sum(need for count, need in zip(workers, needs, strict=True) if not count)


def _of(part: Part, items: Sequence[str], default: float) -> float:
    """What a setting says of a part: by label, by name, for each, or nothing."""
    said = dict(map(number, items))
    keys = (part.label, part.name, "")
    return next((said[key] for key in keys if key in said), default)


def check_names(parts: Sequence[Part], settings: RaySettings) -> None:
    """Raise HarnessError for a setting that names no component of the run."""
    known = {name for p in parts for name in (p.label, p.name)}
    for setting in ("workers", "cpus", "gpus", "driver"):
        items: Sequence[str] = getattr(settings, setting)
        names = items if setting == "driver" else [number(item)[0] for item in items]
        for name in filter(None, names):
            if name not in known:
                there = ", ".join(dict.fromkeys(p.label for p in parts))
                raise HarnessError(f"ray: {setting} names {name!r}; this run has: {there}")
