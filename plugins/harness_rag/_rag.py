"""`rag`: passages that are found for a prompt go into the prompt."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from harness import Completion, HarnessError, Index, Match, Query, Retriever, Sample
from harness.data.plain import plain
from harness.fingerprint import digest
from harness.guards import GuardedGenerator
from harness.retrieval import restricts
from harness_rag import RagSettings

_FIELD = re.compile(r"\{(\w+)\}")
_BEGINNING = 500  # characters of a passage that are recorded


class Rag:
    """The generator `rag`.

    A prompt for which nothing is found is asked as it is. Raises HarnessError if a passage that
    was found has no text.

    Args:
        inner: answers the prompts with passages.
        retriever: finds them.
        settings: how many, and how they are put together.
        description: what the retriever's results hang on, less what it holds.
    """

    def __init__(
        self,
        inner: GuardedGenerator,
        retriever: Retriever,
        settings: RagSettings,
        description: Mapping[str, object],
    ) -> None:
        self._inner, self._retriever, self._settings = inner, retriever, settings
        self._description = description
        self._restricts = restricts(settings.filter)
        self.batch_size = inner.batch_size

    def identity(self) -> Mapping[str, str]:
        """The generator's fingerprint, and one of the retriever with what it holds.

        A retriever that has no `digest()` of what it holds, as a remote one, is taken for what its
        settings say.
        """
        held = getattr(self._retriever, "digest", None)
        content = str(held()) if callable(held) else ""
        return {
            "of": self._inner.fingerprint,
            "retriever": digest([self._description, content]),
        }

    def passages(self, samples: Sequence[Sample]) -> list[list[Match]]:
        """What is found for each sample, nearest first, with texts: at most `k`."""
        queries = [
            Query(_filled(self._settings.query, {"prompt": s.prompt}), restricts=self._restricts)
            for s in samples
        ]
        found = self._retriever.search(queries, k=self._settings.k)
        read = self._texts({m.id for m in chain(*found) if _text(m) is None})
        return [[self._with_text(match, read) for match in matches] for matches in found]

    def prompt(self, sample: Sample, written: Sequence[str]) -> str:
        """What the generator is asked, with these passages as they are `written`."""
        if not written:
            return sample.prompt
        passages = self._settings.separator.join(written)
        fields = {"passages": passages, "prompt": sample.prompt}
        return _filled(self._settings.template, fields)

    def written(self, passages: Sequence[Match]) -> list[str]:
        """Passages as they stand in a prompt, as many of them as there is room for."""
        most, length, texts = self._settings.most_characters, 0, list[str]()
        for rank, match in enumerate(passages, 1):
            fields = {"text": match.text or "", "id": match.id, "rank": str(rank)}
            own = _filled(self._settings.passage, fields)
            length += len(own) + (len(self._settings.separator) if texts else 0)
            if most and length > most:
                return texts or [own[:most]]
            texts.append(own)
        return texts

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        """Answer the samples, in order; the completions are of the samples as they were.

        Their details have `passages`, what stood in the prompt, nearest first: of each its rank
        from 1, its id, its distance as the retriever measures it, and how its text began.
        """
        found = self.passages(samples)
        written = [self.written(passages) for passages in found]
        asked = [
            replace(sample, prompt=self.prompt(sample, texts))
            for sample, texts in zip(samples, written, strict=True)
        ]
        completions = self._inner.generate(asked, attempt=attempt)
        return [
            replace(completion, sample=sample, details=_details(completion, passages, texts))
            for sample, completion, passages, texts in zip(
                samples, completions, found, written, strict=True
            )
        ]

    def _texts(self, ids: set[str]) -> Mapping[str, str]:
        """The texts of passages that came without one, where the retriever can be read."""
        if not ids or not isinstance(self._retriever, Index):
            return {}
        return {p.id: p.text for p in self._retriever.read(sorted(ids)) if p.text is not None}

    def _with_text(self, match: Match, read: Mapping[str, str]) -> Match:
        text = _text(match)
        text = read.get(match.id) if text is None else text
        if text is None:
            raise HarnessError(
                f"rag: the passage {match.id!r} of {self._settings.retriever} has no text, so it "
                "cannot go into a prompt; load its text as well"
            )
        return replace(match, text=text)


def _text(match: Match) -> str | None:
    if match.text is None and match.datapoint is not None:
        return match.datapoint.text
    return match.text


def _details(
    completion: Completion, passages: Sequence[Match], texts: Sequence[str]
) -> Mapping[str, object]:
    """Which passages stood in the prompt, beside what the generator itself has to say."""
    used = [
        {
            "rank": rank,
            "id": match.id,
            "distance": plain(match.distance),
            "text": text if len(text) <= _BEGINNING else f"{text[: _BEGINNING - 1]}…",
        }
        for rank, (match, text) in enumerate(zip(passages, texts, strict=False), 1)
    ]
    own = {"of": completion.details} if completion.details else {}
    return {"passages": used, **own}


def _filled(template: str, fields: Mapping[str, str]) -> str:
    """A template in one pass: what is in braces in a passage stays as it is."""
    return _FIELD.sub(_value(fields), template)


def _value(fields: Mapping[str, str]) -> Callable[[re.Match[str]], str]:
    return lambda match: fields.get(match[1], match[0])
