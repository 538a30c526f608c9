"""`classifier`: the scorer against the model's own logits, and the trainer against its promises."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    PreTrainedModel,
)

import harness
from harness import Completion, HarnessError, Sample, Score, TrainingResult, TrainingTask
from harness.components import TrainingStep
from harness.testing import check_rewarder, completion
from harness_classifier import ClassifierTraining, build_trainer
from harness_classifier._examples import epoch_batches
from harness_classifier._metrics import auc, macro_f1, metrics

TINY = "layers=1,width=16,heads=2,vocabulary=300,max_length=32,batch_size=8"
TEXTS = [
    "it works well",
    "no",
    "a rather long answer that goes on and on, and is quite useless in the end",
    "warm and kind words",
    "bad bad bad",
    "it works well",
]
GOOD, BAD = ["kind", "warm", "useful"], ["rude", "cold", "useless"]


@dataclass(frozen=True)
class Scorers:
    """The scorers of a task: none, or one that is watched."""

    weights: Mapping[str, float]

    def score(self, completions: Sequence[Completion]) -> Mapping[str, list[Score]]:
        return {}


def rows(count: int, seed: int = 0) -> list[Sample]:
    """Answers with one telling word, labelled in turn."""
    rng = random.Random(seed)
    filler = ["the", "answer", "was", "there", "then", "it", "came"]
    samples = []
    for i in range(count):
        text = [*rng.choices(filler, k=rng.randint(2, 9)), rng.choice([BAD, GOOD][i % 2])]
        rng.shuffle(text)
        samples.append(Sample(f"{seed}-{i}", " ".join(text), (["bad", "good"][i % 2],)))
    return samples


def task(output: Path, **more: object) -> TrainingTask:
    given: dict[str, object] = {"samples": rows(40), "held_out": rows(20, 1), "seed": 3}
    return TrainingTask(rewards=Scorers({}), output=output, **(given | more))  # type: ignore[arg-type]


def train(output: Path, settings: str = "epochs=3", **more: object) -> TrainingResult:
    return harness.trainer(f"train-classifier:{TINY},{settings}").train(task(output, **more))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    """A new model that tells good from bad."""
    output = tmp_path_factory.mktemp("trained")
    more = {"samples": rows(160), "held_out": rows(40, 1)}
    return train(output, "epochs=8,learning_rate=0.01", **more)


@pytest.fixture(scope="module")
def make(
    trained: TrainingResult, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, PreTrainedModel], Path]:
    """Saves a model beside the trained tokenizer."""

    def saved(name: str, model: PreTrainedModel) -> Path:
        folder = tmp_path_factory.mktemp(name)
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(trained.model).save_pretrained(folder)
        return folder

    return saved


def bert(labels: Sequence[str], **more: object) -> PreTrainedModel:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=300,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        initializer_range=0.5,
        id2label=dict(enumerate(labels)),
        **more,  # type: ignore[arg-type]
    )
    return BertForSequenceClassification(config)


def logits(folder: Path, text: str) -> torch.Tensor:
    """What transformers itself gives for one text."""
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        read = model(**tokenizer(text, return_tensors="pt", truncation=True, max_length=32))
    found: torch.Tensor = read.logits[0].double()
    return found


def scores(reference: str, *texts: str, prompt: str = "") -> list[Score]:
    return harness.scorer(reference).score([completion(t, prompt=prompt) for t in texts])


@pytest.fixture(scope="module")
def three(make: Callable[[str, PreTrainedModel], Path]) -> Path:
    return make("three", bert(["poor", "fair", "fine"]))


@pytest.mark.parametrize(("label", "number"), [("", 2), ("fair", 1), ("0", 0)])
def test_values_are_those_of_the_models_logits(three: Path, label: str, number: int) -> None:
    named = f"classifier:model={three}" + (f",label={label}" if label else "")
    for text in TEXTS:
        z = logits(three, text)
        p = z.softmax(0)[number].item()
        (odds,) = scores(named, text)
        assert odds.value == pytest.approx(math.log(p) - math.log(1 - p), abs=1e-5)
        assert odds.parts == pytest.approx({"probability": p})
        assert scores(f"{named},output=probability", text)[0].value == pytest.approx(p)
        assert scores(f"{named},output=logit", text)[0].value == pytest.approx(z[number].item())


def test_one_logit_is_log_odds_and_a_regression_is_itself(
    make: Callable[[str, PreTrainedModel], Path],
) -> None:
    one = make("one", bert(["reward"]))
    (score,) = scores(f"classifier:model={one}", TEXTS[0])
    z = logits(one, TEXTS[0]).item()
    assert score.value == pytest.approx(z)
    assert score.parts["probability"] == pytest.approx(1 / (1 + math.exp(-z)))
    stars = make("stars", bert(["stars"], problem_type="regression"))
    (rated,) = scores(f"classifier:model={stars},output=logit", TEXTS[0])
    assert rated.value == pytest.approx(logits(stars, TEXTS[0]).item())
    assert rated.parts == {}
    with pytest.raises(HarnessError, match=r"is a regression.*output=logit"):
        harness.scorer(f"classifier:model={stars}")


def test_classes_that_do_not_exclude_each_other(
    make: Callable[[str, PreTrainedModel], Path],
) -> None:
    model = make("several", bert(["rude", "long"], problem_type="multi_label_classification"))
    (score,) = scores(f"classifier:model={model}", TEXTS[0])
    assert score.value == pytest.approx(logits(model, TEXTS[0])[1].item())


def test_a_text_scores_the_same_in_every_batch(three: Path) -> None:
    asked = [completion(text) for text in [*TEXTS, ""]]
    exact = check_rewarder(f"classifier:model={three}", asked, tolerance=0)
    padded = check_rewarder(f"classifier:model={three},batch_tokens=64", asked)
    for a, b in zip(exact, padded, strict=True):
        assert a.value == pytest.approx(b.value, abs=1e-5)
    alone, packed = (
        harness.scorer(f"classifier:model={three}{s}") for s in ("", ",batch_tokens=64")
    )
    assert alone.fingerprint == packed.fingerprint


def test_a_causal_model_classifies_by_its_last_token(
    make: Callable[[str, PreTrainedModel], Path],
) -> None:
    torch.manual_seed(0)
    config = GPT2Config(
        n_positions=32, n_embd=16, n_layer=1, n_head=2, vocab_size=300, initializer_range=0.5
    )
    unpadded = make("gpt2", GPT2ForSequenceClassification(config))
    found = check_rewarder(
        f"classifier:model={unpadded},batch_tokens=64", [completion(text) for text in TEXTS]
    )
    z = logits(unpadded, TEXTS[2])
    assert found[2].value == pytest.approx((z[1] - z[0]).item(), abs=1e-5)


def test_the_template_fills_prompt_and_completion_once(three: Path) -> None:
    template = "template='{prompt} {}: {completion}'"
    (score,) = scores(f"classifier:model={three},{template}", "{prompt}", prompt="well")
    (same,) = scores(f"classifier:model={three}", "well {}: {prompt}")
    assert score == same


def test_a_completion_without_text_is_no_way_out(three: Path) -> None:
    for text in ("", " \n"):
        (score,) = scores(f"classifier:model={three}", text)
        assert score.value == pytest.approx(math.log(1e-4 / (1 - 1e-4)))
        assert score.parts == pytest.approx({"probability": 1e-4})
        assert score.reason == "the completion is empty"
    (half,) = scores(f"classifier:model={three},empty=0.5", "")
    assert half.value == pytest.approx(0)


def test_the_fingerprint_hangs_on_the_weights(make: Callable[[str, PreTrainedModel], Path]) -> None:
    one, same, other = (make(name, bert(["a", "b"])) for name in ("one", "same", "other"))
    model = AutoModelForSequenceClassification.from_pretrained(other)
    torch.nn.init.ones_(model.classifier.bias)
    model.save_pretrained(other)
    identities = [
        harness.scorer(f"classifier:model={folder}").description["identity"]
        for folder in (one, same, other)
    ]
    assert identities[0] == identities[1] != identities[2]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("classifier", "needs the setting 'model'"),
        ("classifier:model=THREE,label=finest", "label=finest, but the model's are poor, fair"),
        ("classifier:model=THREE,label=3", "label=3"),
        ("classifier:model=THREE,max_length=33", "max_length=33, but .* takes 32"),
        ("classifier:model=THREE,template=x", "has no {completion} in it"),
        ("classifier:model=THREE,empty=0", "empty is 0.0"),
        ("classifier:model=THREE,device=tpu", "device is 'tpu'"),
        ("classifier:model=THREE,device=cuda:99", "device=cuda:99 cannot be used"),
        ("classifier:model=./nowhere", "the model ./nowhere does not exist"),
        ("classifier:model=nowhere", "unknown model 'nowhere'"),
        ("classifier:model=EMPTY", "holds no model: it has no config.json"),
        ("classifier:model=THREE/config.json", "is a file; name the folder"),
    ],
)
def test_a_wrong_setting_is_one_line(
    reference: str, message: str, three: Path, tmp_path: Path
) -> None:
    with pytest.raises(HarnessError, match=message):
        harness.scorer(reference.replace("THREE", str(three)).replace("EMPTY", str(tmp_path)))


def test_an_encoder_that_was_not_trained_to_classify_is_refused(minilm: str) -> None:
    with pytest.raises(HarnessError, match=r"is no trained classifier: it lacks classifier\.bias"):
        harness.scorer(f"classifier:model={minilm}")


def test_a_new_model_learns_and_scores_what_it_was_told(trained: TrainingResult) -> None:
    assert trained.metrics["held_out/accuracy"] == 1
    asked = [completion(sample.prompt, id=sample.id) for sample in rows(40, 1)]
    assert trained.use == f"classifier:model={trained.model}"
    found = check_rewarder(trained.use, asked, tolerance=0)
    assert [score.value is not None and score.value > 0 for score in found] == [
        sample.references == ("good",) for sample in rows(40, 1)
    ]
    config = AutoModelForSequenceClassification.from_pretrained(trained.model).config
    assert config.id2label == {0: "bad", 1: "good"}


def test_the_metrics_of_a_step_and_of_an_epoch(tmp_path: Path) -> None:
    steps: list[TrainingStep] = []
    result = train(tmp_path, report=steps.append)
    assert [s.step for s in steps] == list(range(1, 16))
    assert {s.total for s in steps} == {15}
    assert all({"loss", "learning_rate", "grad_norm", "epoch"} <= set(s.metrics) for s in steps)
    read = [s.metrics for s in steps if "held_out/auc" in s.metrics]
    assert [m["epoch"] for m in read] == [1, 2, 3]
    assert {"held_out/accuracy", "held_out/macro_f1", "held_out/loss"} <= set(read[0])
    assert result.metrics == max(read, key=lambda m: m["held_out/auc"])
    rates = [s.metrics["learning_rate"] for s in steps]
    assert max(rates) == 1e-3  # a new model's
    assert rates[0] < max(rates) > rates[-1] > 0


def test_the_best_epoch_is_kept(tmp_path: Path) -> None:
    """Of held-out rows whose labels are swapped, the more is learnt the more is wrong."""
    read: list[Mapping[str, float]] = []
    swapped = {"good": ("bad",), "bad": ("good",)}
    held_out = [replace(row, references=swapped[row.references[0]]) for row in rows(20, 1)]
    result = train(
        tmp_path,
        "epochs=4,learning_rate=0.01,keep=loss",
        held_out=held_out,
        report=lambda step: read.append(step.metrics),
    )
    losses = [m["held_out/loss"] for m in read if "held_out/loss" in m]
    assert result.metrics["held_out/loss"] == min(losses) < losses[-1]
    kept = harness.scorer(f"classifier:model={result.model},output=probability")
    right = [
        score.value if sample.references == ("good",) else 1 - (score.value or 0)
        for sample in held_out
        for score in kept.score([completion(sample.prompt)])
    ]
    mean = -sum(math.log(p or 0) for p in right) / len(right)
    assert mean == pytest.approx(min(losses), rel=1e-5)


def weights(result: TrainingResult) -> dict[str, torch.Tensor]:
    return load_file(result.model / "model.safetensors")


class Stopped(BaseException):
    """Ends a process where a test says so."""


def interrupted_at(step: int) -> Iterator[bool]:
    return (i == step for i in range(1, 1000))


@pytest.mark.parametrize("step", [2, 5, 7])
def test_an_interrupted_training_goes_on_as_if_it_had_not_stopped(
    tmp_path: Path, step: int
) -> None:
    """Five steps make an epoch: within the first one, at its end, within the second."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    expected = train(whole)
    asked = interrupted_at(step)
    with pytest.raises(KeyboardInterrupt):
        train(cut, interrupted=lambda: next(asked))
    seen: list[int] = []
    result = train(cut, report=lambda s: seen.append(s.step))
    assert seen == list(range(step + 1, 16))
    assert result.metrics == expected.metrics
    assert all(torch.equal(w, weights(result)[name]) for name, w in weights(expected).items())
    again = train(cut, report=lambda s: pytest.fail("it was complete"))
    assert again == result


