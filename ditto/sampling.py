"""Samplers as pure, differentiable functions of the initial noise x_T.

DDIM           Song et al. 2021, eq. 12; η = 0 is deterministic: the paper's sampler.
DDPM           Ho et al. 2020, eq. 7, with the posterior variance ("fixed_small").
DPMSolverPP2M  DPM-Solver++(2M), Lu et al. 2022, algorithm 2; the last step is of first order.

Guidance (CFG) is one batched call a step, see `ditto.chain.Denoiser`; `guidance_interval` = (lo, hi) guides only the
steps between these fractions of the chain (Kynkäänniemi et al. 2024).
Dynamic thresholding (Imagen, Saharia et al. 2022): x̂_0 is clamped to ±s, s the `dynamic_threshold` quantile of its
own |x̂_0| where that exceeds the bound of the model's data, and scaled back by bound / s; per clip.

A hook may replace a step (see StepContext); a callback (i, x_t, x̂_0) observes. Noise of stochastic samplers comes from
the clips' seeds, so that a step computed twice is the same and a clip does not depend on its batch mates.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import Tensor

from ditto.chain import Denoiser, Hook, StepContext
from ditto.memory import Memory, Store
from ditto.models.base import MusicModel
from ditto.noise import derived_seeds, noise, step_noise
from ditto.schedules import Level, NoiseSchedule
from ditto.types import Condition, UserError

__all__ = [
    "DDIM",
    "DDPM",
    "Callback",
    "DPMSolverPP2M",
    "Hook",
    "Sampler",
    "StepContext",
    "noise",
    "step_noise",
    "threshold_x0",
]

Callback = Callable[[int, Tensor, Tensor], None]
Seeds = Sequence[int] | None
STORE = Store()


@dataclass(frozen=True)
class Sampler(ABC):
    """Call it to map x_T to x_0; `step` is what the samplers differ in."""

    steps: int = 20
    guidance_scale: float = 1.0
    dynamic_threshold: float | None = None  # quantile in (0, 1]; no effect where the model states no x0_bound
    spacing: str = "leading"
    guidance_interval: Sequence[float] = (0.0, 1.0)

    multistep: ClassVar[bool] = False  # does a step need the last x̂_0?

    def __post_init__(self) -> None:
        if self.dynamic_threshold is not None and not 0 < self.dynamic_threshold <= 1:
            raise UserError(f"dynamic_threshold={self.dynamic_threshold}: give a quantile in (0, 1], or null")
        if len(self.guidance_interval) != 2:
            raise UserError(f"guidance_interval={list(self.guidance_interval)}: give two fractions, as in [0, 1]")

    def __call__(
        self,
        model: MusicModel,
        x_T: Tensor,
        condition: Condition,
        *,
        memory: Memory = STORE,
        hook: Hook | None = None,
        callback: Callback | None = None,
        seeds: Seeds = None,
        null: Condition | None = None,
    ) -> Tensor:
        """x_T [B, C, F, T] -> x_0. Give the encoded null condition if the chain is run many times."""
        self.check(seeds)
        denoiser = Denoiser(model, condition, null or model.encode([""]), self.guidance_scale)
        levels = self.levels(model.schedule)
        x_t, x0_hat = x_T, x_T
        for i in range(self.steps):
            step = partial(self._link, denoiser, levels, i, hook, seeds)
            state = (x_t, x0_hat) if self.multistep else (x_t,)
            x_prev, x0_hat = memory.run(step, *state, i=i, steps=self.steps)
            if callback is not None:
                callback(i, x_t.detach(), x0_hat.detach())
            x_t = x_prev
        return x_t

    def levels(self, schedule: NoiseSchedule) -> list[Level]:
        """The timesteps of the chain with their ᾱ."""
        return schedule.levels(schedule.timesteps(self.steps, self.spacing))

    @property
    def stochastic(self) -> bool:
        return False

    @abstractmethod
    def step(
        self, levels: list[Level], i: int, x_t: Tensor, eps: Tensor, x0_hat: Tensor, x0_last: Tensor, seeds: Seeds
    ) -> Tensor:
        """x_{t−1} from x_t, ε̂ and x̂_0; x0_last is the x̂_0 of the step before (multistep samplers only)."""

    def guided(self, i: int) -> bool:
        """Whether CFG is on at step i."""
        lo, hi = self.guidance_interval
        return lo <= i / self.steps < hi or (hi >= 1 and i / self.steps >= lo)

    def check(self, seeds: Seeds) -> None:
        if self.stochastic and seeds is None:
            raise ValueError("a stochastic sampler needs seeds, one per clip")

    def _link(
        self,
        denoiser: Denoiser,
        levels: list[Level],
        i: int,
        hook: Hook | None,
        seeds: Seeds,
        x_t: Tensor,
        x0_last: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Step i as a pure function: x_t -> x_{t−1}, x̂_0."""
        last = x_t if x0_last is None else x0_last

        def predict_x0(x_t: Tensor, eps: Tensor) -> Tensor:
            x0_hat = (x_t - math.sqrt(1 - levels[i].alpha_bar) * eps) / math.sqrt(levels[i].alpha_bar)
            bound = denoiser.model.x0_bound
            if self.dynamic_threshold is None or math.isinf(bound):
                return x0_hat
            return threshold_x0(x0_hat, self.dynamic_threshold, bound)

        def update(x_t: Tensor, eps: Tensor, repeat: int = 0) -> tuple[Tensor, Tensor]:
            x0_hat = predict_x0(x_t, eps)
            fresh = derived_seeds(seeds, "repeat", repeat) if repeat and seeds is not None else seeds
            return self.step(levels, i, x_t, eps, x0_hat, last, fresh), x0_hat

        if hook is None:
            return update(x_t, denoiser(x_t, levels[i].t, self.guided(i)))
        context = StepContext(i, self.steps, levels[i], x_t, denoiser, self.guided(i), seeds, predict_x0, update, last)
        return hook(context), context.x0_hat


