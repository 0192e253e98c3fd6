"""Stable Audio's parts made fit for gradients, bf16 and finite differences; what they compute stays the same.

Attention is that of diffusers' StableAudioAttnProcessor2_0, which rotates in float32 whatever the dtype is: here it is
at least float32, so that float64 finite differences of the whole chain mean something. Su et al. 2021, "RoFormer",
eq. 34, with dimension i paired with i + R/2; Ainslie et al. 2023, "GQA", keys and values shared by heads.
Shapes: B clips, S positions, H heads, D dimensions of each (R of them turn), L tokens.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Rotary = tuple[Tensor, Tensor]  # cos and sin of the angles, float32 [S, R / 2]
THETA = 10000.0
TIME = ("time_proj", "timestep_proj")  # parts of the transformer


class RotaryAttention:
    """A processor for diffusers' `Attention`: [B, S, D] -> [B, S, D], scaled dot-product attention of PyTorch.

    `encoder_hidden_states` [B, L, D'] makes it cross-attention; the rotary positions of keys belong to x itself.
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: Rotary | None = None,
    ) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q_BHSD = _heads(attn.to_q(hidden_states), attn.heads)
        width = q_BHSD.shape[-1]
        keys, values = attn.to_k(context), attn.to_v(context)
        k_BHLD, v_BHLD = (_heads(x, x.shape[-1] // width) for x in (keys, values))
        if rotary_emb is not None:
            q_BHSD = rotate(q_BHSD, rotary_emb)
            k_BHLD = k_BHLD if attn.is_cross_attention else rotate(k_BHLD, rotary_emb)
        shared = attn.heads // k_BHLD.shape[1]  # query heads to a head of keys
        k_BHLD, v_BHLD = (x.repeat_interleave(shared, dim=1) if shared > 1 else x for x in (k_BHLD, v_BHLD))
        y_BHSD = F.scaled_dot_product_attention(q_BHSD, k_BHLD, v_BHLD, attn_mask=attention_mask)
        return attn.to_out[0](y_BHSD.transpose(1, 2).flatten(2))


def positions(length: int, width: int, device: torch.device) -> Rotary:
    """The angles s / θ^(2i/R) of positions s = 0 ... length − 1, for heads of which `width` = R dimensions turn."""
    speed = 1.0 / THETA ** (torch.arange(0, width, 2, dtype=torch.float32, device=device) / width)
    angle_SR = torch.outer(torch.arange(length, device=device), speed)
    return angle_SR.cos(), angle_SR.sin()


def rotate(x_BHSD: Tensor, rotary: Rotary) -> Tensor:
    """The first R dimensions of each head turned by the position's angles; the others stay."""
    cos, sin = rotary
    width = 2 * cos.shape[-1]
    turned, kept = x_BHSD.split([width, x_BHSD.shape[-1] - width], dim=-1)
    first, second = turned.to(torch.promote_types(x_BHSD.dtype, torch.float32)).chunk(2, dim=-1)
    turned = torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
    return torch.cat([turned.to(x_BHSD.dtype), kept], dim=-1)


def _heads(x_BSD: Tensor, heads: int) -> Tensor:
    """[B, S, H * D] -> [B, H, S, D]."""
    return x_BSD.unflatten(-1, (heads, -1)).transpose(1, 2)


class _Cast(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        return x.to(self.dtype)


def prepare(network: Any, dtype: torch.dtype) -> Any:
    """The transformer in `dtype`, with this attention; its embedding of the time stays in float32 at least.

    In bf16 every t above 0.998 (σ > 318) would be 1, and Fourier features amplify what is lost below. diffusers casts
    t to the dtype of the network's first parameter, and that is one of `time_proj`.
    """
    wide = torch.promote_types(dtype, torch.float32)
    for name, part in network.named_children():
        part.to(wide if name in TIME else dtype)
    network.timestep_proj.append(_Cast(dtype))
    network.set_attn_processor(RotaryAttention())
    return network


def fold_weight_norm(module: nn.Module) -> nn.Module:
    """w = g v / ‖v‖ computed once, in the precision of the checkpoint, instead of in every call."""
    for layer in module.modules():
        if hasattr(layer, "weight_g"):
            nn.utils.remove_weight_norm(layer)
    return module
