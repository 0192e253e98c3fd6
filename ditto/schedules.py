"""Noise schedules: x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε, t in 0..999, and the timesteps a sampler visits.

The values of ᾱ and the three spacings are those of diffusers (Lin et al. 2024, "Common diffusion noise schedules and
sample steps are flawed", table 2, compares the spacings); here they are plain numbers, so that a sampler stays pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ditto.types import UserError


class Level(NamedTuple):
    """One step of a chain: at timestep t, with ᾱ_t, to the next level's ᾱ (1 after the last step)."""

    t: int
    alpha_bar: float
    alpha_bar_prev: float


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """ᾱ_t of every training timestep: float64 [1000] on the CPU, falling from about 1 to about 0."""

    alphas_cumprod: Tensor

    def __len__(self) -> int:
        return len(self.alphas_cumprod)

    def timesteps(self, steps: int, spacing: str = "leading") -> list[int]:
        """`steps` falling timesteps. leading: ..., 100, 50, 0; trailing: 999, 949, ...; linspace: both ends."""
        n = len(self)
        if not 1 <= steps <= n:
            raise UserError(f"a sampler takes 1 to {n} steps, not {steps}: set sampler.steps")
        if spacing == "leading":
            return [i * (n // steps) for i in reversed(range(steps))]
        if spacing == "trailing":
            return [round(n - i * n / steps) - 1 for i in range(steps)]
        if spacing == "linspace":
            return [round(i * (n - 1) / max(steps - 1, 1)) for i in reversed(range(steps))]
        raise UserError(f"unknown spacing {spacing!r}: set sampler.spacing to leading, trailing or linspace")

    def levels(self, timesteps: list[int]) -> list[Level]:
        """The chain over these timesteps; each step lands on the next one, the last on clean data."""
        alpha_bars = [*self.alphas_cumprod[timesteps].tolist(), 1.0]
        return [Level(t, alpha_bars[i], alpha_bars[i + 1]) for i, t in enumerate(timesteps)]

    def signal_and_noise(self, t_B: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """√ᾱ_t and √(1−ᾱ_t), [B, 1, 1, ...], in the dtype and on the device of `like` [B, ...]."""
        alpha_bar = self.alphas_cumprod.to(t_B.device)[t_B].view(-1, *[1] * (like.dim() - 1))
        return alpha_bar.sqrt().to(like), (1 - alpha_bar).sqrt().to(like)

    def add_noise(self, x_0: Tensor, eps: Tensor, t_B: Tensor) -> Tensor:
        """x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε."""
        signal, noise = self.signal_and_noise(t_B, x_0)
        return signal * x_0 + noise * eps


@lru_cache(maxsize=8)
def diffusers_schedule(beta_schedule: str = "squaredcos_cap_v2", steps: int = 1000) -> NoiseSchedule:
    """The schedule diffusers builds under this name; the default is the cosine schedule of Nichol & Dhariwal 2021.

    That one is computed here, to the same bits: importing diffusers takes longer than most runs of a small model.
    """
    if beta_schedule == "squaredcos_cap_v2":
        return _cosine_schedule(steps)
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    scheduler = DDPMScheduler(num_train_timesteps=steps, beta_schedule=beta_schedule)
    return NoiseSchedule(scheduler.alphas_cumprod.to(torch.float64))


def _cosine_schedule(steps: int) -> NoiseSchedule:
    """β_t = min(1 − g((t + 1) / N) / g(t / N), 0.999), g(u) = cos²(½π (u + 0.008) / 1.008); ᾱ as a float32 product."""
    g = [math.cos((t / steps + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(steps + 1)]
    betas = torch.tensor([min(1 - after / before, 0.999) for before, after in pairwise(g)], dtype=torch.float32)
    return NoiseSchedule((1.0 - betas).cumprod(0).to(torch.float64))
