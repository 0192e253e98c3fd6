"""One link of a sampling chain: the guided network, and what a guidance method sees of a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ditto.models.base import MusicModel
from ditto.noise import step_noise
from ditto.schedules import Level
from ditto.types import Condition


@dataclass(eq=False)
class Denoiser:
    """The network with its prompts. Guidance: ε̂ = w·ε(x, t, c) + (1−w)·ε(x, t, ∅), w = `scale`, in one batched call."""

    model: MusicModel
    condition: Condition
    null: Condition
    scale: float

    @cached_property
    def both(self) -> Condition:
        return self.condition.cat(self.null.expand(self.condition.batch_size))

    def __call__(self, x_t: Tensor, t: int | float, guided: bool = True) -> Tensor:
        """ε̂ [B, C, F, T]; without guidance, or with w = 1, the conditional one alone: half of the work."""
        if not guided or self.scale == 1:
            return self.model.denoise(x_t, _times(t, x_t), self.condition)
        return self.mix(*self.pair(x_t, t))

    def pair(self, x_t: Tensor, t: int | float) -> tuple[Tensor, Tensor]:
        """ε(x, t, c) and ε(x, t, ∅)."""
        x_2B = torch.cat([x_t, x_t])
        eps, eps_null = self.model.denoise(x_2B, _times(t, x_2B), self.both).chunk(2)
        return eps, eps_null

    def mix(self, eps: Tensor, eps_null: Tensor) -> Tensor:
        return self.scale * eps + (1 - self.scale) * eps_null


def _times(t: int | float, x_t: Tensor) -> Tensor:
    """[B]: whole numbers as indices, positions on a continuous scale in float64 (close to pure noise ᾱ needs it)."""
    dtype = torch.int64 if isinstance(t, int) else torch.float64
    return torch.full((x_t.shape[0],), t, dtype=dtype, device=x_t.device)


@dataclass(eq=False)
class StepContext:
    """One step x_t -> x_{t−1}, for a hook that wants to change it.

    A hook returns x_{t−1}. Nothing is computed before it is asked for, so a hook that needs ∇_{x_t} calls the network
    once: `eps_of` with gradients, then `x0_from` for its loss and `step_from` for the step. Sampling by a guidance
    method runs under no_grad; the hook switches gradients on where it needs them (torch.enable_grad).
    """

    i: int  # 0 for the first, noisiest step
    steps: int
    level: Level  # t, ᾱ_t, ᾱ_{t−1}
    x_t: Tensor
    denoiser: Denoiser
    guided: bool  # whether CFG is on at this step
    seeds: Sequence[int] | None
    predict_x0: Callable[[Tensor, Tensor], Tensor]  # (x_t, ε̂) -> x̂_0, thresholded
    update: Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]  # (x_t, ε̂, repeat) -> x_{t−1}, x̂_0
    x0_hat: Tensor  # of the last `step_from`; of the step before until then

    def eps_of(self, x_t: Tensor) -> Tensor:
        """ε̂(x_t), guided: one network call."""
        return self.denoiser(x_t, self.level.t, self.guided)

    def eps_pair(self, x_t: Tensor) -> tuple[Tensor, Tensor]:
        """ε(x_t, c) and ε(x_t, ∅) of one network call; `denoiser.mix` makes ε̂ of them."""
        return self.denoiser.pair(x_t, self.level.t)

    def x0_from(self, x_t: Tensor, eps: Tensor) -> Tensor:
        """x̂_0 = (x_t − √(1−ᾱ_t) ε̂) / √ᾱ_t, thresholded."""
        return self.predict_x0(x_t, eps)

    def x0_of(self, x_t: Tensor) -> Tensor:
        return self.x0_from(x_t, self.eps_of(x_t))

    def step_from(self, x_t: Tensor, eps: Tensor, repeat: int = 0) -> Tensor:
        """The sampler's own x_{t−1} from any x_t and ε̂; a repeated step of a stochastic sampler draws fresh noise."""
        x_prev, self.x0_hat = self.update(x_t, eps, repeat)
        return x_prev

    @cached_property
    def x_prev(self) -> Tensor:
        """What the sampler would do without the hook: one network call."""
        return self.step_from(self.x_t, self.eps_of(self.x_t))

    def noise(self, *key: int | str) -> Tensor:
        """Per-clip noise of this step; another key, other noise."""
        if self.seeds is None:
            raise ValueError("this method draws noise in each step: call the sampler with seeds, one per clip")
        return step_noise(self.seeds, self.x_t, self.i, *key)

    def renoise(self, x_prev: Tensor, *key: int | str) -> Tensor:
        """Time travel, x_{t−1} -> x_t: √(ᾱ_t/ᾱ_{t−1}) x_{t−1} + √(1 − ᾱ_t/ᾱ_{t−1}) ε."""
        ratio = self.level.alpha_bar / self.level.alpha_bar_prev
        return ratio**0.5 * x_prev + (1 - ratio) ** 0.5 * self.noise("renoise", *key)


Hook = Callable[[StepContext], Tensor]
