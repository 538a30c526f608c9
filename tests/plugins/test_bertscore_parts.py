"""The parts of `bertscore`, each against an independent definition."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from harness import Completion, Rewarder, Sample
from harness_bertscore import BertScoreSettings, build
from harness_bertscore._build import _device
from harness_bertscore._cache import Cache
from harness_bertscore._credit import token_credit
from harness_bertscore._encoder import ModuleEncoder, load_model, make_encoder, open_source
from harness_bertscore._matching import Encoded, encoded, precision_recall, triple, unit
from harness_bertscore._packed import PackedEncoder, batches
from harness_bertscore._tables import (
    default_layer,
    default_model,
    layers,
    package,
    packaged_baseline,
    read_baseline,
)

DATA = Path(__file__).parent / "data" / "bertscore"


def random_text(length: int, seed: int) -> Encoded:
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(length, 8, generator=generator)
    return encoded(unit(states), torch.rand(length, generator=generator) + 0.1)


lengths = st.integers(1, 6)


@given(ours=lengths, theirs=lengths, seed=st.integers(0, 10**6))
def test_matching_is_that_of_the_paper(ours: int, theirs: int, seed: int) -> None:
    a, b = random_text(ours, seed), random_text(theirs, seed + 1)

    def greedy(left: Encoded, right: Encoded) -> float:
        return sum(
            float(w) * max(float(v @ u) for u in right.vectors)
            for v, w in zip(left.vectors, left.weights, strict=True)
        )

    assert precision_recall(a, b).tolist() == pytest.approx([greedy(a, b), greedy(b, a)], abs=1e-5)


@settings(deadline=None)
@given(
    ours=lengths,
    theirs=lengths,
    seed=st.integers(0, 10**6),
    baseline=st.sampled_from([0.0, 0.4]),
)
def test_credit_adds_up_to_f1(ours: int, theirs: int, seed: int, baseline: float) -> None:
    a, b = random_text(ours, seed), random_text(theirs, seed + 1)
    precision, recall = precision_recall(a, b).tolist()
    if min(precision, recall) < 0.05:
        return
    f1 = triple(precision, recall).f1

    total = token_credit(a, b, baseline).sum().item()

    assert total == pytest.approx((f1 - baseline) / (1 - baseline), abs=1e-4)


def test_a_text_without_weight_scores_zero_and_not_nan() -> None:
    weightless = encoded(torch.eye(2), torch.zeros(2))

    assert precision_recall(weightless, encoded(torch.eye(2), torch.ones(2))).tolist() == [0, 1]
    assert triple(0.0, 1.0).f1 == 0.0


def test_credit_goes_to_the_words_that_the_reference_has(minilm: str) -> None:
    rewarder = build(BertScoreSettings(model=minilm, layer=5, credit=True))
    text = "  Parcels may be returned within thirty bananas."

    (score,) = rewarder.score(
        [Completion(Sample("1", "?", ("Parcels may be returned within thirty days.",)), text)]
    )

    earned = {text[c.start : c.end]: c.value for c in score.credit}
    assert list(earned) == ["Parcels", "may", "be", "returned", "within", "thirty", "bananas", "."]
    assert min(earned, key=lambda word: earned[word]) == "bananas"
    assert score.value is not None
    assert sum(earned.values()) == pytest.approx(score.value, abs=0.02)


@pytest.mark.parametrize("architecture", ["bert", "roberta", "deberta_v3", "gpt2", "xlnet"])
@pytest.mark.parametrize("text", ["two  words", " 👩‍💻🎉 ok", "日本 語", "naïve—café\n\tx"])
def test_credited_spans_are_words_in_order(architecture: str, text: str) -> None:
    rewarder = build(BertScoreSettings(model=str(DATA / architecture), layer=2, credit=True))

    (score,) = rewarder.score([Completion(Sample("1", "?", ("two words ok",)), text)])

    spans = [(c.start, c.end) for c in score.credit]
    assert all(text[a:b].strip() == text[a:b] != "" for a, b in spans)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
    covered = {i for a, b in spans for i in range(a, b)}
    assert covered == {i for i, character in enumerate(text) if not character.isspace()}


def both_encoders(architecture: str) -> tuple[PackedEncoder, ModuleEncoder]:
    def load() -> torch.nn.Module:
        source = open_source(str(DATA / architecture), "")
        return load_model(source, 2, torch.float32, torch.device("cpu"))

    packed = make_encoder(open_source(str(DATA / architecture), ""), load(), 0, 64)
    assert isinstance(packed, PackedEncoder)
    return packed, ModuleEncoder(load(), 0, 64)


def assert_near(found: list[Tensor], expected: list[Tensor]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=0)


@pytest.mark.parametrize("architecture", ["bert", "roberta", "xlm_roberta", "electra"])
def test_the_packed_pass_equals_the_models_own(architecture: str) -> None:
    packed, module = both_encoders(architecture)
    # The third holds the padding id: RoBERTa gives it no position.
    texts = [[2, 9, 3], [2, *range(5, 42), 3], [0, 9, 1, 9, 2], [0, 2], [2, *range(5, 19), 3]]

    assert_near(packed.encode(texts), module.encode(texts))


def test_without_fused_products_the_states_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness_bertscore._packed._has_fused", lambda _: False)
    packed, module = both_encoders("roberta")
    texts = [[0, *range(5, 5 + n), 2] for n in (3, 20, 25, 37)]

    assert_near(packed.encode(texts), module.encode(texts))


def test_long_texts_take_flash_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    packed, module = both_encoders("bert")
    monkeypatch.setattr("harness_bertscore._packed.FUSED_UP_TO", 16)
    texts = [[2, *range(5, 5 + n), 3] for n in (3, 20, 25, 37)]

    assert_near(packed.encode(texts), module.encode(texts))


ARCHITECTURES = sorted(path.parent.name for path in DATA.glob("*/config.json"))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_padding_as_on_a_gpu_changes_nothing(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(str(DATA / architecture), "")
    model = load_model(source, 2, torch.float32, torch.device("cpu"))
    module = ModuleEncoder(model, source.config.pad_token_id or 0, 400)
    texts = [[2, *range(5, 5 + n), 3] for n in (3, 20, 1, 20, 37)]
    alone = [module.encode([text])[0] for text in texts]

    monkeypatch.setattr("harness_bertscore._encoder._differ", lambda *_: False)

    assert_near(module.encode(texts), alone)


def test_a_text_is_encoded_bit_for_bit_alike_in_any_batch() -> None:
    packed, _ = both_encoders("bert")
    texts = [[2, *range(5, 5 + n), 3] for n in (1, 14, 15, 30, 3, 22)]

    together = packed.encode(texts)

    for text, states in zip(texts, together, strict=True):
        assert torch.equal(packed.encode([text])[0], states)


@given(lengths=st.lists(st.integers(1, 50), max_size=30), tokens=st.integers(1, 60))
def test_batches_hold_every_text_once(lengths: list[int], tokens: int) -> None:
    found = batches(lengths, tokens)

    assert sorted(i for batch in found for i in batch) == list(range(len(lengths)))
    assert all(len(b) == 1 or sum(lengths[i] for i in b) <= tokens for b in found)


def test_the_cache_keeps_what_was_used_last_within_its_bytes() -> None:
    item = random_text(4, 0)
    cache = Cache(2 * item.nbytes)
    cache.put("a", item)
    cache.put("b", item)

    cache.get("a")
    cache.put("c", item)

    assert [name in cache for name in "abc"] == [True, False, True]


def test_the_cache_does_not_keep_a_batch_alive() -> None:
    batch = torch.ones(100, 8)
    cache = Cache(10**6)

    cache.put("a", Encoded(batch[:2], torch.ones(2)))

    kept = cache.get("a")
    assert kept is not None
    assert kept.vectors.untyped_storage().nbytes() == 2 * 8 * 4


def test_tables_are_those_of_bert_score() -> None:
    utils = pytest.importorskip("bert_score.utils")

    assert layers() == utils.model2layers
    assert [default_model(lang) for lang in ("en", "zh", "TR", "en-sci", "de")] == [
        utils.lang2model[lang] for lang in ("en", "zh", "tr", "en-sci", "de")
    ]


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("roberta-large", 17),
        ("/models/roberta-large", 17),
        ("microsoft/deberta-xlarge-mnli", 40),
        ("minilm", 5),
        ("sentence-transformers/all-MiniLM-L6-v2", 5),
        ("my-own-model", None),
    ],
)
def test_layers_are_found_by_name(name: str, layer: int | None) -> None:
    assert default_layer([name]) == layer


def test_packaged_baselines_are_those_that_bert_score_reads() -> None:
    import pandas as pd

    for path in sorted((package() / "rescale_baseline").rglob("*.tsv")):
        rows = pd.read_csv(path)
        for layer in range(len(rows)):
            # This is how bert-score reads it: by the row's number.
            expected = rows.iloc[layer].to_numpy()[1:].tolist()
            assert list(read_baseline(path, layer)) == pytest.approx(expected), (path, layer)


def test_a_packaged_baseline_is_found_by_language_and_any_of_the_names() -> None:
    found = packaged_baseline("en", ["/models/x", "", "/models/deberta-xlarge-mnli"], 40)
    path = package() / "rescale_baseline" / "en" / "microsoft" / "deberta-xlarge-mnli.tsv"

    assert found == read_baseline(path, 40)


def test_a_baseline_without_the_layer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.tsv"
    path.write_text("LAYER,P,R,F\n0,0.1,0.1,0.1\n", encoding="utf-8")

    with pytest.raises(Exception, match="no usable row for layer 3"):
        read_baseline(path, 3)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_an_absent_device_is_named() -> None:
    assert _device("auto").type == "cpu"
    with pytest.raises(Exception, match="no CUDA device"):
        _device("cuda:1")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same_scores() -> None:
    recorded = json.loads((DATA / "scores.json").read_text(encoding="utf-8"))

    def score(rewarder: Rewarder) -> list[float | None]:
        return [
            s.value
            for s in rewarder.score(
                [Completion(Sample("1", "?", (r,)), c) for c, r in recorded["pairs"]]
            )
        ]

    cpu = score(build(BertScoreSettings(model=str(DATA / "bert"), layer=2, device="cpu")))
    gpu = score(build(BertScoreSettings(model=str(DATA / "bert"), layer=2, device="cuda")))

    assert gpu == pytest.approx(cpu, abs=1e-4)
