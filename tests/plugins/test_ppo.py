"""The trainer `ppo`, on models small enough to be trained in a test."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import PartialState
from accelerate.logging import get_logger
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2LMHeadModel

import harness
from harness import (
    Completion,
    DataError,
    HarnessError,
    Rewarder,
    Sample,
    Score,
    TrainingStep,
    Unscored,
)
from harness.components import Selected
from harness_gpt2._batch import Row
from harness_gpt2._loading import load
from harness_gpt2._sampling import Sampler, noise_key
from harness_gpt2.ppo._policy import Policy, Sequences
from harness_gpt2.ppo._rollout import roll_out
from harness_gpt2.ppo._update import forward

from .test_gpt2 import PROMPTS, save

SAMPLES = [Sample(str(i), prompt, ("the bread",)) for i, prompt in enumerate(PROMPTS)]
SMALL = {
    "batch_size": 8,
    "minibatch_size": 4,
    "epochs": 2,
    "max_new_tokens": 8,
    "steps": 2,
    "learning_rate": 1e-3,
    "normalize_batches": 1,
}


@dataclass(frozen=True, slots=True)
class Vowels:
    """The share of vowels in a text: cheap, and easy to get more of."""

    name: str = "vowels"

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        return [Score(sum(c in "aeiou" for c in x.text) / max(len(x.text), 1)) for x in completions]


@dataclass(frozen=True, slots=True)
class Sometimes:
    """Scores what `wanted` says of the prompt, by `value`."""

    wanted: Callable[[str], bool]
    value: Score = field(default_factory=lambda: Score(1.0))
    name: str = "sometimes"

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        no = Score.missing(Unscored.REFUSAL, "will not")
        return [self.value if self.wanted(c.sample.prompt) else no for c in completions]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save("gpt2", tmp_path / "start", eos_token="<eos>")


def ppo(model: Path, **settings: object) -> str:
    chosen = {"model": model, **SMALL, **settings}
    return "ppo:" + ",".join(f"{key}={value}" for key, value in chosen.items())


def trained(
    model: Path, output: Path, *scorers: str | Rewarder, **settings: object
) -> tuple[dict[str, torch.Tensor], harness.TrainingResult]:
    rewards: Sequence[str | Rewarder] = scorers or (Vowels(),)
    trainer = ppo(model, **settings)
    result = harness.train(SAMPLES, trainer=trainer, scorers=rewards, output=output)
    return load_file(result.model / "model.safetensors"), result


def rows(model: Path, budgets: Sequence[int]) -> list[Row]:
    words = AutoTokenizer.from_pretrained(model)
    return [
        Row(words(prompt)["input_ids"], budget, noise_key(0, prompt, 0))
        for prompt, budget in zip(PROMPTS, budgets, strict=True)
    ]


def never(_: Sequence[int]) -> bool:
    return False


def test_batched_rollouts_are_what_generate_gives_one_by_one(model: Path) -> None:
    """Greedy, with a repetition penalty and a budget for each row; token for token."""
    loaded = load(str(model))
    asked = rows(model, range(3, 3 + len(PROMPTS)))
    rolled = roll_out(Policy(loaded.model), asked, Sampler(1.0, 1, 1.0, 10.0), never)
    plain = GPT2LMHeadModel.from_pretrained(model)
    for row, answer in zip(asked, rolled.answers, strict=True):
        ids = torch.tensor([row.prompt])
        expected = plain.generate(  # type: ignore[misc]
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            repetition_penalty=10.0,
            min_new_tokens=row.budget,
            max_new_tokens=row.budget,
            eos_token_id=None,
            pad_token_id=0,
        )[0, len(row.prompt) :]
        assert answer.tokens == expected.tolist()


def test_what_a_rollout_records_is_what_a_forward_pass_gives(model: Path) -> None:
    """Log-probability, value and entropy, at a temperature; also against the whole logits."""
    loaded = load(str(model))
    policy = Policy(loaded.model, temperature=0.7)
    torch.nn.init.normal_(policy.value_head.weight)
    rolled = roll_out(policy, rows(model, [6] * len(PROMPTS)), Sampler(0.7), never)
    batch = Sequences(
        [row.prompt for row in rows(model, [6] * len(PROMPTS))], [a.tokens for a in rolled.answers]
    )
    with torch.no_grad():
        found = policy(batch, entropy=True)
    for part, recorded in zip(found, (rolled.logprobs, rolled.values, rolled.entropy), strict=True):
        assert torch.allclose(part, torch.cat(list(recorded)), atol=1e-5)
    text = torch.tensor([[*batch.prompts[0], *batch.responses[0]]])
    start = len(batch.prompts[0])
    logits = loaded.model(text).logits[0, start - 1 : -1] / 0.7
    chosen = logits.log_softmax(-1)[range(6), batch.responses[0]]
    assert torch.allclose(chosen, found.logprobs[:6], atol=1e-5)


def test_other_rows_and_their_padding_change_nothing(model: Path) -> None:
    policy = Policy(load(str(model)).model)
    batch = Sequences([[5, 6], [7] * 20, [8]], [[9, 10, 11], [12] * 9, [13]])
    with torch.no_grad():
        together = policy(batch)
        alone = [policy(Sequences([p], [r])) for p, r in zip(*batch, strict=True)]
    assert torch.allclose(together.logprobs, torch.cat([o.logprobs for o in alone]), atol=1e-5)
    assert torch.allclose(together.values, torch.cat([o.values for o in alone]), atol=1e-5)


def test_bfloat16_stays_near(model: Path) -> None:
    policy = Policy(load(str(model)).model)
    batch = Sequences([[5, 6, 7]] * 2, [[9, 10, 11], [12, 13]])
    with torch.no_grad():
        exact, rough = (forward(policy, batch, dtype) for dtype in (None, torch.bfloat16))
    assert torch.allclose(exact.logprobs, rough.logprobs, atol=0.2)
    assert not torch.equal(exact.logprobs, rough.logprobs)


def test_a_toy_reward_goes_up(model: Path, tmp_path: Path) -> None:
    """More vowels; by far more than chance, whose standard error is about 0.02 here."""
    steps: list[TrainingStep] = []

    class Watch:
        @harness.hookimpl
        def harness_training_step(self, step: TrainingStep) -> None:
            steps.append(step)

    from harness.testing import installed

    with installed(Watch()):
        trained(model, tmp_path / "out", batch_size=32, minibatch_size=16, steps=30, kl_coef=0.01)
    share = [step.metrics["score/vowels"] for step in steps]
    assert len(share) == 30
    assert np.mean(share[-5:]) > np.mean(share[:5]) + 0.2
    assert all(step.metrics["kl"] >= 0 for step in steps)
    assert steps[0].metrics["kl"] == pytest.approx(0, abs=1e-6)


def test_the_saved_policy_is_any_causal_model_and_knows_its_scorers(
    model: Path, tmp_path: Path
) -> None:
    weights, result = trained(model, tmp_path / "out", "match:mode=f1", Vowels())
    assert result.model == tmp_path / "out"
    AutoModelForCausalLM.from_pretrained(result.model)
    start = load_file(model / "model.safetensors")
    assert any(not torch.equal(weights[name], start[name]) for name in start)
    card = json.loads((result.model / "samescore.json").read_text())
    assert card["scorers"]["match:mode=f1"]["fingerprint"] == (
        harness.scorer("match:mode=f1").fingerprint
    )
    answers = harness.generator(f"gpt2:model={result.model}").generate(SAMPLES[:2])
    assert [a.finish for a in answers] != ["error", "error"]


def test_unscored_rows_teach_nothing(model: Path, tmp_path: Path) -> None:
    """The same update as of a batch without them: rows, whitening, KL, minibatches and all."""
    weights, result = trained(
        model, tmp_path / "a", Sometimes(lambda p: p != "Go", Score(0.5)), Vowels(), steps=1
    )
    assert result.metrics["unscored/sometimes"] == 1
    assert result.metrics["scored/sometimes"] == 7
    assert result.metrics["scored/vowels"] == 8

    @dataclass(frozen=True, slots=True)
    class Without:
        name: str = "sometimes"

        def score(self, completions: Sequence[Completion]) -> list[Score]:
            return [
                Score.missing(Unscored.TIMEOUT) if c.sample.prompt == "Go" else Score(0.5)
                for c in completions
            ]

    again, _ = trained(model, tmp_path / "b", Without(), Vowels(), steps=1)
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    every, _ = trained(
        model, tmp_path / "c", Sometimes(lambda p: True, Score(0.5)), Vowels(), steps=1
    )
    assert any(not torch.equal(weights[name], every[name]) for name in weights)


def test_a_scorer_of_weight_zero_only_watches(model: Path, tmp_path: Path) -> None:
    plain, _ = trained(model, tmp_path / "a", Vowels())
    result = harness.train(
        SAMPLES,
        trainer=ppo(model),
        scorers=[(Vowels(), 1.0), ("match:mode=f1", 0.0)],
        output=tmp_path / "b",
    )
    watched = load_file(result.model / "model.safetensors")
    assert all(torch.equal(plain[name], watched[name]) for name in plain)
    assert "score/match:mode=f1" in result.metrics


def test_the_control_text_flips_the_reward(model: Path, tmp_path: Path) -> None:
    """Half of the rows have either control; it is in the prompt and not in the scored text."""
    seen: list[tuple[str, str]] = []

    @dataclass(frozen=True, slots=True)
    class Listens:
        name: str = "listens"

        def score(self, completions: Sequence[Completion]) -> list[Score]:
            seen.extend((c.sample.prompt, c.text) for c in completions)
            return [Score(float(len(c.text))) for c in completions]

    _, result = trained(model, tmp_path / "out", Listens(), good="[up]", bad="[down]", steps=1)
    assert {"score/listens", "score_bad/listens"} <= set(result.metrics)
    assert sorted(prompt for prompt, _ in seen) == sorted(PROMPTS)
    assert not any("[up]" in text or "[down]" in text for _, text in seen)


@pytest.mark.parametrize("settings", [{"train_layers": 1}, {"lora_rank": 2}])
def test_parts_of_the_model_can_be_trained(
    model: Path, tmp_path: Path, settings: Mapping[str, object]
) -> None:
    """What is frozen stays, bit for bit; the result is a plain model either way."""
    weights, result = trained(model, tmp_path / "out", learning_rate=0.01, **settings)
    start = load_file(model / "model.safetensors")
    assert set(weights) == set(start)
    changed = {name for name in start if not torch.equal(start[name], weights[name])}
    assert changed
    if "train_layers" in settings:
        assert all(name.startswith(("transformer.h.1.", "transformer.ln_f")) for name in changed)
    else:
        assert all("attn.c_attn.weight" in name for name in changed)
    assert result.metrics["kl"] > 0


def test_a_frozen_part_is_shared_with_the_reference(model: Path) -> None:
    policy = Policy(load(str(model)).model)
    policy.model.requires_grad_(False)
    ours = dict(policy.named_parameters())
    trained = {n for n in ours if "transformer.h.1." in n}
    for name in trained:
        ours[name].requires_grad_(True)
    theirs = dict(policy.reference().named_parameters())
    assert {n for n in ours if theirs[n] is not ours[n]} >= trained
    assert theirs["model.transformer.wte.weight"] is ours["model.transformer.wte.weight"]
    assert not any(p.requires_grad for p in theirs.values())


TRAIN = textwrap.dedent(
    """
    import sys
    sys.path.insert(0, {here!r})
    import harness
    from tests.plugins.test_ppo import SAMPLES, Vowels, ppo
    from harness import TrainingStep
    from harness.testing import installed

    class Watch:
        @harness.hookimpl
        def harness_training_step(self, step: TrainingStep) -> None:
            print("step", step.step, flush=True)
            if step.step == {hold}:
                sys.stdin.readline()

    from pathlib import Path
    with installed(Watch()):
        harness.train(SAMPLES, trainer=ppo(Path({model!r}), steps=4, save_every=1),
                      scorers=[Vowels()], output={output!r})
    """
)
ROOT = str(Path(__file__).parents[2])


def process(model: Path, output: Path, hold: int) -> subprocess.Popen[str]:
    code = TRAIN.format(here=ROOT, model=str(model), output=str(output), hold=hold)
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdout is not None
    for read in child.stdout:
        if read.strip() == line:
            return
    raise AssertionError(child.stderr.read() if child.stderr else "")


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_weights(model: Path, tmp_path: Path) -> None:
    whole, _ = trained(model, tmp_path / "whole", steps=4, save_every=1)
    with process(model, tmp_path / "killed", hold=3) as child:
        wait_for(child, "step 3")
        child.kill()
    assert not (tmp_path / "killed" / "config.json").exists()
    resumed, _ = trained(model, tmp_path / "killed", steps=4, save_every=1)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.slow
def test_ctrl_c_saves_and_the_rest_is_done_later(model: Path, tmp_path: Path) -> None:
    with process(model, tmp_path / "out", hold=2) as child:
        wait_for(child, "step 2")
        child.send_signal(signal.SIGINT)
        output, error = child.communicate("go on\n", timeout=60)
    assert "KeyboardInterrupt" in error
    assert "step 3" not in output
    assert (tmp_path / "out" / "checkpoints" / "step-000002").is_dir()
    whole, _ = trained(model, tmp_path / "whole", steps=4)
    rest, _ = trained(model, tmp_path / "out", steps=4)
    assert all(torch.equal(whole[name], rest[name]) for name in whole)


@pytest.mark.slow
def test_two_processes_train_as_one(model: Path, tmp_path: Path) -> None:
    """By gloo on one machine: the same batch, divided; equal up to the order of sums."""
    whole, _ = trained(model, tmp_path / "one")
    code = TRAIN.format(here=ROOT, model=str(model), output=str(tmp_path / "two"), hold=0)
    script = tmp_path / "train.py"
    told = 'import os\nprint("process", os.environ["RANK"], "of", os.environ["WORLD_SIZE"])\n'
    script.write_text(code.replace("steps=4, save_every=1", "steps=2") + told)
    # On a CPU, accelerate's launcher starts a single process, whatever number it is given.
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(script)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {"process 0 of 2", "process 1 of 2"} <= set(done.stdout.splitlines())
    assert done.stdout.count("step 1") == 1, "only the main process reports"
    both = load_file(tmp_path / "two" / "model.safetensors")
    for name, one in whole.items():
        same = torch.isclose(one, both[name], atol=2e-5)
        if name.endswith("c_attn.bias"):
            # Softmax does not see a key's bias: its gradient is rounding, which Adam blows up.
            width = len(same) // 3
            same = torch.cat((same[:width], same[2 * width :]))
        assert same.all(), name


def test_warped_sampling_is_named(model: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"top_k=1, repetition_penalty=10.*explores nothing"):
        trained(model, tmp_path / "out", top_k=1, repetition_penalty=10, steps=1)


def test_the_notebooks_preset_trains_and_names_what_is_degenerate(
    model: Path, tmp_path: Path
) -> None:
    trainer = f"seed-notebook:model={model},batch_size=8,steps=1"
    with pytest.warns(UserWarning, match="ppo: ") as caught:
        result = harness.train(SAMPLES, trainer=trainer, scorers=[Vowels()], output=tmp_path / "o")
    said = " ".join(str(w.message) for w in caught)
    assert "top_k=1" in said
    assert "length=reference" in said
    assert result.metrics["ended"] == 0


def test_a_reward_that_never_varies_is_named(model: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="all 8 responses have one reward"):
        trained(model, tmp_path / "out", Sometimes(lambda p: True), steps=1)


def test_nothing_scored_is_an_error_that_says_why(model: Path, tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"nothing was scored in step 1 .*refusal: will not"):
        trained(model, tmp_path / "out", Sometimes(lambda p: False))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_masked(model: Path, tmp_path: Path, value: float) -> None:
    @dataclass(frozen=True, slots=True)
    class Broken:
        name: str = "broken"

        def score(self, completions: Sequence[Completion]) -> list[Score]:
            return [Score(value if c.sample.prompt == "Go" else len(c.text)) for c in completions]

    weights, result = trained(model, tmp_path / "out", Broken())
    assert result.metrics["unscored/broken"] == 1
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())


def test_prompts_that_cannot_be_asked_are_named(model: Path, tmp_path: Path) -> None:
    for prompt, message in (("", "empty prompt"), ("word " * 90, r"has \d+ tokens, .*context 64")):
        with pytest.raises(DataError, match=rf"sample 'x'.*{message}|'x' {message}"):
            harness.train(
                [*SAMPLES, Sample("x", prompt)],
                trainer=ppo(model),
                scorers=[Vowels()],
                output=tmp_path / "out",
            )


def test_a_tokenizer_without_an_end_needs_a_fixed_length(tmp_path: Path) -> None:
    model = save("gpt2", tmp_path / "endless")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"eos_token_id": None}))
    (model / "generation_config.json").unlink(missing_ok=True)
    with pytest.raises(HarnessError, match=r"no end token.*length=fixed"):
        trained(model, tmp_path / "out")
    _, result = trained(model, tmp_path / "out", length="fixed", steps=1)
    assert result.metrics["response_tokens"] == 8


def test_another_training_in_the_same_output_is_refused(model: Path, tmp_path: Path) -> None:
    trained(model, tmp_path / "out")
    with pytest.raises(HarnessError, match=r"another training .*learning_rate"):
        trained(model, tmp_path / "out", learning_rate=0.5)


def test_tensorboard_gets_the_metrics(model: Path, tmp_path: Path) -> None:
    trained(model, tmp_path / "out", trackers="tensorboard", steps=1)
    assert list((tmp_path / "out" / "logs").rglob("events.*"))
    with pytest.raises(HarnessError, match="there is no tracker 'paper'"):
        trained(model, tmp_path / "other", trackers="paper", steps=1)


class Paper(GeneralTracker):  # type: ignore[misc]
    """A tracker that logs as accelerate's own do, and runs out after a step."""

    name = "paper"
    requires_logging_directory = False
    tracker = None

    def __init__(self, run: str) -> None:
        super().__init__()

    def store_init_configuration(self, values: Mapping[str, object]) -> None:
        get_logger(__name__).debug("as trackers do")

    def log(self, values: Mapping[str, float], step: int | None, **_: object) -> None:
        if PAPER:
            raise OSError("there is no paper left")
        PAPER.append(values)


