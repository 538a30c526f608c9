"""Baselines: scores by sample in a file, so that a later run can be compared without a store."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from harness.comparison.sides import Scored, Side
from harness.data.writing import write_text
from harness.errors import DataError

if TYPE_CHECKING:
    from harness.store.columns import Texts
    from harness.store.trainings import TrainingRecord

_FORMAT = 1


def write_baseline(file: str | Path, sides: Sequence[Side]) -> None:
    """Write sides, one of each suite, whole or not at all.

    Raises:
        DataError: if it cannot be written.
    """
    named = zip(names_of(sides), sides, strict=True)
    found = {
        "samescore_baseline": _FORMAT,
        "suites": [{"suite": name, **_as_dict(side)} for name, side in named],
    }
    path = Path(file)
    if not path.parent.is_dir():
        raise DataError(f"{path}: the folder {path.parent} does not exist; create it first")
    write_text(path, json.dumps(found, ensure_ascii=False) + "\n")


def read_baseline(file: str | Path) -> dict[str, Side]:
    """The sides of a baseline, by the names of their suites.

    Raises:
        DataError: if it is none, or one of a later samescore.
    """
    path = Path(file)
    try:
        found = json.loads(path.read_text("utf-8"))
        known = found["samescore_baseline"] == _FORMAT
        sides = {str(s["suite"]): _side(s, path) for s in found["suites"]} if known else {}
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise DataError(
            f"{path} is no baseline; `harness compare RUN --save-baseline {path}` writes one"
        ) from error
    if not known:
        raise DataError(f"{path} is a baseline of another samescore; write it anew")
    return sides


def names_of(sides: Sequence[Side]) -> list[str]:
    """What the suites of these sides are called: different names, also where two are alike."""
    counts: Counter[str] = Counter()
    names = []
    for side in sides:
        name = side.suite or side.name
        counts[name] += 1
        names.append(f"{name} #{counts[name]}" if counts[name] > 1 else name)
    return names


def paired_with(suites: Sequence[Sequence[Side]], baseline: Mapping[str, Side]) -> list[list[Side]]:
    """The suites, each with its baseline in front: that of its name, or the only one there is.

    Raises:
        DataError: if the baseline has none for a suite.
    """
    if len(suites) == 1 and len(baseline) == 1:
        return [[*baseline.values(), *suites[0]]]
    names = names_of([sides[-1] for sides in suites])
    absent = [name for name in names if name not in baseline]
    if absent:
        raise DataError(f"the baseline has no suite {absent[0]!r}; it has: {', '.join(baseline)}")
    return [[baseline[name], *sides] for name, sides in zip(names, suites, strict=True)]


def _as_dict(side: Side) -> dict[str, object]:
    return {
        "name": side.name,
        "source": side.source,
        "rows": side.rows,
        "samples": side.samples,
        "generator": side.generator,
        "started": side.started,
        "notes": side.notes,
        "ids": side.ids,
        "clusters": side.clusters,
        "contents": side.lookup.contents() if side.lookup else [],
        "scorers": {
            label: {
                "description": scored.description,
                "unscored": scored.unscored,
                "values": [None if math.isnan(v) else v for v in scored.values.tolist()],
            }
            for label, scored in side.scored.items()
        },
    }


def _side(found: Mapping[str, object], path: Path) -> Side:
    ids = list(map(str, _list(found["ids"])))
    scorers = cast(Mapping[str, Mapping[str, object]], found["scorers"])
    clusters, contents = _list(found["clusters"]), _list(found["contents"])
    lengths = {len(ids), *(len(_list(s["values"])) for s in scorers.values())}
    lengths |= {len(some) for some in (clusters, contents) if some}
    if lengths != {len(ids)} or not ids or len(set(ids)) < len(ids):
        raise ValueError("its columns do not fit each other")
    return Side(
        name=str(found["name"]),
        source=f"{found['source']} of {path}",
        suite=str(found["suite"]),
        ids=ids,
        scored={label: _scored(s) for label, s in scorers.items()},
        rows=int(cast(int, found["rows"])),
        clusters=list(map(str, clusters)),
        samples=str(found["samples"]),
        generator=cast(Mapping[str, object], found["generator"]),
        started=float(cast(float, found["started"])),
        notes=tuple(map(str, _list(found["notes"]))),
        lookup=_Saved(list(map(str, contents))) if contents else None,
    )


def _scored(found: Mapping[str, object]) -> Scored:
    import numpy as np

    values = np.array(_list(found["values"]), dtype=np.float64)
    unscored = cast(Mapping[str, int], found["unscored"])
    return Scored(values, dict(unscored), cast(Mapping[str, object], found["description"]))


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return value


class _Saved:
    """What a baseline keeps beside the values."""

    def __init__(self, contents: Sequence[str]) -> None:
        self._contents = contents

    def contents(self) -> Sequence[str]:
        """See `Lookup`."""
        return self._contents

    def texts(self, places: Sequence[int]) -> Mapping[int, Texts]:
        """None: a baseline holds no texts."""
        return {}

    def trainings(self) -> Sequence[TrainingRecord]:
        """None: a baseline knows no store."""
        return []
