from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import pytest

import harness
import harness_index
from harness import Completion, Datapoint, HarnessError, Match, PluginError, Query, Sample, hookimpl
from harness.indexing import IndexSpec
from harness.references import Reference
from harness.testing import check_generator, installed
from harness_index import LocalSettings
from harness_rag import RagSettings
from harness_rag._rag import Rag


class Echo:
    """Answers with what it was asked."""

    batch_size = 7

    def identity(self) -> Mapping[str, str]:
        return {"echo": "1"}

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        if any("break" in sample.prompt for sample in samples):
            raise RuntimeError("broken")
        return [Completion(s, s.prompt, attempt=attempt) for s in samples]


class Shelf:
    """Finds the passages that share a word with the query; the last one has no text."""

    texts: Mapping[str, str | None] = {
        "sky": "The sky is blue.",
        "sea": "The sea is deep, as {prompt} says.",
        "void": None,
    }

    def search(self, queries: Sequence[Query], *, k: int) -> list[list[Match]]:
        return [
            [Match(n, 0.0, text) for n, text in self.texts.items() if n in query.text][:k]
            for query in queries
        ]


def rag(**settings: object) -> Rag:
    given = RagSettings("echo", "shelf", **settings)  # type: ignore[arg-type]
    return Rag(harness.generator(Echo()), Shelf(), given, {"name": "shelf"})


def answers(generator: Rag, *prompts: str) -> list[str]:
    samples = [Sample(str(n), prompt) for n, prompt in enumerate(prompts)]
    return [completion.text for completion in generator.generate(samples)]


def test_what_is_found_stands_before_the_question() -> None:
    assert answers(rag(), "sky?", "sea and sky?") == [
        "The sky is blue.\n\nsky?",
        "The sky is blue.\n\nThe sea is deep, as {prompt} says.\n\nsea and sky?",
    ]


def test_templates_say_how_it_is_put() -> None:
    own = rag(
        template="Q: {prompt}\n{passages} {other}", passage="[{rank}:{id}] {text}", separator=" | "
    )
    assert answers(own, "sky, sea") == [
        "Q: sky, sea\n[1:sky] The sky is blue. | [2:sea] The sea is deep, as {prompt} says. {other}"
    ]


def test_where_nothing_is_found_the_question_stays() -> None:
    assert answers(rag(), "earth?") == ["earth?"]


def test_only_so_many_passages_and_characters() -> None:
    assert answers(rag(k=1), "sky sea") == ["The sky is blue.\n\nsky sea"]
    assert answers(rag(most_characters=20), "sky sea") == ["The sky is blue.\n\nsky sea"]
    assert answers(rag(most_characters=7), "sky sea") == ["The sky\n\nsky sea"]


def test_completions_are_of_the_samples_as_they_were() -> None:
    sample = Sample("1", "sky?", ("blue",), {"kind": "test"})
    (completion,) = rag().generate([sample], attempt=2)
    assert (completion.sample, completion.attempt) == (sample, 2)
    assert rag().batch_size == 7


def test_completions_say_which_passages_stood_in_the_prompt() -> None:
    def passages(prompt: str, **settings: object) -> object:
        return rag(**settings).generate([Sample("1", prompt)])[0].details["passages"]

    sky = {"rank": 1, "id": "sky", "distance": 0.0, "text": "The sky is blue."}
    sea = {"rank": 2, "id": "sea", "distance": 0.0, "text": "The sea is deep, as {prompt} says."}
    assert passages("sea and sky?") == [sky, sea]
    assert passages("sea and sky?", most_characters=20) == [sky], "not what there was no room for"
    assert passages("sky", most_characters=7) == [{**sky, "text": "The sky"}]
    assert passages("sky", passage="[{rank}] {text}") == [{**sky, "text": "[1] The sky is blue."}]
    assert passages("earth?") == []


def test_of_a_long_passage_the_beginning_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shelf, "texts", {"sky": "blue " * 1000})
    (completion,) = rag().generate([Sample("1", "sky?")])
    (passage,) = cast(list[dict[str, str]], completion.details["passages"])
    assert len(passage["text"]) == 500
    assert ("blue " * 1000).startswith(passage["text"].removesuffix("…"))
    assert completion.text.count("blue") == 1000


class Telling(Echo):
    """Has details of its own."""

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        return [Completion(s, "x", details={"seed": 3}) for s in samples]


def test_what_the_generator_itself_tells_is_kept() -> None:
    generator = Rag(harness.generator(Telling()), Shelf(), RagSettings("t", "s"), {})
    (completion,) = generator.generate([Sample("1", "earth?")])
    assert completion.details == {"passages": [], "of": {"seed": 3}}


def test_a_sample_that_fails_fails_alone() -> None:
    done = rag().generate([Sample("1", "sky?"), Sample("2", "break")])
    assert [completion.finish for completion in done] == ["stop", "error"]
    assert done[1].sample.prompt == "break"


def test_a_passage_without_text_is_no_silent_gap() -> None:
    with pytest.raises(HarnessError, match="the passage 'void' of shelf has no text"):
        answers(rag(), "void")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 0}, "k is 0"),
        ({"template": "{prompt}"}, r"template '\{prompt\}' has no \{passages\}"),
        ({"passage": "{id}"}, r"passage '\{id\}' has no \{text\}"),
        ({"most_characters": -1}, "most_characters is -1"),
        ({"filter": ("topic",)}, "'topic' is no filter"),
    ],
)
def test_settings_that_cannot_be_meant(settings: dict[str, object], message: str) -> None:
    with pytest.raises((ValueError, HarnessError), match=message):
        rag(**settings)


class EchoPlugin:
    @hookimpl
    def harness_generators(self) -> list[harness.Component[Echo]]:
        return [harness.Component("echo", build=lambda _: Echo())]


@pytest.fixture
def local(tmp_path: Path) -> str:
    index = harness_index.build(LocalSettings(str(tmp_path / "ix")))
    index.create(IndexSpec(384))
    index.upsert(
        [Datapoint("rain", text="Take an umbrella."), Datapoint("sun", text="Take a hat.")]
    )
    index.close()
    return f"local:path={tmp_path / 'ix'}"


def test_by_reference_over_a_local_index(local: str, minilm: str) -> None:
    with installed(EchoPlugin()):
        reference = f"rag:of=echo,retriever={local},k=1"
        done = check_generator(reference, [Sample("1", "an umbrella?"), Sample("2", "a hat?")])
        assert [c.text.split("\n")[0] for c in done] == ["Take an umbrella.", "Take a hat."]


def test_the_fingerprint_covers_generator_retriever_and_what_it_holds(
    local: str, minilm: str
) -> None:
    def fingerprint(**settings: object) -> str:
        with installed(EchoPlugin()) as plugins:
            plugins.forget()
            given = {"of": "echo", "retriever": local, **settings}
            return harness.generator(Reference("rag", given, "rag")).fingerprint

    first = fingerprint()
    assert fingerprint() == first
    others = {fingerprint(k=2), fingerprint(retriever=f"{local},exact=true"), first}
    index = harness.retriever(local)
    assert isinstance(index, harness.Index)
    index.remove(["sun"])
    others.add(fingerprint())
    assert len(others) == 4


def test_a_missing_index_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    with installed(EchoPlugin()), pytest.raises(HarnessError, match="there is no index in"):
        harness.generator(f"rag:of=echo,retriever=local:path={tmp_path / 'none'}")
    with installed(EchoPlugin()), pytest.raises(PluginError, match="no retriever is called"):
        harness.generator("rag:of=echo,retriever=locl:path=x")
