"""What a run will do: which samples, in which batches, and under which keys."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from harness.components import Sample
from harness.errors import DataError, HarnessError
from harness.fingerprint import digest, sample_digest, samples_digest
from harness.guards import GuardedGenerator, GuardedScorer


class Work(NamedTuple):
    """One completion to make: a sample, which attempt at it, and where it stands in the run."""

    key: str
    ordinal: int
    digest: str
    cluster: str
    sample: Sample
    attempt: int


def select(
    samples: Iterable[Sample], *, rows: str | Sequence[str] | None, limit: int | None
) -> list[Sample]:
    """The samples whose ids match, in order, at most `limit` of them.

    Raises:
        DataError: if none is left, or two have one id.
    """
    every = list(samples)
    strange = [s for s in every if not isinstance(s, Sample)]
    if strange:
        raise DataError(f"samples hold {strange[0]!r}, which is no harness.Sample")
    if len({s.id for s in every}) < len(every):
        twice = Counter(s.id for s in every).most_common(1)[0][0]
        raise DataError(f"two samples have the id {twice!r}; ids must be unique")
    patterns = [rows] if isinstance(rows, str) else rows
    chosen = [
        s for s in every if patterns is None or any(fnmatch.fnmatchcase(s.id, p) for p in patterns)
    ]
    chosen = chosen if limit is None else chosen[: max(limit, 0)]
    for sample in chosen:
        _check_text(sample)
    if not chosen:
        ids = ", ".join(s.id for s in every[:3])
        raise DataError(
            f"no samples are left of {len(every)} (rows={rows}, limit={limit}; ids: {ids})"
        )
    return chosen


def _check_text(sample: Sample) -> None:
    try:
        "".join((sample.id, sample.prompt, *sample.references)).encode()
    except UnicodeEncodeError as error:
        raise DataError(f"sample {sample.id!r} has half a surrogate pair; mend the text") from error


class Plan:
    """What a run will do; its `id` stands for all of it, so the same plan is the same run."""

    def __init__(
        self,
        samples: Sequence[Sample],
        generator: GuardedGenerator,
        scorers: dict[str, GuardedScorer],
        repeats: int,
        cluster: str | None,
        name: str,
        salt: str,
    ) -> None:
        self.samples, self.generator, self.scorers = samples, generator, scorers
        self.repeats, self.cluster, self.name, self.salt = repeats, cluster, name, salt
        self.config: dict[str, object] = {
            "generator": _config(generator),
            "scorers": {label: _config(s) for label, s in scorers.items()},
            "samples": samples_digest(samples),
            "repeats": repeats,
            "cluster": cluster,
        }
        self.id = digest([self.config, name, salt])[:12]
        lacking = [s.id for s in samples if cluster and s.metadata.get(cluster) in (None, "")]
        if lacking:
            raise DataError(f"sample {lacking[0]!r} has no {cluster!r} to cluster by")
        self.total = len(samples) * repeats

    def batches(self) -> Iterator[list[Work]]:
        """The work in order, a generator's batch at a time; a batch is of one attempt."""
        for attempt in range(self.repeats):
            for start in range(0, len(self.samples), self.generator.batch_size):
                chunk = self.samples[start : start + self.generator.batch_size]
                yield [self._work(s, start + i, attempt) for i, s in enumerate(chunk)]

    def _work(self, sample: Sample, index: int, attempt: int) -> Work:
        content = sample_digest(sample)
        key = digest([self.generator.fingerprint, content, attempt, self.salt])
        ordinal = index * self.repeats + attempt
        return Work(key, ordinal, content, self._cluster_of(sample), sample, attempt)

    def _cluster_of(self, sample: Sample) -> str:
        """The group that a sample's score belongs to; empty where each stands for itself."""
        if self.cluster:
            return str(sample.metadata.get(self.cluster, ""))
        return sample.id if self.repeats > 1 else ""


def labelled(scorers: Iterable[GuardedScorer]) -> dict[str, GuardedScorer]:
    """The scorers by label.

    Raises:
        HarnessError: if two have one label.
    """
    by_label: dict[str, GuardedScorer] = {}
    for scorer in scorers:
        if scorer.label in by_label:
            raise HarnessError(
                f"two scorers are called {scorer.label!r}; write one as LABEL=REFERENCE, "
                "or give the object a `name`"
            )
        by_label[scorer.label] = scorer
    return by_label


def _config(part: GuardedGenerator | GuardedScorer) -> dict[str, object]:
    named = {"label": part.label, "reference": part.reference, "fingerprint": part.fingerprint}
    return {**named, **part.description}
