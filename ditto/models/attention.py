"""Which kernel computes the attention of a diffusers network: the same values, in another order of operations.

plain  the matrix products and the softmax one by one; keeps the weights of all pairs of positions for the backward pass
fused  PyTorch's scaled_dot_product_attention: keeps inputs and output only, so memory grows linearly with the length
auto   fused on a GPU, plain on a CPU: there the fused kernel was several times slower in bf16 (measured on this
       project's networks: 54 % of a training step went to it)

`auto` asks where its input lies, so it is right wherever the model is moved.
"""

from __future__ import annotations

from typing import Any

from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from torch import Tensor

from ditto.types import UserError

KINDS = ("auto", "plain", "fused")
_PLAIN, _FUSED = AttnProcessor(), AttnProcessor2_0()


class AttentionProcessor:
    """For `network.set_attn_processor`; it has no state but its kind."""

    def __init__(self, kind: str = "auto") -> None:
        if kind not in KINDS:
            raise UserError(f"unknown attention {kind!r}: choose {', '.join(KINDS)}")
        self.kind = kind

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """diffusers' names: positions [B, N, D], and those attended to [B, L, D] (itself if None), bias [B, 1, L]."""
        fused = hidden_states.is_cuda if self.kind == "auto" else self.kind == "fused"
        processor = _FUSED if fused else _PLAIN
        return processor(attn, hidden_states, encoder_hidden_states, attention_mask)