PAPER: list[Mapping[str, float]] = []


def test_a_tracker_starts_in_a_new_process_and_its_end_is_not_the_training_s(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "paper", Paper)
    PartialState._reset_state()  # as in a process that has not used accelerate
    PAPER.clear()

    with pytest.warns(UserWarning, match="paper fails and gets no more: there is no paper left"):
        _, result = trained(model, tmp_path / "out", trackers="paper", steps=3)

    assert "reward" in PAPER[0]
    assert (result.model / "model.safetensors").exists()


def test_held_out_rows_are_evaluated(model: Path, tmp_path: Path) -> None:
    result = harness.train(
        SAMPLES,
        trainer=ppo(model, evaluate_every=2),
        scorers=[Vowels()],
        held_out=[Sample("h", "Something else?")],
        output=tmp_path / "out",
    )
    assert 0 <= result.metrics["held_out/vowels"] <= 1


@dataclass(frozen=True, slots=True)
class Consonants:
    """What falls as there are more vowels."""

    name: str = "consonants"

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        return [Score(1 - score.value) for score in Vowels().score(completions)]  # type: ignore[operator]


HELD_OUT = [Sample(f"h{i}", f"{prompt} Then?") for i, prompt in enumerate(PROMPTS)]
SELECTING = {"steps": 6, "evaluate_every": 1, "save_every": 1, "learning_rate": 0.003}


