"""The contracts of components as checks."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Iterator, Sequence

from harness.api import generator as guarded_generator
from harness.api import retriever as built_retriever
from harness.api import scorer as guarded_scorer
from harness.building import Plugin
from harness.components import (
    Completion,
    Generator,
    Judge,
    Retriever,
    Rewarder,
    Sample,
    Score,
)
from harness.datapoints import Match, Query
from harness.loader import Plugins, default_plugins

TOLERANCE = 1e-6
"""How far a score may move when its batch-mates change (fp32)."""


def completion(text: str, *references: str, prompt: str = "", id: str = "") -> Completion:  # noqa: A002
    """A completion of a sample with these references."""
    return Completion(Sample(id or f"{prompt}|{text}", prompt, references), text)


@contextlib.contextmanager
def installed(*modules: object) -> Iterator[Plugins]:
    """The installed plugins, and these modules or objects with hook implementations as well.

    Raises:
        PluginError: if one of them cannot be registered.
    """
    plugins = default_plugins()
    with contextlib.ExitStack() as stack:
        for module in modules:
            if plugins.add(module, Plugin(getattr(module, "__name__", type(module).__name__))):
                stack.callback(plugins.remove, module)
        yield plugins


def check_rewarder(
    component: str | Rewarder | Judge,
    completions: Sequence[Completion],
    *,
    tolerance: float = TOLERANCE,
) -> list[Score]:
    """Assert what every scorer promises, and return the scores of `completions`.

    One score a completion, in order; the same batch gives the same scores, bit for bit; a
    completion scores the same alone, in another order and beside copies of itself, within
    `tolerance`; spans of credit lie within the text; the fingerprint is stable.
    """
    scorer = guarded_scorer(component)
    scores = scorer.score(completions)
    assert len(scores) == len(completions), "one score a completion"
    assert scorer.score(completions) == scores, "the same batch must give the same scores"
    alone = [scorer.score([c])[0] for c in completions]
    _assert_close("alone", scores, alone, completions, tolerance)
    order = list(range(len(completions)))
    random.Random(0).shuffle(order)
    shuffled = scorer.score([completions[i] for i in order])
    by_place = dict(zip(order, shuffled, strict=True))
    _assert_close("shuffled", scores, [by_place[i] for i in sorted(order)], completions, tolerance)
    doubled = scorer.score([c for c in completions for _ in range(2)])
    _assert_close("beside a copy", scores, doubled[::2], completions, tolerance)
    for c, score in zip(completions, scores, strict=True):
        for span in score.credit:
            assert 0 <= span.start < span.end <= len(c.text), f"credit outside of {c.text!r}"
    if isinstance(component, str):
        assert guarded_scorer(component).fingerprint == scorer.fingerprint, "stable fingerprint"
    return scores


def check_generator(component: str | Generator, samples: Sequence[Sample]) -> list[Completion]:
    """Assert what every generator promises, and return its completions of `samples`.

    One completion a sample, in order, for the attempt that was asked; a sample's answer is the
    same when it is asked again, alone, or in another order.
    """
    generator = guarded_generator(component)
    completions = generator.generate(samples)
    texts = [c.text for c in completions]
    failed = [c.error for c in completions if c.finish == "error"]
    assert not failed, f"failed: {failed[0]}"
    assert [c.text for c in generator.generate(samples)] == texts, "asked again"
    assert [generator.generate([s])[0].text for s in samples] == texts, "alone"
    backwards = [c.text for c in generator.generate(samples[::-1])]
    assert backwards[::-1] == texts, "in another order"
    assert {c.attempt for c in generator.generate(samples, attempt=1)} == {1}, "attempt"
    return completions


def check_retriever(
    component: str | Retriever, queries: Sequence[Query], *, k: int
) -> list[list[Match]]:
    """Assert what every retriever promises, and return its matches of `queries`.

    One list a query, in order, of at most `k` matches with different ids; a query finds the same
    when it is asked again, alone, or in another order; a smaller `k` gives the first of them.
    Whether the nearest comes first only a test of yours can know.
    """
    retriever = built_retriever(component) if isinstance(component, str) else component
    matches = retriever.search(queries, k=k)
    ids = [[m.id for m in found] for found in matches]
    assert len(ids) == len(queries), "one list a query"
    assert max(map(len, ids), default=0) <= k, f"at most k={k} matches"
    assert all(len(set(found)) == len(found) for found in ids), "no id twice"

    def asked(queries: Sequence[Query], k: int) -> list[list[str]]:
        return [[m.id for m in found] for found in retriever.search(queries, k=k)]

    assert asked(queries, k) == ids, "asked again"
    assert [asked([query], k)[0] for query in queries] == ids, "alone"
    assert asked(queries[::-1], k)[::-1] == ids, "in another order"
    assert asked(queries, 1) == [found[:1] for found in ids], "k=1 is the first"
    return matches


def _assert_close(
    how: str,
    expected: Sequence[Score],
    found: Sequence[Score],
    completions: Sequence[Completion],
    tolerance: float,
) -> None:
    for a, b, c in zip(expected, found, completions, strict=True):
        assert a.unscored == b.unscored, f"{how}: {c.text!r} is unscored in one batch only"
        if a.value is not None and b.value is not None:
            close = math.isclose(a.value, b.value, rel_tol=0, abs_tol=tolerance)
            assert close, f"{how}: {c.text!r} scores {b.value}, not {a.value}"