def test_a_killed_training_goes_on_from_its_last_epoch(tmp_path: Path) -> None:
    def die(step: TrainingStep) -> None:
        if step.step == 8:
            raise Stopped

    expected = train(tmp_path / "whole")
    with pytest.raises(Stopped):
        train(tmp_path / "cut", report=die)
    seen: list[int] = []
    result = train(tmp_path / "cut", report=lambda s: seen.append(s.step))
    assert seen[0] == 6
    assert all(torch.equal(w, weights(result)[name]) for name, w in weights(expected).items())


def test_another_training_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    before = weights(train(tmp_path, "epochs=1"))
    with pytest.raises(HarnessError, match=r"holds another training \(settings.epochs: 1 → 2\)"):
        train(tmp_path, "epochs=2")
    with pytest.raises(HarnessError, match=r"another training \(held_out"):
        train(tmp_path, "epochs=1", held_out=rows(10, 5))
    result = train(tmp_path, "epochs=2", resume=False)
    assert any(not torch.equal(w, weights(result)[name]) for name, w in before.items())


def test_a_checkpoint_that_is_cut_off_is_named(tmp_path: Path) -> None:
    train(tmp_path, "epochs=1")
    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    with pytest.raises(HarnessError, match=r"checkpoint\.pt is cut off .*; delete it"):
        train(tmp_path, "epochs=1")


