"""Faster linear layers on x86 CPUs: weights in oneDNN's blocked layout.

PyTorch multiplies float32 matrices with MKL, which on AMD processors takes twice as long as oneDNN
for the 8 to 32 rows of a decoding step; bfloat16 gains from the layout too. The operators are
those that `torch.compile` emits; where PyTorch lacks them nothing is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

LARGEST_BYTES = 4 * 2**30
"""Models with more bytes of weights are left alone, as packing keeps a second copy of them."""

_TYPICAL_ROWS = 16


def pack_linears(model: PreTrainedModel) -> list[nn.Module]:
    """Give each linear layer of a CPU model a packed copy of its weight; gives the layers changed.

    For inference only: no gradient passes, and later changes of the weights are not seen. Results
    equal the unpacked ones up to float error.
    """
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    if model.device.type != "cpu" or size > LARGEST_BYTES or not _supports(model.dtype):
        return []
    layers = [layer for layer in model.modules() if type(layer) in (nn.Linear, Conv1D)]
    for layer in layers:
        layer.forward = _packed(layer)
    return layers


@contextmanager
def packed_linears(model: PreTrainedModel) -> Iterator[None]:
    """Pack the linear layers for a while, such as for one rollout between two updates."""
    layers = pack_linears(model)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _supports(dtype: torch.dtype) -> bool:
    has_mkl = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    operators = torch.ops.mkldnn
    if not (has_mkl and has_onednn and hasattr(operators, "_reorder_linear_weight")):
        return False
    if dtype == torch.bfloat16:
        return bool(operators._is_mkldnn_bf16_supported())
    return dtype == torch.float32


@torch.no_grad()
def _packed(layer: nn.Module) -> Callable[[Tensor], Tensor]:
    weight, bias = layer.get_parameter("weight"), getattr(layer, "bias", None)
    # Conv1D keeps its weight as [in, out].
    rows = weight.t().contiguous() if isinstance(layer, Conv1D) else weight.detach()
    packed = torch.ops.mkldnn._reorder_linear_weight(rows, _TYPICAL_ROWS)

    def forward(x: Tensor) -> Tensor:
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
        return result

    return forward
