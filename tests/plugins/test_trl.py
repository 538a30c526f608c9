"""TRL's trainers on the harness's scorers, with a GPT-2 of a few thousand weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

import harness
from harness import (
    Completion,
    DataError,
    HarnessError,
    PluginError,
    Sample,
    Score,
    TrainingStep,
    TrainingTask,
    Unscored,
    scorer,
)
from harness.adapters import as_reward_func
from harness.components import Trainer, TrainingResult
from harness.settings import build_settings
from harness.testing import installed
from harness.training.rewards import ScorerRewards
from harness_trl import (
    GrpoSettings,
    RlooSettings,
    SftSettings,
    build_grpo,
    build_rloo,
    build_sft,
)
from harness_trl._quiet import silent
from harness_trl._rows import Rows
from harness_trl._sft import LeanTrainer, SftTrainer
from harness_trl._start import Start, grounded, load
from harness_trl._training import Plan

from .test_gpt2 import CHAT, PROMPTS, save, tokenizer

SAMPLES = [Sample(str(i), p, (p.split()[-1].lower(),)) for i, p in enumerate(PROMPTS)]
SMALL = {
    "batch_size": 8,
    "num_generations": 4,
    "max_new_tokens": 6,
    "steps": 2,
    "learning_rate": 1e-2,
}
BUILD: Mapping[str, Callable[..., Trainer]] = {
    "grpo": build_grpo,
    "rloo": build_rloo,
    "sft": build_sft,
}
SETTINGS = {"grpo": GrpoSettings, "rloo": RlooSettings, "sft": SftSettings}


@dataclass(frozen=True, slots=True)
class Vowels:
    """The share of vowels in a text, in hundredths; none for a text of which `refuse` is true."""

    refuse: Callable[[str], bool] = lambda text: False
    name: str = "vowels"

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        refused = Score.missing(Unscored.REFUSAL, "will not")
        return [
            refused if self.refuse(c.text) else Score(sum(x in "aeiou" for x in c.text) / 100)
            for c in completions
        ]


@dataclass
class Run:
    """A training whose steps are kept; it is interrupted after `until` steps."""

    model: Path
    output: Path
    until: int = 10**9
    resume: bool = True
    samples: Sequence[Sample] = tuple(SAMPLES)
    held_out: Sequence[Sample] = ()
    steps: list[TrainingStep] = field(default_factory=list)

    def train(
        self, kind: str, *scorers: tuple[object, float], **settings: object
    ) -> TrainingResult:
        built = [(scorer(s), weight) for s, weight in scorers]  # type: ignore[arg-type]
        task = TrainingTask(
            self.samples,
            ScorerRewards({s.label: s for s, _ in built}, {s.label: w for s, w in built}),
            self.output,
            resume=self.resume,
            held_out=self.held_out,
            report=self.steps.append,
            interrupted=lambda: len(self.steps) + 1 >= self.until,
        )
        known = {k: v for k, v in SMALL.items() if kind != "sft" or k in ("batch_size", "steps")}
        chosen = {"model": str(self.model), **known, **settings}
        made = build_settings(kind, SETTINGS[kind], chosen)
        return BUILD[kind](made).train(task)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save("gpt2", tmp_path_factory.mktemp("start"), eos_token="<|end|>", pad_token="<|p|>")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(a: Path, b: Path) -> bool:
    one, two = weights(a), weights(b)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def script(folder: Path, **settings: object) -> GRPOConfig:
    """The config of somebody's own script."""
    given = {
        "per_device_train_batch_size": 4,
        "num_generations": 2,
        "max_completion_length": 6,
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }
    return GRPOConfig(str(folder), **given, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["grpo", "rloo"])
