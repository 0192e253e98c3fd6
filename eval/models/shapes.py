"""A model without values: the shapes of all its tensors on PyTorch's meta device, where every operation is free."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


def without_values(module: Module) -> Module:
    """A copy whose parameters and buffers have shapes only; the module itself, and what it shares, is left alone."""
    ghosts: dict[int, Any] = {}
    for tensor in (*module.parameters(), *module.buffers()):
        ghost = tensor.detach().to("meta")
        ghosts[id(tensor)] = nn.Parameter(ghost, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else ghost
    return copy.deepcopy(module, ghosts)


@contextmanager
def shapes_only(fused: bool) -> Iterator[None]:
    """What the meta device cannot do, or does otherwise than a GPU, done by shapes.

    An inverse STFT looks at the values of its window. And attention keeps all of its weights there, as the textbook
    has it: with `fused` it keeps its inputs, its output and one number a query, as the kernels of GPUs and CPUs do (the
    counter of operations knows the textbook's form alone). The functions are replaced by name, because a mode of
    PyTorch would not be there when a checkpointed block runs again in the backward pass.
    """
    attention = _attention if fused else F.scaled_dot_product_attention
    with patch.object(torch, "istft", _istft), patch.object(F, "scaled_dot_product_attention", attention):
        yield


def _istft(spectrum: Tensor, n_fft: int, hop_length: int, *_: Any, length: int, **__: Any) -> Tensor:
    """[B, n_fft / 2 + 1, T] -> [B, length]: its Fourier transforms, without the sum of what overlaps."""
    return torch.fft.irfft(spectrum, n_fft, dim=-2)[..., :hop_length, :].flatten(-2)[..., :length]


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    if enable_gqa:
        key, value = (x.repeat_interleave(query.shape[-3] // x.shape[-3], -3) for x in (key, value))
    mask = None if attn_mask is None or attn_mask.dtype == torch.bool else attn_mask.to(query.dtype)
    output: Tensor = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, dropout_p, is_causal, attn_mask=mask, scale=scale
    )[0]
    return output
