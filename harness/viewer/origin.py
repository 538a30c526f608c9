"""Where a run or a training comes from, and how it was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.store.schema import RunRecord
from harness.store.trainings import TrainingRecord

_FOLDED = ("scorers", "trainer", "generator", "packages")


@dataclass(frozen=True, slots=True)
class Origin:
    """What is shown at once, by name; and what is behind a title: a component, the packages."""

    facts: Mapping[str, str]
    folded: Mapping[str, Mapping[str, str]]


def origin(record: RunRecord | TrainingRecord) -> Origin:
    """What a record tells of its origin."""
    told: dict[str, object] = {**record.config, **record.provenance}
    if isinstance(record, TrainingRecord):
        told["output"] = record.output
    facts = dict(flat({key: told[key] for key in told if key not in _FOLDED}))
    return Origin(facts, {title: dict(flat(found)) for title, found in _folded(told)})


def _folded(told: Mapping[str, object]) -> Iterator[tuple[str, Mapping[str, object]]]:
    for part in ("generator", "trainer"):
        if built := _mapping(told.get(part)):
            yield f"{part.title()} {built.get('label', '')}".strip(), built
    for label, scorer in _mapping(told.get("scorers")).items():
        yield f"Scorer {label}", _mapping(scorer)
    if packages := _mapping(told.get("packages")):
        yield f"{len(packages)} packages", packages


def flat(value: Mapping[str, object], head: str = "") -> Iterator[tuple[str, str]]:
    """The values within nested mappings as text, by their path; nothing that is empty."""
    for key, item in value.items():
        name = f"{head}{key}"
        if isinstance(item, Mapping):
            yield from flat(item, f"{name}.")
        elif item not in (None, "", [], ()):
            yield name, ", ".join(map(str, item)) if isinstance(item, list) else str(item)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
