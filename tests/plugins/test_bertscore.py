"""`bertscore` against bert-score's recorded numbers, and what it promises beyond them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import harness
from harness import Completion, HarnessError, Rewarder, Sample, Score, Unscored
from harness_bertscore import BertScoreSettings, build

DATA = Path(__file__).parent / "data" / "bertscore"


class Recorded(TypedDict):
    """What `record.py` wrote."""

    layer: int
    limit: int
    baseline: list[float]
    idf_references: list[str]
    pairs: list[tuple[str, str]]
    empty_pairs: list[tuple[str, str]]
    several_pairs: list[tuple[str, list[str]]]
    scores: dict[str, dict[str, list[list[float]]]]


RECORDED: Recorded = json.loads((DATA / "scores.json").read_text(encoding="utf-8"))
LAYER = RECORDED["layer"]
PAIRS = [(c, [r]) for c, r in RECORDED["pairs"] + RECORDED["empty_pairs"]]
TEXTS = sorted({text for c, refs in PAIRS for text in (c, *refs)})


def scorer(architecture: str, **more: object) -> Rewarder:
    given: dict[str, object] = {"model": str(DATA / architecture), "layer": LAYER, **more}
    return build(BertScoreSettings(**given))  # type: ignore[arg-type]


tiny = cache(scorer)


def completions(pairs: Sequence[tuple[str, Sequence[str]]]) -> list[Completion]:
    return [Completion(Sample(str(i), "?", tuple(r)), c) for i, (c, r) in enumerate(pairs)]


def numbers(scores: Sequence[Score]) -> list[tuple[float, ...]]:
    return [tuple(s.parts[name] for name in ("precision", "recall", "f1")) for s in scores]


def score_one(rewarder: Rewarder, text: str, *references: str) -> Score:
    return rewarder.score(completions([(text, references)]))[0]


@pytest.fixture
def idf_file(tmp_path: Path) -> str:
    path = tmp_path / "references.txt"
    path.write_text("\n".join(RECORDED["idf_references"]), encoding="utf-8")
    return str(path)


def assert_recorded(found: Sequence[Score], expected: Sequence[Sequence[float]]) -> None:
    """Where bert-score recorded no number, it crashes or errs; the last pairs are those."""
    for got, want in zip(numbers(found), expected, strict=False):
        assert got == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize("architecture", RECORDED["scores"])
def test_scores_equal_those_of_bert_score(architecture: str) -> None:
    recorded = RECORDED["scores"][architecture]
    plain = tiny(architecture)

    assert_recorded(plain.score(completions(PAIRS)), recorded["plain"])
    assert_recorded(plain.score(completions(RECORDED["several_pairs"])), recorded["several"])


@pytest.mark.parametrize("architecture", RECORDED["scores"])
def test_idf_and_baseline_equal_those_of_bert_score(
    architecture: str, idf_file: str, tmp_path: Path
) -> None:
    tsv = tmp_path / "baseline.tsv"
    row = ",".join(map(str, RECORDED["baseline"]))
    tsv.write_text(f"LAYER,P,R,F\n0,0,0,0\n{LAYER},{row}\n", encoding="utf-8")
    recorded = RECORDED["scores"][architecture]

    weighted = scorer(architecture, idf=idf_file).score(completions(PAIRS))
    rescaled = scorer(architecture, baseline=str(tsv)).score(completions(PAIRS))

    assert_recorded(weighted, recorded["idf"])
    assert_recorded(rescaled, recorded["rescaled"])
    assert [s.parts["f1_raw"] for s in rescaled][: len(recorded["plain"])] == pytest.approx(
        [f1 for *_, f1 in recorded["plain"]], abs=1e-5
    )


@pytest.mark.parametrize("architecture", RECORDED["scores"])
def test_an_empty_text_scores_zero_and_says_so(architecture: str) -> None:
    found = tiny(architecture).score(completions([(" \n", ["A text."]), ("A text.", [""])]))

    assert numbers(found) == [(0.0, 0.0, 0.0)] * 2
    assert [s.reason for s in found] == ["the completion is empty", "the reference is empty"]


def test_without_a_reference_there_is_no_score() -> None:
    found = score_one(tiny("bert"), "A text.")

    assert (found.value, found.unscored) == (None, Unscored.NO_REFERENCE)


def test_an_empty_batch_is_no_work() -> None:
    assert tiny("bert").score([]) == []


pairs_of_texts = st.lists(
    st.tuples(st.sampled_from(TEXTS), st.lists(st.sampled_from(TEXTS), min_size=1, max_size=2)),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize("architecture", ["bert", "roberta", "deberta_v3"])
@settings(max_examples=25, deadline=None)
@given(batch=pairs_of_texts, random=st.randoms(use_true_random=False))
def test_a_score_does_not_depend_on_its_batch(
    architecture: str, batch: list[tuple[str, list[str]]], random: object
) -> None:
    rewarder = tiny(architecture, cache_mb=0)
    shuffled = [*batch, *batch]
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    together = dict(zip(map(repr, batch), numbers(rewarder.score(completions(batch))), strict=True))
    alone = {repr(job): numbers(rewarder.score(completions([job])))[0] for job in batch}
    doubled = numbers(rewarder.score(completions(shuffled)))

    assert together == {job: pytest.approx(n, abs=1e-6) for job, n in alone.items()}
    assert doubled == [pytest.approx(together[repr(job)], abs=1e-6) for job in shuffled]


@pytest.mark.parametrize("architecture", ["bert", "roberta", "mpnet", "gpt2"])
def test_a_warm_cache_gives_the_very_same_scores(architecture: str) -> None:
    batch = completions([*PAIRS, *RECORDED["several_pairs"]])
    cold = scorer(architecture)

    first = cold.score(batch)

    assert cold.score(batch) == first
    assert tiny(architecture, cache_mb=0).score(batch) == first


def test_minilm_gives_the_same_scores_cold_warm_and_alone(minilm: str) -> None:
    batch = completions(
        [(a, [b]) for a in TEXTS for b in RECORDED["idf_references"] if a.strip()][:60]
    )
    rewarder = build(BertScoreSettings(model=minilm, layer=5))

    cold = rewarder.score(batch)
    warm = rewarder.score(batch)
    alone = [rewarder.score([completion])[0] for completion in batch]
    small = build(BertScoreSettings(model=minilm, layer=5, batch_tokens=64)).score(batch)

    assert warm == cold
    assert numbers(alone) == [pytest.approx(n, abs=1e-6) for n in numbers(cold)]
    assert numbers(small) == [pytest.approx(n, abs=1e-6) for n in numbers(cold)]


def test_minilm_equals_the_installed_bert_score(minilm: str) -> None:
    bert_score = pytest.importorskip("bert_score")
    pairs = [(c, r) for c, r in RECORDED["pairs"] if c.strip()]
    theirs = bert_score.BERTScorer(model_type=minilm, num_layers=5)

    expected = [[float(x) for x in theirs.score([c], [r])] for c, r in pairs]
    found = build(BertScoreSettings(model="minilm")).score(
        completions([(c, [r]) for c, r in pairs])
    )

    assert numbers(found) == [pytest.approx(n, abs=1e-5) for n in expected]


def test_bfloat16_stays_near_float32(minilm: str) -> None:
    pairs = [(c, [r]) for c, r in RECORDED["pairs"]]
    exact = numbers(build(BertScoreSettings(model=minilm, layer=5)).score(completions(pairs)))
    near = numbers(
        build(BertScoreSettings(model=minilm, layer=5, dtype="bfloat16")).score(completions(pairs))
    )

    assert near != exact
    assert [f1 for *_, f1 in near] == pytest.approx([f1 for *_, f1 in exact], abs=5e-3)


@pytest.mark.parametrize("architecture", ["bert", "mpnet"])
def test_a_trainers_autocast_changes_nothing(architecture: str) -> None:
    import torch

    expected = tiny(architecture, cache_mb=0).score(completions(PAIRS))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert tiny(architecture, cache_mb=0).score(completions(PAIRS)) == expected


def test_chunks_do_not_change_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness_bertscore import _build, _scorer

    expected = tiny("bert").score(completions(PAIRS))
    monkeypatch.setattr(_build, "CHUNK_BYTES", 1)
    monkeypatch.setattr(_scorer, "_LOOK_AHEAD", 3)

    assert scorer("bert", cache_mb=0).score(completions(PAIRS)) == expected


def test_the_clip_bounds_the_value_and_not_the_parts() -> None:
    found = score_one(tiny("bert", baseline="0.8", clip=-0.5), "", "A text.")

    assert found.value == -0.5
    assert found.parts["f1"] == pytest.approx(-4.0)


def test_a_completion_of_special_tokens_has_no_weight() -> None:
    found = score_one(tiny("bert"), "[SEP] [CLS]", "A text.")

    assert found.value == 0.0
    assert "weight of zero" in found.reason


def test_idf_references_may_stand_in_a_table(idf_file: str, tmp_path: Path) -> None:
    table = tmp_path / "faq.jsonl"
    rows = [{"id": i, "answers": [text]} for i, text in enumerate(RECORDED["idf_references"])]
    table.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")

    lines = scorer("bert", idf=idf_file)
    cells = scorer("bert", idf=str(table), idf_column="answers")

    assert cells.score(completions(PAIRS)) == lines.score(completions(PAIRS))
    assert identity(cells) == identity(lines)


def test_idf_needs_two_references(tmp_path: Path) -> None:
    path = tmp_path / "one.txt"
    path.write_text("Only this.\n", encoding="utf-8")

    with pytest.raises(HarnessError, match="two different references"):
        scorer("bert", idf=str(path))


def identity(rewarder: Rewarder) -> dict[str, str]:
    assert isinstance(rewarder, harness.Identified)
    return dict(rewarder.identity())


def test_the_identity_follows_contents_not_places(tmp_path: Path, idf_file: str) -> None:
    copy = shutil.copytree(DATA / "bert", tmp_path / "elsewhere")
    same = identity(build(BertScoreSettings(model=str(copy), layer=LAYER)))
    vocabulary = copy / "vocab.txt"
    vocabulary.write_text(vocabulary.read_text("utf-8") + "more\n", encoding="utf-8")
    other = identity(build(BertScoreSettings(model=str(copy), layer=LAYER)))

    known = identity(tiny("bert"))
    assert same == known
    assert {k for k in other if other[k] != known[k]} == {"tokenizer"}
    weighted = identity(scorer("bert", idf=idf_file))
    assert {k for k in weighted if weighted[k] != known[k]} == {"idf"}
    assert identity(tiny("electra"))["weights"] != known["weights"]


def test_the_signature_names_what_a_reader_needs() -> None:
    found: str = tiny("bert", baseline="0.8", dtype="bfloat16").signature  # type: ignore[attr-defined]

    assert found.startswith(f"bertscore|model:{DATA / 'bert'}|layer:2|baseline:0.8,0.8,0.8")
    assert "dtype:bfloat16|len:40|weights:" in found


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [("bert", "40"), ("roberta", "40"), ("mpnet", "40"), ("t5", "512"), ("deberta_v3", "40")],
)
def test_a_tokenizer_without_a_limit_takes_what_the_encoder_takes(
    architecture: str, expected: str, tmp_path: Path
) -> None:
    copy = shutil.copytree(DATA / architecture, tmp_path / architecture)
    path = copy / "tokenizer_config.json"
    content = json.loads(path.read_text("utf-8"))
    del content["model_max_length"]
    path.write_text(json.dumps(content), encoding="utf-8")
    rewarder = build(BertScoreSettings(model=str(copy), layer=LAYER))

    assert identity(rewarder)["max_length"] == expected
    assert score_one(rewarder, "long " * 2000, "long " * 1000).value == pytest.approx(1.0, abs=1e-2)


def test_a_shorter_length_reads_less() -> None:
    short = scorer("bert", max_length=8)

    assert score_one(short, "the cat sat on the mat and more", "the cat sat on the mat").value == (
        pytest.approx(1.0)
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layer": 9}, "has 3 layers"),
        ({"layer": None}, "which of the 3 layers"),
        ({"max_length": 41}, "takes 40"),
        ({"baseline": "packaged"}, "no baseline for this encoder and lang=en; it has albert-base"),
        ({"baseline": "1.5"}, "less than 1"),
        ({"baseline": "absent.tsv"}, "no file, number or `packaged`"),
        ({"idf": "absent.txt"}, "absent.txt"),
        ({"model": "absent/model"}, "harness models fetch minilm"),
        ({"model": str(DATA)}, "no usable config.json"),
    ],
)
def test_what_cannot_be_had_is_said(given: dict[str, object], message: str) -> None:
    with pytest.raises(HarnessError, match=message):
        scorer("bert", **given)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("bertscore:layer=-1", "0 or more"),
        ("bertscore:device=gpu", "use auto, cpu"),
        ("bertscore:max_length=2", "no room for a word"),
        ("bertscore:dtype=float16", "choose one of float32, bfloat16"),
    ],
)
def test_what_cannot_be_meant_is_refused(reference: str, message: str) -> None:
    with pytest.raises(HarnessError, match=message):
        harness.scorer(reference)


def test_lost_weights_are_an_error_not_random_numbers(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(DATA / "bert", tmp_path / "bert")
    weights = load_file(copy / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(HarnessError, match=r"1 are missing, such as encoder\.layer\.1\.output"):
        build(BertScoreSettings(model=str(copy), layer=LAYER))


def test_a_damaged_file_of_weights_is_an_error(tmp_path: Path) -> None:
    copy = shutil.copytree(DATA / "bert", tmp_path / "bert")
    (copy / "model.safetensors").write_bytes(b"no weights")

    with pytest.raises(HarnessError, match="cannot load"):
        build(BertScoreSettings(model=str(copy), layer=LAYER))


def test_listing_it_imports_nothing_heavy() -> None:
    code = "import sys, harness_bertscore; print({'torch', 'transformers'} & set(sys.modules))"

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "set()"
