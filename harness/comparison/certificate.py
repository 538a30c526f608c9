"""Whether a model was trained by the very scorers that grade it now.

A store's record of a training names its scorers by fingerprint; where the training was recorded
elsewhere, `samescore.json` beside the model says the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from harness.comparison.matching import bare
from harness.errors import DataError
from harness.fingerprint import differences

if TYPE_CHECKING:
    from harness.comparison.results import Suite
    from harness.comparison.sides import Side

State = Literal["trained on", "part of reward", "watched", "other version", "never seen"]
_STATES: tuple[State, ...] = (
    "trained on", "part of reward", "watched", "other version", "never seen",
)  # fmt: skip
_DEPTH = 5


@dataclass(frozen=True, slots=True)
class Claim:
    """What a training had to do with a scorer that grades its model now.

    `trained on`: the very scorer, of one fingerprint, with a weight in the reward. `part of
    reward`: a scorer of the reward is built on it. `watched`: its weight was 0. `other version`:
    one of the same name; `detail` says what differs. `never seen`: neither.
    """

    scorer: str
    state: State
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is known of how a side's model was trained.

    `trainings` has the trainings from the last to the first. `claims` are of the scorers that
    grade the model, `ungraded` names those of its reward that do not. `rows` says how the rows
    that it is graded on were used in training, where that can be told.
    """

    suite: str
    side: str
    trainings: tuple[str, ...]
    claims: tuple[Claim, ...]
    ungraded: tuple[str, ...]
    rows: str = ""
    note: str = ""


def certificates(suite: Suite) -> Iterator[Certificate]:
    """The certificates of a suite's sides, of those whose training is known."""
    for name, side in suite.sides.items():
        cards = _chain(side)
        if cards:
            yield _certificate(suite.name, name, side, cards)


@dataclass(frozen=True, slots=True)
class _Card:
    """A training: what it is called, where it was found, and its scorers."""

    told: str
    found: Mapping[str, object]
    newer: bool

    @property
    def scorers(self) -> Mapping[str, Mapping[str, object]]:
        return cast(Mapping[str, Mapping[str, object]], self.found["scorers"])


def _certificate(suite: str, name: str, side: Side, cards: Sequence[_Card]) -> Certificate:
    graded = {*side.graded, *(scored.fingerprint for scored in side.scored.values())}
    rewarding = {
        label: scorer
        for card in cards
        for label, scorer in card.scorers.items()
        if scorer["weight"] and scorer["fingerprint"] not in graded
    }
    return Certificate(
        suite=suite,
        side=name,
        trainings=tuple(card.told for card in cards),
        claims=tuple(_claim(label, s.description, cards) for label, s in side.scored.items()),
        ungraded=tuple(rewarding),
        rows=_rows(side, cards),
        note="its card is newer than this run: it may have been trained again" * cards[0].newer,
    )


def _claim(label: str, grading: Mapping[str, object], cards: Sequence[_Card]) -> Claim:
    """The strongest of what the trainings say of a scorer."""
    every = [
        _compared(label, grading, scorer) for card in cards for scorer in card.scorers.values()
    ]
    every.sort(key=lambda claim: (_STATES.index(claim.state), len(claim.detail)))
    return every[0] if every else Claim(label, "never seen")


def _compared(label: str, grading: Mapping[str, object], trained: Mapping[str, object]) -> Claim:
    called = str(trained["label"])
    if trained["fingerprint"] == grading.get("fingerprint"):
        weight = cast(float, trained["weight"])
        shown = f"weight {weight:g}" + (f", as {called}" if called != label else "")
        return Claim(label, "trained on" if weight else "watched", shown if weight else "")
    if trained["weight"] and grading.get("fingerprint") in _texts(trained):
        return Claim(label, "part of reward", f"within {called}")
    if trained.get("name") != grading.get("name"):
        return Claim(label, "never seen")
    of = called if trained["weight"] else f"{called}, watched"
    changed = "; ".join(differences(bare(trained), bare(grading)))
    return Claim(label, "other version", f"{of}: {changed}")


def _rows(side: Side, cards: Sequence[_Card]) -> str:
    """How the rows were used: known where they are all the rows of a training's table."""
    for card in cards:
        for key, told in (("samples", "the rows that it was trained on"), ("held_out", "held out")):
            used = cast(Mapping[str, object], card.found[key])
            if used["n"] and used["digest"] == side.samples:
                return told
    return ""


def _chain(side: Side) -> list[_Card]:
    """The last training of the side's model, that of the model it began from, and so on."""
    cards: list[_Card] = []
    holder: Mapping[str, object] = side.generator
    while len(cards) < _DEPTH:
        models = _texts(cast(Mapping[str, object], holder.get("settings") or {}))
        found = next(filter(None, (_card(model, side) for model in models)), None)
        if found is None or found.told in [card.told for card in cards]:
            break
        cards.append(found)
        holder = cast(Mapping[str, object], found.found["trainer"])
    return cards


def _card(model: str, side: Side) -> _Card | None:
    """The card of a setting that names a trained model; None for any other text."""
    if len(model) > 1000 or "\n" in model or "\0" in model:
        return None
    path = Path(model).expanduser()
    return _card_of_store(path, side) or _card_on_disk(path, side)


def _card_on_disk(path: Path, side: Side) -> _Card | None:
    from harness.training import card

    folder = path.parent if path.is_file() else path
    try:
        found = card.read(folder) if folder.is_dir() and path != Path() else None
    except DataError:  # what is no card certifies nothing
        return None
    if found is None:
        return None
    file = folder / card.NAME
    newer = bool(side.started) and file.stat().st_mtime > side.started
    return _Card(_told(found, str(path)), found, newer)


def _card_of_store(path: Path, side: Side) -> _Card | None:
    """The store's record: of trainings into one folder, the latest before the side's run."""
    if side.lookup is None or path == Path():
        return None
    place = path.absolute()
    found = [
        (len(Path(record.output).parts), record.started, record)
        for record in side.lookup.trainings()
        if place.is_relative_to(Path(record.output).absolute()) and record.started < side.started
    ]
    if not found:
        return None
    *_, record = max(found, key=lambda item: item[:2])
    card = {**record.config, "training": record.id}
    return _Card(_told(card, str(path)), card, newer=False)


def _told(card: Mapping[str, object], where: str) -> str:
    trainer = cast(Mapping[str, object], card["trainer"])
    return f"{trainer.get('label') or trainer.get('name')} {card['training']} ({where})"


def _texts(value: object) -> list[str]:
    """Every text within a JSON-like value."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, Mapping) else value
    if isinstance(inner, list | tuple) or isinstance(value, Mapping):
        return [text for item in cast(Sequence[object], inner) for text in _texts(item)]
    return []
