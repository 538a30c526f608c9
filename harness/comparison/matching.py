"""Which sample of one side is which of the other, and which scorer is which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.comparison.sides import Side
from harness.errors import DataError, HarnessError
from harness.fingerprint import differences

if TYPE_CHECKING:
    from harness.comparison.sides import Places

_SHOWN = 3
_NAMING = ("label", "reference", "fingerprint", "weight")


@dataclass(frozen=True, slots=True)
class Matched:
    """Samples of two sides, pair by pair, as places in each; and how many have no partner.

    `changed` counts the ids that stand for another prompt or other references on each side; they
    are among the pairs only where they are `kept`.
    """

    first: Places
    other: Places
    only_first: int
    only_other: int
    changed: int = 0
    kept: bool = False


def match(first: Side, other: Side, *, allow_different_samples: bool = False) -> Matched:
    """Pair the samples of two sides by id.

    Samples whose content differs are left out, or kept where they are allowed. It is looked at
    only where the digests of the data sets differ.

    Raises:
        DataError: if no id is common, or most of those that are stand for other contents.
    """
    ours, theirs = _common(first.ids, other.ids)
    if not len(ours):
        raise DataError(
            f"{first.source} and {other.source} have no sample in common "
            f"(ids {_some(first.ids)} and {_some(other.ids)})"
        )
    only = len(first.ids) - len(ours), len(other.ids) - len(theirs)
    same = _same_content(first, other, ours, theirs)
    changed = [i for i, is_same in enumerate(same) if not is_same]
    if changed and not allow_different_samples:
        _refuse_another_version(first, other, ours, changed)
        ours, theirs = _without(ours, changed), _without(theirs, changed)
    return Matched(ours, theirs, *only, len(changed), allow_different_samples)


def scorers_of(
    first: Side, other: Side, wanted: Sequence[str] = (), *, allow_different: bool = False
) -> list[tuple[str, str]]:
    """The scorers of both sides, as pairs of labels: by label, or else by fingerprint.

    Raises:
        HarnessError: if none is common, or one is another one in the other side than in the first.
    """
    labels = [first.label_of(name) for name in wanted] or list(first.scored)
    pairs = [(label, same) for label in labels if (same := _same_scorer(first, other, label))]
    _refuse_absent(first, other, [label for label in labels if wanted], [one for one, _ in pairs])
    for one, same in pairs:
        changed = changes(first, other, one, same)
        if changed and not allow_different:
            more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
            raise HarnessError(
                f"{one} is not the same scorer in {first.source} and {other.source}: "
                f"{'; '.join(changed[:_SHOWN])}{more}; --allow-different-scorers compares them"
            )
    return pairs


def changes(first: Side, other: Side, label: str, same: str) -> list[str]:
    """What differs between a scorer of two sides; nothing where it is the same or not known."""
    one, two = first.scored[label], other.scored[same]
    if not one.fingerprint or not two.fingerprint or one.fingerprint == two.fingerprint:
        return []
    found = differences(bare(one.description), bare(two.description))
    return found or [f"fingerprint: {one.fingerprint} → {two.fingerprint}"]


def bare(description: Mapping[str, object]) -> dict[str, object]:
    """A scorer's description without how it is called and what it weighs."""
    return {key: value for key, value in description.items() if key not in _NAMING}


def _refuse_absent(first: Side, other: Side, wanted: Sequence[str], found: Sequence[str]) -> None:
    absent = [label for label in wanted if label not in found]
    theirs = ", ".join(other.scored)
    if absent:
        raise DataError(f"{other.source} has no scorer {absent[0]!r}; it has: {theirs}")
    if not found:
        ours = ", ".join(first.scored)
        raise DataError(
            f"{first.source} ({ours}) and {other.source} ({theirs}) have no scorer in common"
        )


def _same_scorer(first: Side, other: Side, label: str) -> str:
    if label in other.scored:
        return label
    wanted = first.scored[label].fingerprint
    alike = [name for name, s in other.scored.items() if wanted and s.fingerprint == wanted]
    return alike[0] if alike else ""


def _common(first: Sequence[str], other: Sequence[str]) -> tuple[Places, Places]:
    import numpy as np

    if first == other:
        every = np.arange(len(first), dtype=np.int64)
        return every, every
    places = {sample: place for place, sample in enumerate(other)}
    theirs = np.fromiter((places.get(s, -1) for s in first), dtype=np.int64, count=len(first))
    ours = np.flatnonzero(theirs >= 0)
    return ours, theirs[ours]


def _same_content(first: Side, other: Side, ours: Places, theirs: Places) -> Sequence[bool]:
    if first.samples == other.samples or first.lookup is None or other.lookup is None:
        return ()
    one, two = first.lookup.contents(), other.lookup.contents()
    pairs = zip(ours.tolist(), theirs.tolist(), strict=True)
    return [not one[a] or not two[b] or one[a] == two[b] for a, b in pairs]


def _refuse_another_version(first: Side, other: Side, ours: Places, changed: Sequence[int]) -> None:
    if 2 * len(changed) > len(ours):
        raise DataError(
            f"{first.source} and {other.source} have different versions of the data set: "
            f"{len(changed)} of {len(ours)} common ids stand for another prompt or reference, "
            f"{first.ids[int(ours[changed[0]])]!r} for one; --allow-different-samples compares them"
        )


def _without(places: Places, left_out: Sequence[int]) -> Places:
    import numpy as np

    return np.delete(places, left_out)


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:_SHOWN]) + (", …" if len(ids) > _SHOWN else "")
