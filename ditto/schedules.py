"""Noise schedules: x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε, and the timesteps a sampler visits: a table over t in 0..999, or
noise levels on a continuous scale.

The values of ᾱ and the three spacings are those of diffusers (Lin et al. 2024, "Common diffusion noise schedules and
sample steps are flawed", table 2, compares the spacings); here they are plain numbers, so that a sampler stays pure.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ditto.types import UserError


class Level(NamedTuple):
    """One step of a chain: at timestep t, with ᾱ_t, to the next level's ᾱ (after the last step, that of clean data).

    t is what the network was trained with: an index into 1000 steps, or a position on a continuous scale.
    """

    t: int | float
    alpha_bar: float
    alpha_bar_prev: float


class NoiseSchedule(ABC):
    """How much of x_t is signal at each t, and which t a chain of so many steps visits."""

    final_alpha_bar: float = 1.0  # where the last step of a chain lands: on clean data, unless a checkpoint says ᾱ_0

    @abstractmethod
    def timesteps(self, steps: int, spacing: str = "leading") -> Sequence[int | float]:
        """`steps` falling timesteps. leading: up to the least noise; trailing: from the most noise; linspace: both."""

    @abstractmethod
    def alpha_bar(self, t_B: Tensor) -> Tensor:
        """ᾱ_t, [B] -> float64 [B]."""

    def solver_timesteps(self, steps: int, spacing: str = "leading") -> Sequence[int | float]:
        """The same for DPM-Solver++, where the clean end may count as a node of the spacing."""
        return self.timesteps(steps, spacing)

    def levels(self, timesteps: Sequence[int | float]) -> list[Level]:
        """The chain over these timesteps; each step lands on the next one, the last on `final_alpha_bar`."""
        # Positions in float64, as the network gets them: near pure noise float32 would put ᾱ off by 5e-5 of itself.
        t = torch.tensor(timesteps, dtype=torch.int64 if isinstance(timesteps[0], int) else torch.float64)
        alpha_bars = [*self.alpha_bar(t).tolist(), self.final_alpha_bar]
        return [Level(t, alpha_bars[i], alpha_bars[i + 1]) for i, t in enumerate(timesteps)]

    def signal_and_noise(self, t_B: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """√ᾱ_t and √(1−ᾱ_t), [B, 1, 1, ...], in the dtype and on the device of `like` [B, ...]."""
        alpha_bar = self.alpha_bar(t_B).view(-1, *[1] * (like.dim() - 1))
        return alpha_bar.sqrt().to(like), (1 - alpha_bar).sqrt().to(like)

    def add_noise(self, x_0: Tensor, eps: Tensor, t_B: Tensor) -> Tensor:
        """x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε."""
        signal, noise = self.signal_and_noise(t_B, x_0)
        return signal * x_0 + noise * eps


@dataclass(frozen=True, eq=False)
class DiscreteSchedule(NoiseSchedule):
    """ᾱ_t of every training timestep: float64 [1000] on the CPU, falling from about 1 to about 0.

    leading visits ..., 100, 50, 0; trailing 999, 949, ...; linspace both ends. offset: added to those of leading
    (diffusers' steps_offset).
    """

    alphas_cumprod: Tensor
    offset: int = 0
    final_alpha_bar: float = 1.0

    def timesteps(self, steps: int, spacing: str = "leading") -> list[int]:
        n = len(self.alphas_cumprod)
        check_steps(steps, n)
        if spacing == "leading":
            return [min(i * (n // steps) + self.offset, n - 1) for i in reversed(range(steps))]
        if spacing == "trailing":
            return [round(n - i * n / steps) - 1 for i in range(steps)]
        if spacing == "linspace":
            return [round(i * (n - 1) / max(steps - 1, 1)) for i in reversed(range(steps))]
        raise unknown_spacing(spacing)

    def solver_timesteps(self, steps: int, spacing: str = "leading") -> list[int]:
        """As diffusers has it: the end of the chain counts as a node of the spacing, except for trailing."""
        return self.timesteps(steps, spacing) if spacing == "trailing" else self.timesteps(steps + 1, spacing)[:-1]

    def alpha_bar(self, t_B: Tensor) -> Tensor:
        return self.alphas_cumprod.to(t_B.device)[t_B]


@dataclass(frozen=True)
class SigmaSchedule(NoiseSchedule):
    """A continuous schedule between two noise levels σ = √((1−ᾱ)/ᾱ), σ falling by the same factor in every step.

    t = (2/π) atan σ in (0, 1), the angle of v-prediction: √ᾱ = cos(½πt), √(1−ᾱ) = sin(½πt) (Salimans & Ho 2022).
    linspace visits σ_max, ..., σ_min (diffusers' `exponential`); leading leaves σ_max out, trailing σ_min.
    """

    sigma_min: float
    sigma_max: float

    def timesteps(self, steps: int, spacing: str = "leading") -> list[float]:
        check_steps(steps)
        heights = {
            "leading": [i / steps for i in reversed(range(steps))],
            "trailing": [1 - i / steps for i in range(steps)],
            "linspace": [1 - i / max(steps - 1, 1) for i in range(steps)],
        }
        if spacing not in heights:
            raise unknown_spacing(spacing)
        low, high = math.log(self.sigma_min), math.log(self.sigma_max)
        return [2 / math.pi * math.atan(math.exp(low + u * (high - low))) for u in heights[spacing]]

    def alpha_bar(self, t_B: Tensor) -> Tensor:
        return torch.cos(math.pi / 2 * t_B.double()).square()


def check_steps(steps: int, most: int | None = None) -> None:
    """A sampler's number of steps, or a UserError."""
    if steps < 1 or (most is not None and steps > most):
        raise UserError(
            f"a sampler takes 1 {f'to {most}' if most else 'or more'} steps, not {steps}: set sampler.steps"
        )


def unknown_spacing(spacing: str) -> UserError:
    """The error to raise."""
    return UserError(f"unknown spacing {spacing!r}: set sampler.spacing to leading, trailing or linspace")


@lru_cache(maxsize=8)
def diffusers_schedule(beta_schedule: str = "squaredcos_cap_v2", steps: int = 1000) -> DiscreteSchedule:
    """The schedule diffusers builds under this name; the default is the cosine schedule of Nichol & Dhariwal 2021.

    That one is computed here, to the same bits: importing diffusers takes longer than most runs of a small model.
    """
    if beta_schedule == "squaredcos_cap_v2":
        return _cosine_schedule(steps)
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    scheduler = DDPMScheduler(num_train_timesteps=steps, beta_schedule=beta_schedule)
    return DiscreteSchedule(scheduler.alphas_cumprod.to(torch.float64))


def schedule_from(config: Mapping[str, Any]) -> DiscreteSchedule:
    """The schedule of a checkpoint, from the configuration of its diffusers scheduler (DDIM's, or one like it)."""
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    if config.get("rescale_betas_zero_snr"):
        raise UserError("this checkpoint's scheduler ends in zero SNR (rescale_betas_zero_snr): not supported")
    known = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "set_alpha_to_one")
    scheduler = DDIMScheduler(**{name: config[name] for name in known if name in config})
    alphas_cumprod = scheduler.alphas_cumprod.to(torch.float64)
    return DiscreteSchedule(alphas_cumprod, config.get("steps_offset", 0), float(scheduler.final_alpha_cumprod))


def _cosine_schedule(steps: int) -> DiscreteSchedule:
    """β_t = min(1 − g((t + 1) / N) / g(t / N), 0.999), g(u) = cos²(½π (u + 0.008) / 1.008); ᾱ as a float32 product."""
    g = [math.cos((t / steps + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(steps + 1)]
    betas = torch.tensor([min(1 - after / before, 0.999) for before, after in pairwise(g)], dtype=torch.float32)
    return DiscreteSchedule((1.0 - betas).cumprod(0).to(torch.float64))