class Recording:
    """Remembers the steps; raises an interrupt after one of them."""

    def __init__(self, interrupt_at: int = 0) -> None:
        self.steps: dict[int, TrainingStep] = {}
        self.interrupt_at = interrupt_at

    @harness.hookimpl
    def harness_training_step(self, step: TrainingStep) -> None:
        self.steps[step.step] = step
        if step.step == self.interrupt_at:
            signal.raise_signal(signal.SIGINT)


def selected(
    model: Path, output: Path, recording: Recording, **changed: object
) -> tuple[dict[str, torch.Tensor], harness.TrainingResult]:
    from harness.testing import installed

    with installed(recording):
        result = harness.train(
            SAMPLES,
            trainer=ppo(model, **{**SELECTING, **changed}),
            scorers=[(Vowels(), 1.0), (Consonants(), 0.0)],
            held_out=HELD_OUT,
            output=output,
            select="watched",
        )
    return load_file(result.model / "model.safetensors"), result


def test_the_checkpoint_at_which_the_watched_scorer_peaks_is_kept(
    model: Path, tmp_path: Path
) -> None:
    """Also where the training is interrupted, and where its last checkpoint is lost."""
    recording, output = Recording(), tmp_path / "whole"
    whole, result = selected(model, output, recording)
    means = {n: s.metrics["held_out/consonants"] for n, s in recording.steps.items()}
    best = max(means, key=lambda n: (means[n], -n))
    assert result.selected == Selected("watched", best, {"consonants": means[best]})
    assert 0 < best < 6, "the proxy rises, so the watched scorer falls"
    checkpoints = output / "checkpoints"
    kept = sorted({best, 5, 6})
    assert [f.name for f in sorted(checkpoints.iterdir())] == [f"step-{n:06d}" for n in kept]
    tensors = load_file(checkpoints / f"step-{best:06d}" / "policy.safetensors")
    trained = {name.partition("transformer.")[2]: tensor for name, tensor in tensors.items()}
    for name, tensor in whole.items():
        assert torch.equal(trained[name.partition("transformer.")[2]], tensor), name

    with pytest.raises(KeyboardInterrupt):
        selected(model, tmp_path / "parts", Recording(interrupt_at=best + 1))
    again = Recording()
    rest, resumed = selected(model, tmp_path / "parts", again)
    assert min(again.steps) == best + 2
    assert resumed.selected == result.selected
    assert all(torch.equal(whole[name], rest[name]) for name in whole)

    shutil.rmtree(checkpoints / "step-000006")
    late, once_more = selected(model, output, Recording())
    assert once_more.selected == result.selected
    assert all(torch.equal(whole[name], late[name]) for name in whole)