def test_two_steps_train_a_model_that_transformers_loads(
    kind: str, start: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = Run(start, tmp_path / "out")
    result = run.train(kind, (Vowels(), 1.0), beta=0.1)
    assert capfd.readouterr() == ("", "")

    assert AutoModelForCausalLM.from_pretrained(result.model).num_parameters() > 0
    assert AutoTokenizer.from_pretrained(result.model).eos_token == "<|end|>"
    assert not same(start, result.model)
    assert [(step.step, step.total) for step in run.steps] == [(1, 2), (2, 2)]
    first = run.steps[0].metrics
    assert first["reward"] == pytest.approx(first["score/vowels"])
    assert (first["scored/vowels"], first["unscored/vowels"]) == (8, 0)
    assert 0 <= first["ended"] <= 1
    assert 0 < first["response_tokens"] <= 6
    assert {"entropy", "loss/policy", "clip_fraction", "grad_norm", "tokens_per_s"} <= first.keys()
    assert first["kl" if kind == "grpo" else "kl_k1"] == 0
    assert result.metrics == run.steps[-1].metrics


def test_scores_in_trl_are_those_of_a_direct_call(start: Path, tmp_path: Path, minilm: str) -> None:
    reference = "bertscore:model=minilm"
    run = Run(start, tmp_path / "out")
    run.train("grpo", (reference, 1.0), ("match:mode=f1", 0.5), examples=8, steps=1)

    batch = [completion for completion, _ in run.steps[0].examples]
    assert len(batch) == 8
    for label in (reference, "match:mode=f1"):
        assert [scores[label] for _, scores in run.steps[0].examples] == scorer(label).score(batch)
    values = [[s.value or 0.0 for s in scores.values()] for _, scores in run.steps[0].examples]
    total = sum(a + 0.5 * b for a, b in values) / 8
    assert run.steps[0].metrics["reward"] == pytest.approx(total, abs=1e-12)


def test_the_adapter_in_a_script_of_trl_gives_a_direct_calls_scores(
    start: Path, tmp_path: Path
) -> None:
    reward = as_reward_func("match:mode=f1")
    seen: list[tuple[list[Completion], list[float | None]]] = []

    def watched(
        prompts: list[str], completions: list[str], reference: list[str], **_: object
    ) -> list[float | None]:
        values = reward(prompts, completions, reference=reference)
        rows = zip(prompts, completions, reference, strict=True)
        seen.append(([Completion(Sample("", p, (t,)), c) for p, c, t in rows], values))
        return values

    data = Dataset.from_list([{"prompt": s.prompt, "reference": s.prompt} for s in SAMPLES])
    with silent():
        GRPOTrainer(str(start), watched, script(tmp_path, max_steps=1), data).train()

    (batch, values), *_ = seen
    assert len(batch) == 4
    assert values == [score.value for score in scorer("match:mode=f1").score(batch)]


def test_a_row_that_a_scorer_could_not_score_counts_for_nothing(
    start: Path, tmp_path: Path
) -> None:
    """Its reward is not what the other scorers gave, as it would be if TRL summed."""

    def odd(text: str) -> bool:
        return len(text) % 2 == 1

    run = Run(start, tmp_path / "out")
    run.train(
        "grpo", (Vowels(odd), 1.0), ("match:mode=f1", 1.0), ("n=match", 0.0), examples=8, steps=1
    )

    (step,) = run.steps
    refused = [odd(completion.text) for completion, _ in step.examples]
    assert 0 < sum(refused) < 8
    kept = [s for (_, s), no in zip(step.examples, refused, strict=True) if not no]
    totals = [sum((s[k].value or 0.0) for k in ("vowels", "match:mode=f1")) for s in kept]
    assert step.metrics["reward"] == pytest.approx(sum(totals) / len(totals))
    assert step.metrics["unscored/vowels"] == sum(refused)
    assert step.metrics["scored/n"] == 8


def test_what_trl_is_told_of_an_unscored_row_is_none_by_every_function() -> None:
    from harness_trl._rewards import SharedRewards

    scorers = {"vowels": scorer(Vowels(lambda text: text == "b")), "n": scorer("n=match")}
    rewards = ScorerRewards(scorers, {"vowels": 2.0, "n": 0.0})
    shared = SharedRewards(rewards, SAMPLES, len(SAMPLES), frozenset({0}))
    completions, ids = ["ae", "b"], [[5, 0], [6, 7]]

    told = [f(completions=completions, completion_ids=ids, row=[3, 4]) for f in shared.functions]

    assert told == [[0.02, None], [0.0, None]]
    assert [f.__name__ for f in shared.functions] == ["vowels", "n"]
    assert shared.latest is not None
    assert list(shared.latest.reward) == [0.04, None]
    assert [c.finish for c in shared.latest.completions] == ["stop", "length"]


def test_a_batch_is_scored_once_for_all_functions(start: Path, tmp_path: Path) -> None:
    calls = []

    def count(text: str) -> bool:
        calls.append(text)
        return False

    Run(start, tmp_path / "out").train("grpo", (Vowels(count), 1.0), ("match", 0.0), steps=1)

    assert len(calls) == 8


def test_a_scorer_of_weight_zero_is_watched_and_changes_nothing(
    start: Path, tmp_path: Path
) -> None:
    Run(start, tmp_path / "alone").train("grpo", (Vowels(), 1.0))
    run = Run(start, tmp_path / "watched")
    run.train("grpo", (Vowels(), 1.0), ("match:mode=contains", 0.0))

    assert "score/match:mode=contains" in run.steps[0].metrics
    assert same(tmp_path / "alone", tmp_path / "watched")


def test_nothing_scored_is_an_error_and_the_steps_before_it_are_kept(
    start: Path, tmp_path: Path
) -> None:
    run = Run(start, tmp_path / "out")
    limit = Vowels(lambda text: len(run.steps) > 0)

    with pytest.raises(HarnessError, match=r"nothing of a batch was scored \(refusal: will not"):
        run.train("grpo", (limit, 1.0), steps=3, extra=["shuffle_dataset=false"])
    assert (tmp_path / "out/checkpoints/checkpoint-1/trainer_state.json").exists()

    again = Run(start, tmp_path / "out")
    again.train("grpo", (Vowels(), 1.0), steps=3, extra=["shuffle_dataset=false"])
    assert [step.step for step in again.steps] == [2, 3]


def test_the_reference_is_the_model_in_memory_not_what_its_config_names(
    start: Path, tmp_path: Path
) -> None:
    """TRL alone takes the folder's weights for those of the changed model."""
    changed = load(str(start))
    with torch.no_grad():
        next(changed.model.parameters()).add_(1.0)
    expected = {name: tensor.clone() for name, tensor in changed.model.state_dict().items()}
    with silent():
        kept = grounded(changed, tmp_path / "kept")
        alone, ours = reference_of(changed, tmp_path), reference_of(kept, tmp_path)

    assert ours.keys() == expected.keys()
    assert all(torch.equal(ours[name], expected[name]) for name in expected)
    assert not all(torch.equal(alone[name], expected[name]) for name in expected)


def reference_of(start: Start, folder: Path) -> dict[str, torch.Tensor]:
    """The weights of the reference that TRL takes for this model."""
    trainer = GRPOTrainer(
        start.model,
        as_reward_func("match"),
        script(folder, beta=0.1),
        Dataset.from_list([{"prompt": "Go"}]),
        processing_class=start.tokenizer,
    )
    assert trainer.ref_model is not None
    return trainer.ref_model.state_dict()


@pytest.mark.parametrize("kind", ["grpo", "sft"])
def test_an_interrupted_training_goes_on_to_the_same_weights(
    kind: str, start: Path, tmp_path: Path
) -> None:
    """Also when the model that it started from has been moved: the reference is kept."""
    settings = {"steps": 3, **({"beta": 0.1} if kind == "grpo" else {"learning_rate": 1e-2})}
    Run(start, tmp_path / "whole").train(kind, (Vowels(), 1.0), **settings)
    model = tmp_path / "model"
    shutil.copytree(start, model)

    stopped = Run(model, tmp_path / "out", until=1)
    with pytest.raises(KeyboardInterrupt):
        stopped.train(kind, (Vowels(), 1.0), **settings)
    assert [step.step for step in stopped.steps] == [1]
    assert not (tmp_path / "out/config.json").exists()
    if kind == "grpo":
        model.rename(tmp_path / "moved")
    resumed = Run(model, tmp_path / "out")
    resumed.train(kind, (Vowels(), 1.0), **settings)

    assert [step.step for step in resumed.steps] == [2, 3]
    assert same(tmp_path / "whole", tmp_path / "out")


def test_a_checkpoint_that_is_cut_off_is_passed_over(start: Path, tmp_path: Path) -> None:
    settings = {"steps": 3, "learning_rate": 1e-2, "save_every": 1}
    Run(start, tmp_path / "whole").train("sft", **settings)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        Run(start, out, until=2).train("sft", **settings)
    (out / "checkpoints/checkpoint-2/optimizer.pt").write_bytes(b"PK")

    again = Run(start, out)
    with pytest.warns(UserWarning, match="checkpoint-2 is cut off .*optimizer.pt is no whole file"):
        again.train("sft", **settings)

    assert [step.step for step in again.steps] == [2, 3]
    assert same(tmp_path / "whole", out)


def test_a_finished_training_is_not_run_again_and_another_one_is_refused(
    start: Path, tmp_path: Path
) -> None:
    first = Run(start, tmp_path).train("sft")
    again = Run(start, tmp_path)

    assert again.train("sft") == first
    assert again.steps == []
    with pytest.raises(HarnessError, match=r"another training \(settings.learning_rate: 5e-05 →"):
        Run(start, tmp_path).train("sft", learning_rate=1.0)
    fresh = Run(start, tmp_path, resume=False)
    fresh.train("sft", learning_rate=1e-2)
    assert len(fresh.steps) == 2


def test_sft_lowers_the_loss_until_the_model_answers(start: Path, tmp_path: Path) -> None:
    run = Run(start, tmp_path)
    result = run.train("sft", template="Q: {prompt} A:", steps=0, epochs=120, learning_rate=1e-2)

    assert run.steps[-1].metrics["loss"] < 0.1 * run.steps[0].metrics["loss"]
    assert run.steps[-1].metrics["epoch"] == 120
    with installed():
        answers = harness.generator(result.use).generate(SAMPLES)
    assert [c.text.strip() for c in answers] == [s.references[0] for s in SAMPLES]
    assert {c.finish for c in answers} == {"stop"}


def test_a_trained_model_is_used_as_it_was_trained(start: Path, tmp_path: Path) -> None:
    template = "a, 'b' [{prompt}"
    run = Run(start, tmp_path / "out")
    use = run.train("rloo", (Vowels(), 1.0), template=template, steps=1, temperature=0.5).use

    built = harness.generator(use).component
    assert built._settings.template == template  # type: ignore[attr-defined]
    assert built._settings.temperature == 0.5  # type: ignore[attr-defined]
    assert built._settings.max_new_tokens == 6  # type: ignore[attr-defined]


@pytest.mark.parametrize("learnt", ["completion", "all"])
def test_the_loss_without_a_gpu_is_trls(start: Path, tmp_path: Path, learnt: str) -> None:
    settings = SftSettings(model=str(start), loss=learnt)  # type: ignore[arg-type]
    task = TrainingTask(SAMPLES, ScorerRewards({}, {}), tmp_path)
    with silent():
        loaded = load(str(start))
        trainer, _ = SftTrainer(settings)._built(Plan(loaded, tmp_path), task)
    rows = Rows(SAMPLES, loaded, settings)
    batch = rows.collate(rows.once(range(8)))
    assert isinstance(trainer, LeanTrainer)
    loaded.model.train(False)
    for count in (None, torch.tensor(40)):
        ours = trainer.compute_loss(loaded.model, dict(batch), num_items_in_batch=count)
        theirs = super(LeanTrainer, trainer).compute_loss(  # type: ignore[no-untyped-call]
            loaded.model, dict(batch), num_items_in_batch=count
        )
        torch.testing.assert_close(ours, theirs)


def rows_of(start: Path, **settings: object) -> tuple[Rows, SftSettings]:
    made = SftSettings(model=str(start), **settings)  # type: ignore[arg-type]
    return Rows(SAMPLES, load(str(start)), made), made


def real(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """The first row's tokens without the padding."""
    return batch["input_ids"][0][batch["attention_mask"][0] > 0]


def test_each_row_gets_a_prefix_by_the_seed_anew_each_epoch(start: Path) -> None:
    prefixes = ("", "[good]", "[bad]")
    rows, settings = rows_of(start, prefixes=prefixes, template="Q: {prompt}", epochs=30)
    plan = rows.plan(range(8), settings, seed=3)

    assert plan == rows.plan(range(8), settings, seed=3)
    assert plan != rows.plan(range(8), settings, seed=4)
    assert {(item["sample"], item["prefix"]) for item in plan} == {
        (sample, prefix) for sample in range(8) for prefix in range(3)
    }
    words = AutoTokenizer.from_pretrained(start)
    batch = rows.collate([{"sample": 1, "prefix": 1, "reference": 0}])
    assert words.decode(real(batch)) == "[good]Q: Go go<|end|>"
    assert words.decode(batch["labels"][0][batch["labels"][0] >= 0]) == " go<|end|>"


def test_an_epoch_holds_every_row_once_in_batches_of_like_length(start: Path) -> None:
    rows, settings = rows_of(start, epochs=3, batch_size=2)
    plan = [item["sample"] for item in rows.plan(range(8), settings, seed=0)]
    ungrouped, alone = rows_of(start, epochs=3, batch_size=2, group_by_length=False)
    shuffled = [item["sample"] for item in ungrouped.plan(range(8), alone, seed=0)]

    assert sorted(plan) == sorted(3 * list(range(8)))
    assert [sorted(shuffled[i : i + 8]) for i in (0, 8, 16)] == 3 * [list(range(8))]
    assert padded(rows, plan) < padded(rows, shuffled)


def padded(rows: Rows, order: list[int]) -> int:
    pairs = [order[i : i + 2] for i in range(0, len(order), 2)]
    every = [[{"sample": s, "prefix": 0, "reference": 0} for s in pair] for pair in pairs]
    return sum(rows.collate(batch)["input_ids"].numel() for batch in every)


def test_a_long_completion_is_cut_and_does_not_learn_to_end_there(start: Path) -> None:
    samples = [Sample("0", "Go", ("there",)), Sample("1", "Go", ("to the end of the world",))]
    whole, cut = (
        Rows(samples, load(str(start)), SftSettings(max_tokens=limit)) for limit in (None, 9)
    )
    short, long = ([{"sample": i, "prefix": 0, "reference": 0}] for i in (0, 1))

    assert len(whole.collate(short)["input_ids"][0]) <= 9 < len(whole.collate(long)["labels"][0])
    assert torch.equal(cut.collate(short)["input_ids"], whole.collate(short)["input_ids"])
    assert torch.equal(cut.collate(long)["input_ids"][0], whole.collate(long)["input_ids"][0][:9])


def test_of_several_references_each_is_learnt(start: Path) -> None:
    settings = SftSettings(model=str(start), epochs=20)
    rows = Rows([Sample("0", "Go", ("a", "b"))], load(str(start)), settings)

    assert {item["reference"] for item in rows.plan(range(1), settings, seed=0)} == {0, 1}


def test_held_out_rows_are_evaluated_and_not_trained_on(start: Path, tmp_path: Path) -> None:
    for kind, name in (("sft", "loss"), ("grpo", "vowels")):
        run = Run(start, tmp_path / kind, samples=SAMPLES[:5], held_out=SAMPLES[5:])
        run.train(kind, (Vowels(), 1.0), evaluate_every=2)
        assert f"held_out/{name}" not in run.steps[0].metrics
        assert run.steps[1].metrics[f"held_out/{name}"] >= 0
        trained = {c.sample.id for step in run.steps for c, _ in step.examples}
        assert trained <= {"0", "1", "2", "3", "4"}


def test_adapters_are_merged_into_a_plain_model(start: Path, tmp_path: Path) -> None:
    run = Run(start, tmp_path / "out")
    result = run.train("grpo", (Vowels(), 1.0), lora_rank=2, beta=0.1, examples=0)

    assert run.steps[0].metrics["kl"] == 0
    assert not (tmp_path / "out/checkpoints/start").exists()
    before, after = weights(start), weights(result.model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {f"transformer.h.{i}.attn.c_attn.weight" for i in range(2)}


def test_microbatches_add_up_to_the_same_training(start: Path, tmp_path: Path) -> None:
    whole = Run(start, tmp_path / "whole").train("sft", learning_rate=1e-3)
    split = Run(start, tmp_path / "split").train("sft", learning_rate=1e-3, microbatch_size=2)

    assert split.metrics["loss"] == pytest.approx(whole.metrics["loss"], rel=0.1)


def test_chat_models_are_asked_in_their_template(start: Path, tmp_path: Path) -> None:
    model = tmp_path / "chat"
    shutil.copytree(start, model)
    words = tokenizer(eos_token="<|end|>", pad_token="<|p|>")
    words.chat_template = CHAT
    words.save_pretrained(model)

    rows, _ = rows_of(model, system="Be brief.", prefixes=("[good]",))
    batch = rows.collate([{"sample": 1, "prefix": 0, "reference": 0}])
    shown = words.decode(real(batch))
    assert shown == "<system>Be brief.<user>[good]Go<answer> go<|end|>"
    run = Run(model, tmp_path / "out")
    run.train("grpo", (Vowels(), 1.0), steps=1)
    assert isinstance(run.steps[0].examples[0][0].text, str)


def test_trackers_get_trls_metrics(start: Path, tmp_path: Path) -> None:
    Run(start, tmp_path).train("sft", trackers=["tensorboard"])

    assert list((tmp_path / "checkpoints/runs").rglob("events.out.tfevents.*"))


def test_extra_keys_reach_trl_by_their_type(start: Path, tmp_path: Path) -> None:
    extra = ["loss_type=grpo", "num_iterations=2", "top_k=5", "min_p=none", "bf16_full_eval=true"]
    run = Run(start, tmp_path)
    run.train("grpo", (Vowels(), 1.0), extra=extra)

    args = torch.load(tmp_path / "checkpoints/checkpoint-2/training_args.bin", weights_only=False)
    assert (args.loss_type, args.num_iterations, args.top_k) == ("grpo", 2, 5)
    assert (args.min_p, args.bf16_full_eval) == (None, True)
    same_batch = [[c.text for c, _ in step.examples] for step in run.steps]
    assert same_batch[0] == same_batch[1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"extra": ["los_type=grpo"]}, "GRPOConfig has no key 'los_type'; did you mean 'loss_ty"),
        ({"extra": ["learning_rate=1"]}, "learning_rate follows from the trainer's own settings"),
        ({"extra": ["loss_type"]}, "write key=value"),
        ({"extra": ["num_iterations=two"]}, "num_iterations is 'two'; it must be int"),
        ({"extra": ["loss_type=ppo"]}, "TRL refuses these settings: .*ppo"),
        ({"trackers": ["paper"]}, "TRL refuses these settings: .*paper"),
        ({"model": "/none/such"}, "the model /none/such does not exist"),
        ({"batch_size": 64}, "takes 16 prompts of 4 completions, and there are 8"),
        ({"batch_size": 9}, "grpo: batch_size is 9; it must be a multiple of num_generations"),
        ({"microbatch_size": 3}, "grpo: batch_size is 8; it must be a multiple of microbatch_size"),
        ({"template": "x"}, "grpo: template 'x' has no {prompt} in it"),
        ({"temperature": 0}, "grpo: temperature is 0.0; it is above 0"),
        ({"steps": -1}, "grpo: steps is -1; it is at least 0"),
        ({"chat": "on"}, "chat is on, but the tokenizer of .* has no chat template"),
        ({"system": "x"}, "system needs a chat template"),
        ({"max_new_tokens": 60}, "sample '0' has 12 tokens, and the model's context leaves room"),
    ],
)  # fmt: skip
def test_bad_settings_are_one_line(
    settings: dict[str, object], message: str, start: Path, tmp_path: Path
) -> None:
    with pytest.raises(HarnessError, match=message) as raised:
        Run(start, tmp_path / "out").train("grpo", (Vowels(), 1.0), **settings)
    assert "\n" not in str(raised.value)


