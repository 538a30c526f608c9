"""Record whole batches of TRL 0.11.4's `PPOTrainer.step()`, the last of the old PPO trainer.

Run once, in an environment of its own:

    pip install torch==2.13.0 transformers==4.46.3 trl==0.11.4 rich
    python record.py

It writes `golden.safetensors` and `golden.json` beside itself, and checks what it wrote.

What is run. A GPT-2 of two layers, 32 wide, with 300 tokens (`initializer_range` 0.05, every
dropout 0) and TRL's value head (one Linear on the last hidden state; weights and bias N(0, 0.05);
its own dropout, 0.1 by default, set to 0). The reference is the policy plus 0.1 N(0, 1) on each
parameter, so that the KL is near its target. 32 random queries of 3 to 12 tokens, responses of 10
to 49 tokens drawn from the policy (temperature 1, all tokens but pad), scores N(0, 1). One `step()`
from fresh weights and a fresh optimizer for each case: `plain`, and `clipped`, which has a larger
learning rate, so that ratio and value clipping decide much of the loss.

TRL's settings. Given: `batch_size` 32, `mini_batch_size` 16, `learning_rate` (the case's). Left at
their defaults: `ppo_epochs` 4, `gradient_accumulation_steps` 1, `cliprange` 0.2,
`cliprange_value` 0.2, `vf_coef` 0.1, `gamma` 1, `lam` 0.95, `kl_penalty` "kl" (k1), `init_kl_coef`
0.2, `adap_kl_ctrl` with `target` 6 and `horizon` 10000, `whiten_rewards` off, `use_score_scaling`,
`use_score_norm` and `score_clip` off, `early_stopping` off, `ratio_threshold` 10 (not reached),
`max_grad_norm` None, optimizer `torch.optim.Adam(lr)` (betas 0.9 and 0.999, eps 1e-8, no decay),
no scheduler, fp32, one thread. Advantages are whitened over all response tokens of the batch.

`golden.safetensors`:

- `initial/NAME`, `reference/NAME`: state of a GPT2LMHeadModel; lm_head is tied to `wte`.
  `initial/value.weight` [1, 32] and `initial/value.bias` [1]: the value head.
- `queries`, `responses`: the rows' token ids one after the other; `query_lengths`,
  `response_lengths` [32]: where to cut. `scores` [32].
- For each case: `CASE/final/NAME`, the weights after the step; `CASE/permutations` [4, 32], the
  rows' order in each epoch (a minibatch is 16 in a row); and by response token, flat as
  `responses`: `CASE/logprobs`, `ref_logprobs`, `values`, `rewards` (KL penalty and score),
  `advantages` (whitened), `returns`. Values at a token are those of the state before it.
- `CASE/minibatch/STAT` [8]: in the order run. `policy_loss`, `value_loss` (before `vf_coef`),
  `loss` (their sum with `vf_coef`), `approxkl`, `policykl`, `clipfrac` (share of tokens whose
  clipped loss is strictly the larger), `value_clipfrac`, `entropy`, `ratio` (mean), `vpred` (mean),
  `value_error`, `grad_norm` (of all parameters, unclipped).

`golden.json`: versions, the model's configuration, the settings, and for each case its
`learning_rate` and TRL's `stats` (numbers only), with `kl_coef` before and after the step.

The gradient of a key's bias is 0 but for rounding (softmax does not see it), and Adam blows that
noise up: do not compare `c_attn.bias[32:64]` number by number.
"""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

trl = importlib.import_module("trl")
transformers = importlib.import_module("transformers")

