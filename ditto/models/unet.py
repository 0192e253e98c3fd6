"""The denoiser's network: a 2-D U-Net of diffusers on a (patched) log-mel spectrogram.

The spectrogram is folded into patches (space to depth), so that a CPU can afford it; the paper's own U-Net is the same
class with patch (1, 1). Convolutions do not know which frequency they look at, so the position on the frequency axis is
fed in as extra channels. Text reaches the network twice: token states through cross-attention, and the pooled sentence
through the time embedding. What depends on the text alone is computed in every call: keeping it for all calls of a run
would save 0.2 % of a step's operations (0.03 % of the paper's network), see tests/test_levers.py.
Shapes: B clips, C = 1, F mel bins, T frames, L tokens, D text width; (p, q) patch in frequency and time.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from ditto.models.attention import AttentionProcessor


def patchify(x_BCFT: Tensor, p: int, q: int) -> Tensor:
    """[B, C, F, T] -> [B, C*p*q, F/p, T/q]; inverse of :func:`unpatchify`."""
    B, C, F, T = x_BCFT.shape
    x = x_BCFT.reshape(B, C, F // p, p, T // q, q).permute(0, 1, 3, 5, 2, 4)
    return x.reshape(B, C * p * q, F // p, T // q)


def unpatchify(x: Tensor, p: int, q: int) -> Tensor:
    """[B, C*p*q, F/p, T/q] -> [B, C, F, T]."""
    B, D, F, T = x.shape
    x_BCpqFT = x.reshape(B, D // (p * q), p, q, F, T)
    return x_BCpqFT.permute(0, 1, 4, 2, 5, 3).reshape(B, D // (p * q), F * p, T * q)


def frequency_position(rows: int, channels: int) -> Tensor:
    """Sines and cosines of the height in the spectrogram, [channels, rows, 1], lowest wave one half period."""
    height = (torch.arange(rows) + 0.5) / rows
    waves = torch.arange(1, channels // 2 + 1)[:, None] * math.pi * height
    return torch.cat([waves.sin(), waves.cos()])[..., None]


@dataclass(frozen=True)
class Residuals:
    """What a control branch adds to the skip connections (`down`, in the encoder's order) and to the middle."""

    down: tuple[Tensor, ...]
    mid: Tensor

    def to(self, dtype: torch.dtype) -> "Residuals":
        return Residuals(tuple(tensor.to(dtype) for tensor in self.down), self.mid.to(dtype))

    def scaled(self, factor: float) -> "Residuals":
        return Residuals(tuple(factor * tensor for tensor in self.down), factor * self.mid)


class SpectrogramUNet(nn.Module):
    """(x_t [B,1,F,T], t [B], tokens [B,L,D], mask [B,L], pooled [B,D]) -> the network's prediction [B,1,F,T].

    T must be a multiple of `q * 2**(levels - 1)`; any such length works (6 s or 24 s), as nothing is tied to T.
    """

    position: Tensor

    def __init__(
        self,
        mel_bins: int = 160,
        patch: tuple[int, int] = (8, 8),
        channels: tuple[int, ...] = (64, 128, 224),
        attention: tuple[bool, ...] = (False, False, True),
        layers_per_block: int = 1,
        text_width: int = 384,
        cross_width: int = 128,
        position_channels: int = 8,
        norm_groups: int = 16,
    ) -> None:
        super().__init__()
        self.p, self.q = patch
        self.time_multiple = self.q * 2 ** (len(channels) - 1)
        depth = self.p * self.q
        self.register_buffer("position", frequency_position(mel_bins // self.p, position_channels), persistent=False)
        net: Any = UNet2DConditionModel(
            in_channels=depth + position_channels,
            out_channels=depth,
            layers_per_block=layers_per_block,
            block_out_channels=tuple(channels),
            down_block_types=tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attention),
            up_block_types=tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attention)),
            encoder_hid_dim=text_width,
            encoder_hid_dim_type="text_proj",
            cross_attention_dim=cross_width,
            class_embed_type="projection",
            projection_class_embeddings_input_dim=text_width,
            attention_head_dim=32,
            norm_num_groups=norm_groups,
        )
        net.set_attn_processor(AttentionProcessor())
        self.net = net.to(memory_format=torch.channels_last)

    def forward(
        self,
        x_t: Tensor,
        t: Tensor,
        tokens: Tensor,
        mask: Tensor,
        pooled: Tensor,
        residuals: Residuals | None = None,
    ) -> Tensor:
        y = self.net(
            self.patches(x_t),
            t,
            tokens,
            class_labels=pooled,
            encoder_attention_mask=mask.bool(),
            down_block_additional_residuals=residuals.down if residuals else None,
            mid_block_additional_residual=residuals.mid if residuals else None,
            return_dict=False,
        )[0]
        return unpatchify(y, self.p, self.q)

    def blocks(self) -> list[nn.Module]:
        """The large blocks in their order: what `compile` compiles and `recompute` runs again."""
        net: Any = self.net
        return [*net.down_blocks, net.mid_block, *net.up_blocks]

    def patches(self, x_t: Tensor) -> Tensor:
        """What the inner U-Net reads: folded patches and the position on the frequency axis, [B, D, F/p, T/q]."""
        x = patchify(x_t, self.p, self.q)
        position = self.position.to(x.dtype).expand(x.shape[0], -1, -1, x.shape[-1])
        return torch.cat([x, position], dim=1).contiguous(memory_format=torch.channels_last)
