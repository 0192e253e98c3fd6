"""Readout heads: level, pitch classes and timbre read off the frozen denoiser's decoder features at any timestep.

Readout Guidance, Luo et al. 2023 (arXiv 2312.02150), section 3. Each head has, in this order: a bottleneck (1 x 1) for
every decoder block to a common width; one resolution; a mix over the blocks, softmax weights that depend on t;
frequency folded into channels; a small convolutional network over time, modulated by t, that writes the several frames
of each column. The paper's width is 384 channels for SDXL (2.6G parameters); ours is 32 a row of 20, so 640 a column,
for the embedded model's 12.7M. Frequency is folded, not averaged: pitch and timbre are what averaging would remove.

Features enter standardised by constants of the training data, so a clip's level is not normalised away, and no layer
mixes clips. **The timestep is the model's own**: `read` gives one int64 t [B] in 0..999 to `denoise` and to the heads,
in training and in guidance.

Shapes: B clips, D channels of a block, F' x T' its resolution, W width, R rows, T frames, P = 12 pitch classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ditto.models.base import MusicModel
from ditto.types import Condition

TIME = 64  # size of the embedding of t


@dataclass(frozen=True, eq=False)
class Readings:
    """What the heads say of x_0, given x_t."""

    rms_db_BT: Tensor  # level in dB, not smoothed
    log_chroma_BPT: Tensor  # log of the pitch classes' shares, a distribution in each frame
    mfcc_BDT: Tensor  # without the first coefficient


class ReadoutHead(nn.Module):
    """Standardised features of the blocks and t [B] -> [B, outputs, T]."""

    def __init__(self, channels: Sequence[int], outputs: int, frames: int, width: int, rows: int, hidden: int) -> None:
        super().__init__()
        self.outputs, self.frames, self.rows = outputs, frames, rows
        self.time = nn.Sequential(nn.Linear(TIME, TIME), nn.SiLU())
        self.bottlenecks = nn.ModuleList(nn.Conv2d(channel, width, 1) for channel in channels)
        self.mixing = _zero(nn.Linear(TIME, len(channels)))
        self.fold = nn.Conv1d(width * rows, hidden, 3, padding=1)
        self.modulation = _zero(nn.Linear(TIME, 2 * hidden))
        self.body = nn.Conv1d(hidden, hidden, 3, padding=1)
        self.last = nn.Conv1d(hidden, outputs * frames, 1)

    def forward(self, features: Sequence[Tensor], t_B: Tensor) -> Tensor:
        time_BE = self.time(embed_time(t_B).to(features[0].dtype))
        h = self.fold(self._mix(features, time_BE).flatten(1, 2))
        scale, shift = self.modulation(time_BE)[..., None].chunk(2, dim=1)
        h = F.silu(h * (1 + scale) + shift)
        y = self.last(h + F.silu(self.body(h)))
        return y.unflatten(1, (self.outputs, self.frames)).mT.flatten(2)

    def _mix(self, features: Sequence[Tensor], time_BE: Tensor) -> Tensor:
        """The blocks at the finest time resolution, weighted by t: [B, W, R, T']."""
        weights = self.mixing(time_BE).softmax(-1)[..., None, None, None].unbind(1)
        size = (self.rows, max(feature.shape[-1] for feature in features))
        narrow = [F.silu(layer(feature)) for layer, feature in zip(self.bottlenecks, features, strict=True)]
        # "area" averages where there are more rows, and repeats where there are fewer.
        same = [F.interpolate(feature, size=size, mode="area") for feature in narrow]
        return torch.stack([weight * feature for weight, feature in zip(weights, same, strict=True)]).sum(0)


class ReadoutHeads(nn.Module):
    """The three heads with the constants that standardise what they read and write.

    channels: of each decoder block; frames: how many frames a column of the finest block stands for.
    """

    def __init__(
        self, channels: Sequence[int], frames: int, width: int = 32, rows: int = 20, hidden: int = 128, mfccs: int = 19
    ) -> None:
        super().__init__()
        self.config = {"channels": list(channels), "frames": frames, "width": width, "rows": rows}
        self.config |= {"hidden": hidden, "mfccs": mfccs}
        sizes = {"rms_db": 1, "chroma": 12, "mfcc": mfccs}
        self.heads = nn.ModuleDict(
            {name: ReadoutHead(channels, size, frames, width, rows, hidden) for name, size in sizes.items()}
        )
        # Mean and scale, [2, ...]: of every channel of a block, of the level, of every MFCC.
        self.blocks = nn.ParameterList(_constants(channel) for channel in channels)
        self.rms_db, self.mfcc = _constants(1), _constants(mfccs)

    def forward(self, features: Sequence[Tensor], t_B: Tensor) -> Readings:
        """Outputs of the blocks [B, D, F', T'] and int64 t [B] in 0..999 -> Readings."""
        scaled = [standardise(x.to(c.dtype), c) for x, c in zip(features, self.blocks, strict=True)]
        raw = {name: head(scaled, t_B) for name, head in self.heads.items()}
        level_B1T, mfcc_BDT = restore(raw["rms_db"], self.rms_db), restore(raw["mfcc"], self.mfcc)
        return Readings(level_B1T.squeeze(1), raw["chroma"].log_softmax(1), mfcc_BDT)


def embed_time(t_B: Tensor) -> Tensor:
    """Sines and cosines of the timestep, int64 [B] in 0..999 -> float64 [B, TIME]; the slowest turns once in 6283."""
    rates = torch.exp(torch.linspace(0, -math.log(1000), TIME // 2, dtype=torch.float64, device=t_B.device))
    angles = t_B[:, None].double() * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def standardise(x: Tensor, constants: Tensor) -> Tensor:
    """[B, D, ...] and mean and scale [2, D] -> zero mean and unit scale over the training data."""
    mean, scale = constants.view(2, 1, -1, *[1] * (x.dim() - 2))
    return (x - mean) / scale


def restore(x: Tensor, constants: Tensor) -> Tensor:
    """The inverse of :func:`standardise`."""
    mean, scale = constants.view(2, 1, -1, *[1] * (x.dim() - 2))
    return x * scale + mean


def _constants(size: int) -> nn.Parameter:
    return nn.Parameter(torch.stack([torch.zeros(size), torch.ones(size)]), requires_grad=False)


def _zero(layer: nn.Linear) -> nn.Linear:
    """A layer that starts without a say: equal weights, no modulation."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


@contextmanager
def captured(model: MusicModel) -> Iterator[list[Tensor]]:
    """The outputs of `model.readout_blocks()`, in the order in which they run, of the one `denoise` called inside."""
    outputs: list[Tensor] = []
    with ExitStack() as stack:
        for block in model.readout_blocks():
            handle = block.register_forward_hook(lambda module, inputs, output: outputs.append(output))
            stack.callback(handle.remove)
        yield outputs


def features_of(model: MusicModel, x_t: Tensor, t_B: Tensor, condition: Condition) -> list[Tensor]:
    """One conditional call of the network, [B, C, F, T] and int64 [B] in 0..999 -> its blocks' outputs [B, D, F', T'].

    Not the batched call of CFG: the heads are trained on the conditional features, which are half of its work.
    """
    with captured(model) as features:
        model.denoise(x_t, t_B, condition)
    return features


def read(model: MusicModel, heads: ReadoutHeads, x_t: Tensor, t_B: Tensor, condition: Condition) -> Readings:
    """What the heads say of x_0, from x_t [B, C, F, T] at int64 t [B]; no gradient stops on the way."""
    return heads(features_of(model, x_t, t_B, condition), t_B)


@torch.no_grad()
def heads_for(model: MusicModel, width: int = 32, rows: int = 20, hidden: int = 128, mfccs: int = 19) -> ReadoutHeads:
    """Untrained heads that fit a model's blocks."""
    x_t = torch.zeros(1, *model.shape, dtype=model.latent_dtype, device=model.device)
    features = features_of(model, x_t, torch.zeros(1, dtype=torch.int64, device=model.device), model.encode([""]))
    frames = x_t.shape[-1] // max(feature.shape[-1] for feature in features)
    heads = ReadoutHeads([feature.shape[1] for feature in features], frames, width, rows, hidden, mfccs)
    return heads.to(model.device, model.latent_dtype)