HERE = Path(__file__).parent
PAD, ROWS, WIDTH = 0, 32, 32
MODEL = {
    "n_layer": 2,
    "n_embd": WIDTH,
    "n_head": 2,
    "n_positions": 64,
    "vocab_size": 300,
    "initializer_range": 0.05,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
    "resid_pdrop": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": PAD,
}
LEARNING_RATES = {"plain": 1e-3, "clipped": 1e-2}
SHARED = {"batch_size": ROWS, "mini_batch_size": 16}
MINIBATCH = {
    "policy_loss": "loss/policy",
    "value_loss": "loss/value",
    "loss": "loss/total",
    "approxkl": "policy/approxkl",
    "policykl": "policy/policykl",
    "clipfrac": "policy/clipfrac",
    "value_clipfrac": "val/clipfrac",
    "entropy": "policy/entropy",
    "vpred": "val/vpred",
    "value_error": "val/error",
}
Tensors = dict[str, torch.Tensor]


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    initial, reference = weights()
    tensors = {f"initial/{name}": value for name, value in initial.items()}
    tensors |= {f"reference/{name}": value for name, value in reference.items()}
    queries, responses = rows(initial)
    tensors["queries"], tensors["query_lengths"] = ragged(queries)
    tensors["responses"], tensors["response_lengths"] = ragged(responses)
    tensors["scores"] = torch.randn(ROWS)
    facts: dict[str, object] = {
        "versions": {m.__name__: m.__version__ for m in (trl, transformers, torch)},
        "model": MODEL,
    }
    cases = {}
    for case, rate in LEARNING_RATES.items():
        found, settings, stats = step(
            rate, initial, reference, queries, responses, tensors["scores"]
        )
        tensors |= {f"{case}/{name}": value for name, value in found.items()}
        facts["settings"] = settings
        cases[case] = {"learning_rate": rate, "stats": stats}
    check(tensors)
    golden = HERE / "golden.safetensors"
    save_file({name: value.detach().contiguous() for name, value in tensors.items()}, golden)
    golden.chmod(0o644)
    text = json.dumps(facts | {"cases": cases}, indent=1, sort_keys=True)
    (HERE / "golden.json").write_text(text + "\n", encoding="utf-8")


def weights() -> tuple[Tensors, Tensors]:
    """The policy with its value head, and the reference."""
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**MODEL))
    initial = {k: v.clone() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    reference = {k: v + 0.1 * torch.randn_like(v) for k, v in initial.items()}
    initial["value.weight"] = 0.05 * torch.randn(1, WIDTH)
    initial["value.bias"] = 0.05 * torch.randn(1)
    return initial, reference


def language_model(state: Tensors) -> Any:
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**MODEL))
    wanted = {k: v for k, v in state.items() if not k.startswith("value.")}
    missing, unexpected = model.load_state_dict(wanted, strict=False)
    assert (missing, unexpected) == (["lm_head.weight"], [])
    return model.eval()


@torch.no_grad()
def rows(initial: Tensors) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    model = language_model(initial)
    queries = [torch.randint(3, 300, (int(n),)) for n in torch.randint(3, 13, (ROWS,))]
    responses = []
    for query, length in zip(queries, torch.randint(10, 50, (ROWS,)), strict=True):
        tokens = query
        for _ in range(int(length)):
            logits = model(tokens[None]).logits[0, -1]
            logits[PAD] = -math.inf
            tokens = torch.cat([tokens, torch.multinomial(logits.softmax(-1), 1)])
        responses.append(tokens[len(query) :])
    return queries, responses


def ragged(parts: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.cat(parts), torch.tensor([len(part) for part in parts])


def with_value_head(state: Tensors) -> Any:
    kind = trl.AutoModelForCausalLMWithValueHead
    model = kind.from_pretrained(language_model(state), summary_dropout_prob=0.0)
    if "value.weight" in state:
        model.v_head.summary.weight.data.copy_(state["value.weight"])
        model.v_head.summary.bias.data.copy_(state["value.bias"])
    return model


def word_tokenizer() -> Any:
    """TRL wants a tokenizer; only its pad id is used."""
    tokenizers = importlib.import_module("tokenizers")
    words = {f"t{i}": i for i in range(MODEL["vocab_size"])}  # type: ignore[call-overload]
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="t3"))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token=f"t{PAD}", eos_token="t2"
    )