def test_without_held_out_rows_the_last_epoch_is_kept(tmp_path: Path) -> None:
    result = train(tmp_path, "epochs=2", held_out=[])
    assert result.metrics["epoch"] == 2
    assert not any(name.startswith("held_out") for name in result.metrics)


def test_labels_sort_as_numbers_and_may_be_given(tmp_path: Path) -> None:
    def labels(name: str, settings: str, *texts: str) -> object:
        samples = [Sample(str(i), f"text {i}", (texts[i % len(texts)],)) for i in range(8)]
        result = train(tmp_path / name, f"epochs=1,{settings}", samples=samples, held_out=[])
        return AutoModelForSequenceClassification.from_pretrained(result.model).config.id2label

    assert labels("numbers", "balanced=true", "10", "9", "2") == {0: "2", 1: "9", 2: "10"}
    assert labels("given", "labels=['poor','fine']", "fine", "poor") == {0: "poor", 1: "fine"}


def test_a_checkpoint_gets_a_head_for_the_labels(
    make: Callable[[str, PreTrainedModel], Path], tmp_path: Path
) -> None:
    start = make("start", bert(["a", "b", "c"]))
    trainer = build_trainer(ClassifierTraining(str(start), epochs=1, max_length=32))
    result = trainer.train(task(tmp_path))
    assert AutoModelForSequenceClassification.from_pretrained(result.model).config.num_labels == 2
    before, after = load_file(start / "model.safetensors"), weights(result)
    name = "bert.encoder.layer.0.output.dense.weight"
    change = (after[name] - before[name]).abs().max()
    assert 0 < change < 1e-3  # fine-tuned, not drawn anew