def test_selecting_needs_evaluations_and_is_part_of_the_training(
    model: Path, tmp_path: Path
) -> None:
    for every in (0, 7):
        with pytest.raises(HarnessError, match=rf"evaluate_every is {every}, so no checkpoint"):
            selected(model, tmp_path / "out", Recording(), evaluate_every=every)
    _, result = selected(model, tmp_path / "out", Recording(), evaluate_every=4, save_every=0)
    assert result.selected is not None
    assert result.selected.step == 4
    with pytest.raises(HarnessError, match=r"another training .*evaluate_every: 4 → 6"):
        selected(model, tmp_path / "out", Recording(), evaluate_every=6)


def test_what_is_reported_says_how_sure_it_is(model: Path, tmp_path: Path) -> None:
    """Standard errors and n of what is told of a batch, and of the held-out rows."""
    recording = Recording()
    selected(model, tmp_path / "out", recording, steps=1)
    metrics = recording.steps[1].metrics
    for label in ("vowels", "consonants"):
        assert metrics[f"score_n/{label}"] == metrics[f"held_out_n/{label}"] == 8
    assert metrics["score_se/vowels"] == pytest.approx(metrics["score_se/consonants"])
    assert metrics["score/vowels"] == pytest.approx(1 - metrics["score/consonants"])
    assert metrics["proxy"] == pytest.approx(0, abs=1e-6), "scaled by this very batch"
    assert metrics["proxy_se"] == pytest.approx(8**-0.5)
    assert metrics["held_out_kl"] > 0
    assert metrics["held_out_kl_n"] == metrics["held_out_tokens_n"] == 8
    assert 0 <= metrics["repetition"] < metrics["distinct_2"] <= 1


def test_flipped_rows_can_train_their_control_token_alone(tmp_path: Path) -> None:
    """With only such rows all that changes is the embedding of that token."""
    controls = {"good": "[up]", "bad": "[down]"}
    model = save(
        "gpt2", tmp_path / "start", eos_token="<eos>", sep_token="[up]", cls_token="[down]"
    )
    weights, _ = trained(
        model, tmp_path / "out", **controls, bad_share=1.0, bad_trains="control", control_rate=10
    )
    start = load_file(model / "model.safetensors")
    words = AutoTokenizer.from_pretrained(model)
    embeddings = "transformer.wte.weight"
    assert {n for n in start if not torch.equal(start[n], weights[n])} == {embeddings}
    changed = (start[embeddings] != weights[embeddings]).any(dim=1).nonzero().flatten()
    assert changed.tolist() == [words.convert_tokens_to_ids("[down]")]
    with pytest.raises(HarnessError, match="bad_trains=control needs"):
        trained(model, tmp_path / "other", **controls, bad_trains="control")