@dataclass(frozen=True)
class DDIM(Sampler):
    """x_{t−1} = √ᾱ_{t−1} x̂_0 + √(1−ᾱ_{t−1}−σ²) ε̂ + σ z, σ = η √β̃_t, z the clip's own noise."""

    eta: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.eta <= 1:
            raise UserError(f"eta={self.eta}: give 0 (deterministic) to 1 (as much noise as DDPM)")

    @property
    def stochastic(self) -> bool:
        return self.eta > 0

    def step(
        self, levels: list[Level], i: int, x_t: Tensor, eps: Tensor, x0_hat: Tensor, x0_last: Tensor, seeds: Seeds
    ) -> Tensor:
        _, alpha_bar, prev = levels[i]
        sigma = self.eta * math.sqrt((1 - prev) / (1 - alpha_bar) * (1 - alpha_bar / prev))
        x_prev = math.sqrt(prev) * x0_hat + math.sqrt(max(1 - prev - sigma**2, 0.0)) * eps
        return x_prev if sigma == 0 or seeds is None else x_prev + sigma * step_noise(seeds, x_t, i)


@dataclass(frozen=True)
class DDPM(Sampler):
    """x_{t−1} = (√ᾱ_{t−1} β_t x̂_0 + √α_t (1−ᾱ_{t−1}) x_t) / (1−ᾱ_t) + √β̃_t z, α_t = ᾱ_t/ᾱ_{t−1}, β_t = 1−α_t."""

    @property
    def stochastic(self) -> bool:
        return True

    def step(
        self, levels: list[Level], i: int, x_t: Tensor, eps: Tensor, x0_hat: Tensor, x0_last: Tensor, seeds: Seeds
    ) -> Tensor:
        _, alpha_bar, prev = levels[i]
        alpha = alpha_bar / prev
        mean = (math.sqrt(prev) * (1 - alpha) * x0_hat + math.sqrt(alpha) * (1 - prev) * x_t) / (1 - alpha_bar)
        sigma = math.sqrt((1 - prev) / (1 - alpha_bar) * (1 - alpha))
        return mean if sigma == 0 or seeds is None else mean + sigma * step_noise(seeds, x_t, i)


@dataclass(frozen=True)
class DPMSolverPP2M(Sampler):
    """x_{t−1} = (σ_{t−1}/σ_t) x_t − α_{t−1} (e^{−h} − 1) D, D = x̂_0 + (x̂_0 − x̂_0^{last}) / (2r).

    With λ = log(α/σ): h = λ_{t−1} − λ_t and r = (λ_t − λ_{t+1}) / h; the first and the last step take D = x̂_0.
    """

    multistep: ClassVar[bool] = True

    def levels(self, schedule: NoiseSchedule) -> list[Level]:
        """The last step lands on clean data, whatever the schedule's own end."""
        levels = schedule.levels(schedule.solver_timesteps(self.steps, self.spacing))
        return [*levels[:-1], levels[-1]._replace(alpha_bar_prev=1.0)]

    def step(
        self, levels: list[Level], i: int, x_t: Tensor, eps: Tensor, x0_hat: Tensor, x0_last: Tensor, seeds: Seeds
    ) -> Tensor:
        _, alpha_bar, prev = levels[i]
        if prev == 1:
            return x0_hat
        h = _log_snr(prev) - _log_snr(alpha_bar)
        direction = x0_hat
        if i > 0:
            r = (_log_snr(alpha_bar) - _log_snr(levels[i - 1].alpha_bar)) / h
            direction = x0_hat + (x0_hat - x0_last) / (2 * r)
        return math.sqrt((1 - prev) / (1 - alpha_bar)) * x_t - math.sqrt(prev) * math.expm1(-h) * direction


def _log_snr(alpha_bar: float) -> float:
    """λ = log(√ᾱ / √(1−ᾱ))."""
    return 0.5 * math.log(alpha_bar / (1 - alpha_bar))


def threshold_x0(x0_hat: Tensor, quantile: float, bound: float) -> Tensor:
    """Dynamic thresholding, per clip [B, ...]: s = max(quantile of |x̂_0|, bound); clamp to ±s, scale by bound / s."""
    size = x0_hat.abs().flatten(1)
    position = quantile * (size.shape[1] - 1)
    below = math.floor(position)
    # The quantile interpolates between two order statistics; topk takes batches that torch.quantile refuses (2^24).
    top = size.topk(size.shape[1] - below, dim=1, sorted=True).values
    lower, upper = top[:, -1], top[:, max(top.shape[1] - 2, 0)]
    s = (lower + (position - below) * (upper - lower)).clamp(min=bound).view(-1, *[1] * (x0_hat.dim() - 1))
    return x0_hat.clamp(-s, s) * (bound / s)