def test_bad_data_and_models_are_one_line(start: Path, tmp_path: Path) -> None:
    bare = Run(start, tmp_path / "a", samples=[Sample("x", "Go")])
    with pytest.raises(DataError, match="sample 'x' has no reference"):
        bare.train("sft")
    empty = Run(start, tmp_path / "b", samples=[Sample("x", " ", ("a",))])
    with pytest.raises(DataError, match="sample 'x' has an empty prompt"):
        empty.train("sft")
    with pytest.raises(HarnessError, match="no scorer has a weight other than 0"):
        Run(start, tmp_path / "c").train("grpo", ("match", 0.0))
    with pytest.raises(HarnessError, match="output and model are both"):
        Run(start, start).train("sft")
    with pytest.raises(HarnessError, match="has no end token"):
        Run(save("gpt2", tmp_path / "endless"), tmp_path / "d").train("sft")
    (tmp_path / "empty").mkdir()
    with pytest.raises(HarnessError, match="holds no model"):
        Run(tmp_path / "empty", tmp_path / "e").train("sft")


def test_a_reward_that_never_varies_is_warned_of(start: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="in step 1 all completions of each prompt have one"):
        Run(start, tmp_path).train("grpo", ("match:mode=contains", 1.0), steps=1)


def test_the_whole_way_through_the_harness(start: Path, tmp_path: Path) -> None:
    import harness_trl

    reference = f"grpo:model={start},batch_size=4,num_generations=2,max_new_tokens=4,steps=1"
    with installed(harness_trl):
        result = harness.train(
            SAMPLES,
            trainer=reference,
            scorers=[(Vowels(), 1.0), ("match:mode=f1", 0.0)],
            output=tmp_path / "out",
        )
    card = json.loads((tmp_path / "out/samescore.json").read_text())

    assert card["scorers"]["vowels"]["weight"] == 1.0
    assert card["trainer"]["identity"]["trl"]
    assert "score/match:mode=f1" in result.metrics
    with installed(harness_trl), pytest.raises(PluginError, match="did you mean 'beta'"):
        harness.trainer("grpo:bet=1")
