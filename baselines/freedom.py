"""FreeDoM (Yu et al. 2023, arXiv 2303.09833, algorithms 1 and 2): guidance with a rate of its own at every step.

    g_t     = ∇_{x_t} L(f(x̂_0(x_t)), y)                                    exact, through the network
    x_{t−1} = S(x_t, ε̂) − ρ_t g_t,  ρ_t = rate · w · RMS(ε_c − ε_∅) / RMS(g_t)  S the sampler's own step
    x_t     ← √(ᾱ_t/ᾱ_{t−1}) x_{t−1} + √(1 − ᾱ_t/ᾱ_{t−1}) ε, and again          time travel, `repeats` − 1 times

ρ_t is taken per clip (the released code: over the batch). It divides by the gradient's size, so the squared loss and
its root (the norm of the released code) give the same update. w is the sampler's CFG scale, ε_c − ε_∅ the correction
of CFG. Where the sampler has CFG off (`guidance_interval`, w = 1) both ε are still computed, in the one batched call of
the step, and only ε_c enters it: the rate means the same along the whole chain and for every w. An empty prompt has no
correction, so nothing guides it, as in the released code.

Defaults, from the released Stable Diffusion code (SD_style; its indices count down from 99): rate 0.2; guided from 0.3
to 0.7 of the chain (indices 69 to 30); travelled from 0.3 to 0.6 (69 to 40), each of these steps 3 times. A step i is
inside an interval if lo <= i / T < hi (to the end if hi = 1). Rates are tuned per task (conf/tuned).

Cost: T network calls, and `repeats` − 1 more for every travelled step; guided ones forward and backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from baselines.gradient import Guidance, GuidedMethod, check_rate, per_clip
from ditto.chain import Hook, StepContext
from ditto.controls.base import Control
from ditto.types import UserError


@dataclass(frozen=True)
class FreeDoM(GuidedMethod):
    """rate: 0 is text-only (with repeats = 1); intervals: fractions of the chain; repeats: of each travelled step."""

    title: ClassVar[str] = "FreeDoM"

    rate: float = 0.2
    guided_interval: Sequence[float] = (0.3, 0.7)
    travel_interval: Sequence[float] = (0.3, 0.6)
    repeats: int = 3

    def __post_init__(self) -> None:
        check_rate(self.rate)
        if self.repeats < 1:
            raise UserError(f"method.repeats={self.repeats}: give 1 (no time travel) or more")
        for name in ("guided_interval", "travel_interval"):
            interval = getattr(self, name)
            if len(interval) != 2 or not 0 <= interval[0] <= interval[1] <= 1:
                raise UserError(f"method.{name}={list(interval)}: give two rising fractions, as in [0.3, 0.7]")

    def hook(self, control: Control, guidance: Guidance | None = None) -> Hook:
        """The update for any sampler and any x_T (the sampler must be given seeds); `guidance` keeps a history."""

        def step(context: StepContext) -> Tensor:
            nonlocal guidance
            guidance = guidance or Guidance(control, len(context.x_t))
            repeats = self.repeats if _inside(self.travel_interval, context) else 1
            guided = _inside(self.guided_interval, context)
            x_t = context.x_t
            for repeat in range(repeats):
                x_prev = self._guided(context, x_t, guidance, repeat) if guided else _plain(context, x_t, repeat)
                if repeat + 1 < repeats:
                    x_t = context.renoise(x_prev, repeat)
            return x_prev

        return step

    def _guided(self, context: StepContext, x_t: Tensor, guidance: Guidance, repeat: int) -> Tensor:
        network = _Pair(context)
        at = guidance(context, x_t, network.eps_of)
        return context.step_from(x_t, at.eps, repeat) - self.update(at.gradient, network.correction)

    def update(self, gradient: Tensor, correction: Tensor) -> Tensor:
        """ρ_t g_t [B, C, F, T]: in each clip its RMS is `rate` times that of w (ε_c − ε_∅)."""
        rho_B = self.rate * _rms(correction) / _rms(gradient)
        return torch.where(per_clip(rho_B.isfinite(), gradient), per_clip(rho_B, gradient) * gradient, 0.0)


class _Pair:
    """ε̂ as the sampler has it at this step; `correction` is w (ε_c − ε_∅) of the same network call."""

    correction: Tensor

    def __init__(self, context: StepContext) -> None:
        self.context, self.denoiser = context, context.denoiser

    def eps_of(self, x_t: Tensor) -> Tensor:
        eps_c, eps_null = self.context.eps_pair(x_t)
        self.correction = self.denoiser.scale * (eps_c - eps_null).detach()
        return self.denoiser.mix(eps_c, eps_null) if self.context.guided else eps_c


def _rms(values: Tensor) -> Tensor:
    """[B, ...] -> [B]."""
    return values.flatten(1).square().mean(1).sqrt()


def _plain(context: StepContext, x_t: Tensor, repeat: int) -> Tensor:
    return context.step_from(x_t, context.eps_of(x_t), repeat)


def _inside(interval: Sequence[float], context: StepContext) -> bool:
    """As `Sampler.guided` counts the steps."""
    lo, hi = interval
    at = context.i / context.steps
    return lo <= at and (at < hi or hi >= 1)
