"""The control branch: a trainable copy of the denoiser's encoder whose outputs are added to the frozen network.

ControlNet (Zhang et al. 2023, arXiv 2302.05543): with E the encoder and the middle block, E' their copy, c the controls
and Z 1x1 convolutions that start at zero, the skip connections h_i = E_i(x_t) become h_i + Z_i(E'_i(x_t, c)); c enters
the copy's first layer through another Z. So the branch starts as an exact no-op.
Music ControlNet (Wu et al. 2023, arXiv 2311.07069): a control is a value per frame that an MLP maps to all frequencies,
and may be given for some frames only. Here each control adds two planes [F, T], the MLP's output where the control is
given (0 elsewhere) and the mask, both folded to patches as the spectrogram is.

The encoder runs by the modules of diffusers' UNet2DConditionModel. Its ControlNetModel does not fit: it knows neither
the mask of the text's padding nor the text's projection, and its embedding of c halves an image three times.
Shapes: B clips, F mel bins, T frames, D values of a control, L tokens; (p, q) patch in frequency and time.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ditto.models.unet import Residuals, SpectrogramUNet, patchify

WIDTHS = {"intensity": 1, "melody": 12}  # values per frame


@dataclass(frozen=True, eq=False)
class FrameControl:
    """One control of a batch: a value per frame, and where it is given (1) or left open (0)."""

    value_BDT: Tensor
    given_BT: Tensor

    def repeat(self, times: int) -> FrameControl:
        """The batch several times, one after the other."""
        return FrameControl(self.value_BDT.repeat(times, 1, 1), self.given_BT.repeat(times, 1))


Controls = Mapping[str, FrameControl]


class ControlBranch(nn.Module):
    """(patches, t, tokens, mask, pooled, controls) -> Residuals of the network it was copied from.

    widths: values per frame of each control; `controls` may lack some: those are open in every frame. hidden: units of
    the MLPs.
    """

    def __init__(self, network: SpectrogramUNet, widths: Mapping[str, int] = WIDTHS, hidden: int = 128) -> None:
        super().__init__()
        self.p, self.q = network.p, network.q
        self.mel_bins, self.widths = network.position.shape[1] * network.p, dict(widths)
        self.encoder = _encoder(network.net)
        channels = network.net.config.block_out_channels
        self.mlps = nn.ModuleDict({name: _mlp(width, hidden, self.mel_bins) for name, width in self.widths.items()})
        self.control_in = zero_convolution(2 * len(self.widths) * self.p * self.q, channels[0])
        skips = _skip_channels(channels, network.net.config.layers_per_block)
        self.down_out = nn.ModuleList(zero_convolution(width, width) for width in skips)
        self.mid_out = zero_convolution(channels[-1], channels[-1])
        self.train().requires_grad_(True)

    def forward(
        self, patches: Tensor, t: Tensor, tokens: Tensor, mask: Tensor, pooled: Tensor, controls: Controls
    ) -> Residuals:
        net = self.encoder
        emb = net.time_embedding(net.get_time_embed(patches, t)) + net.get_class_embed(patches, pooled)
        text = {
            "encoder_hidden_states": net.process_encoder_hidden_states(tokens, {}),
            "encoder_attention_mask": ((1 - mask.to(patches.dtype)) * -10000.0).unsqueeze(1),
        }
        h = net.conv_in(patches) + self.control_in(self.planes(controls, patches))
        skips = [h]
        for block in net.down_blocks:
            h, more = block(h, emb, **text) if hasattr(block, "attentions") else block(h, emb)
            skips.extend(more)
        h = net.mid_block(h, emb, **text)
        outputs = zip(self.down_out, skips, strict=True)
        return Residuals(tuple(conv(skip) for conv, skip in outputs), self.mid_out(h))

    def planes(self, controls: Controls, patches: Tensor) -> Tensor:
        """The controls as folded planes [B, 2 * controls * p * q, F/p, T/q], in the order of `widths`."""
        B, frames = patches.shape[0], patches.shape[-1] * self.q
        planes = patches.new_zeros(B, 2 * len(self.widths), self.mel_bins, frames)
        for k, name in enumerate(self.widths):
            if name in controls:
                value_BDT, given_BT = controls[name].value_BDT, controls[name].given_BT.to(patches)
                planes[:, 2 * k] = self.mlps[name](value_BDT.to(patches).mT).mT * given_BT[:, None]
                planes[:, 2 * k + 1] = given_BT[:, None]
        return patchify(planes, self.p, self.q).contiguous(memory_format=torch.channels_last)


def zero_convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """A 1x1 convolution that starts at zero."""
    layer = nn.Conv2d(inputs, outputs, 1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def _mlp(width: int, hidden: int, mel_bins: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, hidden), nn.SiLU(), nn.Linear(hidden, mel_bins))


def _encoder(net: Any) -> Any:
    """A copy of a UNet2DConditionModel without what comes after its middle block."""
    encoder = copy.deepcopy(net)
    for name in ("up_blocks", "conv_norm_out", "conv_act", "conv_out"):
        delattr(encoder, name)
    return encoder


def _skip_channels(channels: tuple[int, ...], layers: int) -> list[int]:
    """Channels of the skip connections: the first layer, then each block's layers and its downsampling."""
    blocks = [[width] * (layers + (k + 1 < len(channels))) for k, width in enumerate(channels)]
    return [channels[0], *(width for block in blocks for width in block)]
