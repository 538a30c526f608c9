"""The policy: a causal language model with a value head on its trunk."""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from harness.errors import HarnessError

CHUNK = 1024
"""Response tokens whose logits are alive at once."""

_WIDTHS, _COUNTS = 8, 64


class Sequences(NamedTuple):
    """Prompts with their responses, as token ids; every response has a token."""

    prompts: Sequence[Sequence[int]]
    responses: Sequence[Sequence[int]]


class Outputs(NamedTuple):
    """Per response token, rows one after the other [N]: log-probability, value, entropy."""

    logprobs: Tensor
    values: Tensor
    entropy: Tensor


class Policy(nn.Module):
    """A causal LM whose last hidden states also feed a linear value head, zero at first.

    Log-probabilities are those of the model at a temperature. Only response positions reach the
    language-model head, in chunks, so no tensor is of prompt positions times vocabulary.
    `controls` are tokens whose embeddings learn apart from the others, as offsets to them.
    """

    def __init__(
        self, model: PreTrainedModel, temperature: float = 1.0, controls: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.model = model
        self.temperature = temperature
        self.value_head = nn.Linear(model.config.get_text_config().hidden_size, 1)
        nn.init.zeros_(self.value_head.weight)
        nn.init.zeros_(self.value_head.bias)
        self.value_head.to(model.device)
        self._control_tokens = list(controls)
        if controls:
            offsets = torch.zeros_like(self._embeddings[self._control_tokens])
            self.controls = nn.Parameter(offsets.detach())
            model.get_input_embeddings().register_forward_hook(self._add_controls)
        self._refuse_scaled_logits()

    def forward(self, batch: Sequences, *, entropy: bool = False) -> Outputs:
        """Run a batch; gives a number for each of its response tokens."""
        ids, rows, columns, targets = self._laid_out(batch)
        count = sum(map(len, batch.responses))
        # Padding is on the right, where a causal model never looks: no mask is needed.
        states = self._trunk(input_ids=ids, use_cache=False).last_hidden_state
        hidden = states[rows, columns]
        values = self._values(hidden)
        pieces = zip(torch.split(hidden, CHUNK), torch.split(targets, CHUNK), strict=True)
        if len(hidden) <= CHUNK or not torch.is_grad_enabled():
            found = [self._chosen(h, t, entropy) for h, t in pieces]
        else:
            found = [
                checkpoint(self._chosen, h, t, entropy, use_reentrant=False) for h, t in pieces
            ]
        logprobs, entropies = (torch.cat(part) for part in zip(*found, strict=True))
        return Outputs(logprobs[:count], values[:count], entropies[:count])

    @property
    def has_controls(self) -> bool:
        """Whether there are control tokens that learn apart."""
        return bool(self._control_tokens)

    @torch.no_grad()
    def merge_controls(self) -> None:
        """Move what control tokens have learned into the embeddings."""
        if self._control_tokens:
            self._embeddings[self._control_tokens] += self.controls
            self.controls.zero_()

    def read(self, logits: Tensor, hidden: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probability, value and entropy of tokens just chosen, from what decoding has [N]."""
        logprobs, entropies = self._of_logits(logits.float(), chosen, entropy=True)
        return logprobs, self._values(hidden), entropies

    @contextlib.contextmanager
    def watching(self) -> Iterator[list[Tensor]]:
        """Keep the hidden states [rows, width] that the head was given last, in a list of one."""
        seen: list[Tensor] = []

        def keep(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            seen[:] = [given[0][:, -1]]

        handle = self._head.register_forward_pre_hook(keep)
        try:
            yield seen
        finally:
            handle.remove()

    def reference(self) -> Policy:
        """A frozen copy of the policy as it is now; parameters that are not trained are shared."""
        shared = {id(p): p for p in self.parameters() if not p.requires_grad}
        frozen: Policy = copy.deepcopy(self, shared)
        return frozen.requires_grad_(False)

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that training changes, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    @property
    def _context(self) -> int:
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return limit if isinstance(limit, int) else sys.maxsize

    @property
    def _embeddings(self) -> Tensor:
        return self.model.get_input_embeddings().get_parameter("weight")

    @property
    def _trunk(self) -> nn.Module:
        return self.model.base_model

    @property
    def _head(self) -> nn.Module:
        head: nn.Module = self.model.get_output_embeddings()  # type: ignore[no-untyped-call]
        return head

    def _add_controls(self, _: nn.Module, given: tuple[Tensor, ...], states: Tensor) -> Tensor:
        """Add to the embeddings of control tokens what they have learned: a short soft prompt."""
        for token, offset in zip(self._control_tokens, self.controls, strict=True):
            states = states + (given[0] == token)[..., None] * offset
        return states

    def _laid_out(self, batch: Sequences) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Token ids [rows, tokens]; the place before each response token, and that token [N].

        Both sizes are rounded up: a CPU's matrix kernels are made anew for each, and kept.
        """
        texts = [[*p, *r] for p, r in zip(*batch, strict=True)]
        longest = max(map(len, texts)) - 1
        width = max(longest, min(_rounded(longest, _WIDTHS), self._context))
        ids = torch.zeros(len(texts), width, dtype=torch.long)
        rows: list[int] = []
        columns: list[int] = []
        for i, (prompt, response) in enumerate(zip(*batch, strict=True)):
            # The last token is only predicted, never read.
            ids[i, : len(texts[i]) - 1] = torch.tensor(texts[i][:-1])
            rows += [i] * len(response)
            columns += range(len(prompt) - 1, len(prompt) + len(response) - 1)
        targets = [token for response in batch.responses for token in response]
        for column in (rows, columns, targets):
            column += [0] * (_rounded(len(column), _COUNTS) - len(column))
        device = self.model.device
        where = torch.tensor([rows, columns]).to(device)
        return ids.to(device), where[0], where[1], torch.tensor(targets).to(device)

    def _values(self, hidden: Tensor) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            values: Tensor = self.value_head(hidden.float())[:, 0]
        return values

    def _chosen(self, hidden: Tensor, targets: Tensor, entropy: bool) -> tuple[Tensor, Tensor]:
        return self._of_logits(self._head(hidden).float(), targets, entropy)

    def _of_logits(self, logits: Tensor, chosen: Tensor, entropy: bool) -> tuple[Tensor, Tensor]:
        if self.temperature != 1:
            logits = logits / self.temperature
        normaliser = logits.logsumexp(-1)
        logprobs = logits.gather(-1, chosen[:, None])[:, 0] - normaliser
        if not entropy:
            return logprobs, torch.zeros_like(logprobs)
        expected = ((logits - normaliser[:, None]).exp() * logits).sum(-1)
        return logprobs, normaliser - expected

    @torch.no_grad()
    def _refuse_scaled_logits(self) -> None:
        """Some models change logits after the head; what PPO would optimise were another model."""
        ids = torch.zeros(1, 2, dtype=torch.long, device=self.model.device)
        states = self._trunk(input_ids=ids, use_cache=False).last_hidden_state
        if not torch.allclose(self._head(states), self.model(input_ids=ids).logits, atol=1e-3):
            kind = self.model.config.model_type
            raise HarnessError(f"ppo: {kind} models scale their logits, which PPO here does not")


def _rounded(number: int, to: int) -> int:
    return -(-number // to) * to
