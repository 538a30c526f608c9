"""Other rows' references, and which of them a sample is set against."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from harness import DataError, HarnessError, Sample, load_samples
from harness.fingerprint import digest


class Pool:
    """The distinct references of some samples, each with the prompts that it answers.

    Texts that differ only in white space or capitals count as equal. Empty references are left
    out. The order of the samples makes no difference.
    """

    def __init__(self, samples: Iterable[Sample], seed: int = 0) -> None:
        texts: dict[str, str] = {}
        askers: dict[str, set[str]] = {}
        for sample in samples:
            for reference in filter(str.strip, sample.references):
                key = level(reference)
                texts[key] = min(reference, texts.get(key, reference))
                askers.setdefault(key, set()).add(level(sample.prompt))
        self._keys = sorted(texts)
        self._texts, self._askers, self._seed = texts, askers, seed
        self.digest = digest([(texts[key], sorted(askers[key])) for key in self._keys])

    def __len__(self) -> int:
        return len(self._keys)

    def check(self, k: int, source: str) -> None:
        """Raise HarnessError if there are no `k` references beside a sample's own."""
        if len(self) <= k:
            raise HarnessError(
                f"contrast: {source} has {len(self)} distinct references; k={k} needs {k + 1}"
            )

    def others(self, sample: Sample, k: int) -> list[str]:
        """Up to `k` references of rows that have neither the sample's prompt nor a reference of it.

        They depend on the seed and the sample's references alone, so that a prompt which gets a
        control token keeps its others, and so does a completion in every batch. Fewer than `k`
        only where the pool has no more.
        """
        own, prompt = {level(reference) for reference in sample.references}, level(sample.prompt)
        found: list[str] = []
        for key in self._walk(sample):
            if key not in own and prompt not in self._askers[key]:
                found.append(self._texts[key])
                if len(found) == k:
                    break
        return found

    def _walk(self, sample: Sample) -> Iterator[str]:
        """Every key once, by a hashed start and steps that share no factor with the size."""
        size = len(self._keys)
        number = int(digest((self._seed, sample.references)), 16)
        start, step = number % size, number // size % size or 1
        while math.gcd(step, size) != 1:
            step += 1
        return (self._keys[(start + i * step) % size] for i in range(size))


def level(text: str) -> str:
    """The text without differences of white space and capitals."""
    return " ".join(text.casefold().split())


def read_pool(path: str, prompt: str, reference: str, seed: int) -> Pool:
    """The pool in a table; raises DataError if it cannot be read."""
    try:
        return Pool(load_samples(path, prompt=prompt, references=reference), seed)
    except DataError as error:
        columns = f"prompt={prompt} and reference={reference} name its columns"
        raise DataError(f"contrast: pool: {error} ({columns})") from error