def step(
    rate: float,
    initial: Tensors,
    reference: Tensors,
    queries: list[torch.Tensor],
    responses: list[torch.Tensor],
    scores: torch.Tensor,
) -> tuple[Tensors, dict[str, object], dict[str, float]]:
    """One `step()` of TRL: tensors of the case, all settings, the statistics."""
    config = trl.PPOConfig(learning_rate=rate, **SHARED)
    trainer = trl.PPOTrainer(
        config, with_value_head(initial), with_value_head(reference), word_tokenizer()
    )
    seen = Seen(trainer)
    np.random.seed(7)
    stats = trainer.step(list(queries), list(responses), list(scores))
    numbers = {k: float(v) for k, v in stats.items() if np.ndim(v) == 0 and "time/" not in k}
    numbers["kl_coef_before"] = numbers.pop("objective/kl_coef")
    numbers["kl_coef_after"] = float(trainer.kl_ctl.value)
    found = seen.tensors()
    for name, value in trainer.model.state_dict().items():
        new = name.replace("v_head.summary", "value").removeprefix("pretrained_model.")
        if new != "lm_head.weight":
            found[f"final/{new}"] = value.clone()
    plain = (int, float, str, bool, type(None))
    hidden = ("learning_rate", "exp_name", "model_name", "query_dataset", "reward_model")
    settings: dict[str, object] = {
        k: v for k, v in vars(config).items() if isinstance(v, plain) and k not in hidden
    }
    return found, settings, numbers


class Seen:
    """What passes through a trainer, kept by wrapping its methods."""

    def __init__(self, trainer: Any) -> None:
        self.minibatches: list[dict[str, torch.Tensor]] = []
        self.norms: list[torch.Tensor] = []
        self.permutations: list[torch.Tensor] = []
        self.by_token: Tensors = {}
        self.mask = torch.empty(0)
        trainer.compute_rewards = self.rewards(trainer.compute_rewards)
        trainer.compute_advantages = self.advantages(trainer.compute_advantages)
        trainer.train_minibatch = self.minibatch(trainer.train_minibatch)
        trainer.optimizer.optimizer.register_step_pre_hook(self.before_step)
        self.permutation = np.random.permutation

        def permuted(rows: int) -> Any:
            order = self.permutation(rows)
            self.permutations.append(torch.from_numpy(order.copy()))
            return order

        np.random.permutation = permuted  # type: ignore[assignment]

    def rewards(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(scores: Any, logprobs: Any, ref_logprobs: Any, masks: Any) -> Any:
            result = run(scores, logprobs, ref_logprobs, masks)
            self.mask = masks.bool()
            self.by_token |= {"logprobs": logprobs, "ref_logprobs": ref_logprobs}
            self.by_token["rewards"] = result[0]
            return result

        return wrapped

    def advantages(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*inputs: Any) -> Any:
            result = run(*inputs)
            self.by_token |= dict(zip(("values", "advantages", "returns"), result, strict=True))
            return result

        return wrapped

    def minibatch(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*inputs: Any) -> Any:
            stats = run(*inputs)
            kept = {name: stats[key] for name, key in MINIBATCH.items()}
            kept["ratio"] = stats["policy/ratio"][inputs[5].bool()].mean()
            self.minibatches.append(kept)
            return stats

        return wrapped

    def before_step(self, optimizer: Any, *_: object) -> None:
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
        self.norms.append(torch.linalg.vector_norm(torch.cat([g.flatten() for g in gradients])))

    def tensors(self) -> Tensors:
        np.random.permutation = self.permutation
        found = {name: value[self.mask] for name, value in self.by_token.items()}
        found["permutations"] = torch.stack(self.permutations)
        for name in self.minibatches[0]:
            found[f"minibatch/{name}"] = torch.stack([m[name] for m in self.minibatches])
        found["minibatch/grad_norm"] = torch.stack(self.norms)
        return found


def check(tensors: Tensors) -> None:
    """That the parts belong together: shapes, log-probabilities and values by a plain forward."""
    model = with_value_head({k[8:]: v for k, v in tensors.items() if k.startswith("initial/")})
    queries = torch.split(tensors["queries"], tensors["query_lengths"].tolist())
    responses = torch.split(tensors["responses"], tensors["response_lengths"].tolist())
    for case in LEARNING_RATES:
        assert tensors[f"{case}/permutations"].shape == (4, ROWS)
        assert tensors[f"{case}/minibatch/grad_norm"].shape == (8,)
        logprobs, values = [], []
        for query, response in zip(queries, responses, strict=True):
            with torch.no_grad():
                logits, _, value = model(torch.cat([query, response])[None])
            at = slice(len(query) - 1, -1)
            logprobs.append(logits[0, at].log_softmax(-1).gather(1, response[:, None])[:, 0])
            values.append(value[0, at])
        torch.testing.assert_close(tensors[f"{case}/logprobs"], torch.cat(logprobs))
        torch.testing.assert_close(tensors[f"{case}/values"], torch.cat(values))


if __name__ == "__main__":
    main()