def test_balanced_rows_weigh_each_label_the_same() -> None:
    from harness_classifier._examples import examples

    samples = [Sample(str(i), "x", ("bad" if i else "good",)) for i in range(5)]
    found = examples(samples, ["bad", "good"])
    assert found.weights() == [5 / (2 * 4), 5 / (2 * 1)]
    assert sum(found.weights()[c] for c in found.classes) == 5


def test_an_epoch_has_every_row_once_and_like_lengths_together() -> None:
    lengths = [random.Random(i).randint(1, 50) for i in range(100)]
    batches = epoch_batches(lengths, 8, seed=0, epoch=0)
    assert sorted(row for batch in batches for row in batch) == list(range(100))
    assert [len(batch) for batch in batches].count(8) == 12
    spread = [max(lengths[i] for i in b) - min(lengths[i] for i in b) for b in batches]
    assert sum(spread) / len(spread) < 10
    assert epoch_batches(lengths, 8, seed=0, epoch=0) == batches
    assert epoch_batches(lengths, 8, seed=0, epoch=1) != batches


def test_metrics_worked_by_hand() -> None:
    """Rows of class 1 at .9 and .4, of class 0 at .4 and .1: 3.5 of 4 pairs are in order."""
    assert auc([0.9, 0.4, 0.4, 0.1], [True, True, False, False]) == 3.5 / 4
    assert auc([0.1, 0.2], [True, True]) is None
    found = metrics([(0.1, 0.9), (0.6, 0.4), (0.6, 0.4), (0.9, 0.1)], [1, 1, 0, 0])
    assert found["accuracy"] == 3 / 4
    assert found["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert found["loss"] == pytest.approx(-math.log(0.9 * 0.4 * 0.6 * 0.9) / 4)
    assert found["auc"] == 3.5 / 4
    assert macro_f1([0, 0, 2], [0, 1, 2]) == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert "auc" not in metrics([(0.1, 0.9)], [1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("epochs=0", "epochs is 0; it must be 1 or more"),
        ("learning_rate=1", r"learning_rate is 1.0; it must lie in \(0, 1\)"),
        ("width=15,heads=2", "width=15 is no multiple of heads=2"),
        ("labels=['a','a']", "two or more, each once"),
        ("vocabulary=10", "vocabulary is 10; it must be 300 or more"),
        ("model=./nowhere", "the model ./nowhere does not exist"),
        ("keep=f1", "choose one of auc, macro_f1"),
    ],
)
def test_a_wrong_setting_of_the_training_is_one_line(settings: str, message: str) -> None:
    with pytest.raises(HarnessError, match=message):
        harness.trainer(f"train-classifier:{settings}")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"samples": [Sample("7", "x", ("a",)), Sample("8", "y")]}, "sample 8 has 0 references"),
        ({"samples": [Sample("7", "x", ("a",))]}, "labels: only 'a'; two needed"),
        ({"samples": []}, "0 rows to train on"),
        ({"held_out": [Sample("7", "x", ("fair",))]}, "sample 7 has the label 'fair'"),
        ({"held_out": rows(1)}, "all held-out rows have one label"),
        ({"rewards": Scorers({"match": 0.0})}, "leave the scorers out"),
    ],
)
def test_rows_that_cannot_be_learned_are_named(
    tmp_path: Path, more: dict[str, object], message: str
) -> None:
    trainer = harness.trainer(f"train-classifier:{TINY}")
    with pytest.raises(HarnessError, match=message):
        trainer.train(replace(task(tmp_path), **more))  # type: ignore[arg-type]
