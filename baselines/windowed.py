"""A model that sees a long clip through overlapping windows of its own length (MultiDiffusion, arXiv 2302.08113).

    ε̂(x_t)[τ] = Σ_k w_k(τ) ε(x_t[window k], t, c)[τ],   Σ_k w_k(τ) = 1 in every frame τ,

all windows in one call of the network. MultiDiffusion averages the windows' steps x_{t−1} (equation 5); here it is ε,
so that every sampler stays as it is. Where the step is affine in (x_t, ε̂) and draws no noise (DDIM with η = 0,
DPM-Solver++ without thresholding) the two are the same, as Σ w_k = 1 and the windows are crops of one x_t. Otherwise
they differ: dynamic thresholding sees the whole clip, not each window; and a stochastic sampler adds one noise with
its full variance, not the mean of several.

Legend: B clips, W windows, C channels, F mel bins, T frames of the clip, L of a window.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ditto.models.base import MusicModel
from ditto.types import Condition


class Windowed(MusicModel):
    """`model`, with `denoise` by windows of `window` frames, `hop` frames apart; the rest is the model's own.

    A clip of at most one window is the model's own business, so that nothing changes. Differentiable, as every model.
    """

    def __init__(self, model: MusicModel, window: int, hop: int, taper: bool = True) -> None:
        super().__init__()
        self.model, self.window, self.hop, self.taper = model, window, hop, taper
        self.name, self.weights_hash, self.clip, self.shape = model.name, model.weights_hash, model.clip, model.shape
        self.schedule, self.dtype, self.x0_bound = model.schedule, model.dtype, model.x0_bound
        self.frame_multiple = model.frame_multiple
        self.freeze()

    def denoise(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        if x_t.shape[-1] <= self.window:
            return self.model.denoise(x_t, t, condition)
        starts = window_starts(x_t.shape[-1], self.window, self.hop)
        x_BWCFL = torch.stack([x_t[..., s : s + self.window] for s in starts], 1)
        owner = torch.arange(len(x_t), device=x_t.device).repeat_interleave(len(starts))
        eps_BWCFL = self.model.denoise(x_BWCFL.flatten(0, 1), t[owner], condition[owner]).view_as(x_BWCFL)
        weights_WL = window_weights(starts, x_t.shape[-1], self.window, self.taper).to(x_t)
        eps = torch.zeros_like(x_t)
        for k, s in enumerate(starts):
            eps[..., s : s + self.window] += weights_WL[k] * eps_BWCFL[:, k]
        return eps

    def encode(self, prompts: list[str]) -> Condition:
        return self.model.encode(prompts)

    def decode(self, x_0: Tensor) -> Tensor:
        return self.model.decode(x_0)

    def vocode(self, mel_BMA: Tensor) -> Tensor:
        return self.model.vocode(mel_BMA)

    def wave(self, x_0: Tensor) -> Tensor:
        return self.model.wave(x_0)

    def encode_audio(self, wave_BN: Tensor) -> Tensor:
        return self.model.encode_audio(wave_BN)


def window_starts(frames: int, window: int, hop: int) -> list[int]:
    """The first frame of each window; the last window is moved back to end with the clip."""
    last = frames - window
    return [*range(0, last, hop), last]


def window_weights(starts: list[int], frames: int, window: int, taper: bool) -> Tensor:
    """w_k of the windows' own frames, [W, L]; in each frame of the clip they sum to one.

    taper: weights fall linearly to a window's edges, where a window knows least; without it all are equal (the paper).
    """
    position_L = torch.arange(window, dtype=torch.float64)
    shape_L = torch.minimum(position_L + 1, window - position_L) if taper else torch.ones_like(position_L)
    total_T = torch.zeros(frames, dtype=torch.float64)
    for s in starts:
        total_T[s : s + window] += shape_L
    return torch.stack([shape_L / total_T[s : s + window] for s in starts])
