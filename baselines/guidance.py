"""Guidance Gradients (Levy et al. 2023, arXiv 2311.00613): each step of the chain also descends the loss.

    g_t     = ∇_{x_t} L(f(x̂_0(x_t)), y)       exact, through the network; L, f and y are the control's
    x_{t−1} = S(x_t, ε̂) − η g_t               S the sampler's own step, η = `rate` fixed over the chain

This is x_t ← x_t − η ∇_{x_t} L of DITTO's comparison. It enters at x_{t−1}, the next step's x_t, as in diffusion
posterior sampling (Chung et al. 2023, algorithm 1), so that one network call serves the gradient and the step. To enter
before the step with the same ε̂ would multiply it by √(ᾱ_{t−1}/ᾱ_t), about 10³ at the first step of a trailing chain.

Data consistency where f copies frames (painting, also as a part of a combined control), M the mask of given frames:

    x̂_0'  = M ⊙ x_ref + (1 − M) ⊙ x̂_0                 the projection of x̂_0 on {x: M ⊙ x = M ⊙ x_ref}
    ε'     = (x_t − √ᾱ_t x̂_0') / √(1−ᾱ_t)              the noise that x_t then holds
    x_{t−1} = M ⊙ S(x_t, ε') + (1 − M) ⊙ (S(x_t, ε̂) − η g_t)     so x_0 equals x_ref in the given frames

The loss is taken before the projection: its gradient shapes the frames around. `data_consistency`: auto (the above for
painting, nothing for other controls) or off.

Defaults: no rate is published for these losses, so η is tuned per task (conf/tuned). L is a mean over many values,
hence rates far above 1. Cost: T network calls, each forward and backward.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from baselines.gradient import Guidance, GuidedMethod, check_rate
from ditto.chain import Hook, StepContext
from ditto.controls.base import Control
from ditto.controls.painting import Painting
from ditto.types import UserError


@dataclass(frozen=True)
class GuidanceGradients(GuidedMethod):
    """rate: η, 0 is text-only (with data_consistency off); data_consistency: auto or off."""

    title: ClassVar[str] = "Guidance Gradients"

    rate: float = 100.0
    data_consistency: str = "auto"

    def __post_init__(self) -> None:
        check_rate(self.rate)
        if self.data_consistency not in ("auto", "off"):
            raise UserError(f"method.data_consistency={self.data_consistency}: choose auto or off")

    def hook(self, control: Control, guidance: Guidance | None = None) -> Hook:
        """The update of every step, for any sampler; `guidance` keeps a history."""
        given = [part for part in control.parts() if isinstance(part, Painting)]
        if self.data_consistency == "off":
            given = []

        def step(context: StepContext) -> Tensor:
            nonlocal guidance
            guidance = guidance or Guidance(control, len(context.x_t))
            at = guidance(context, context.x_t, context.eps_of)
            x_prev = context.step_from(context.x_t, at.eps) - self.rate * at.gradient
            return project(context, x_prev, given) if given else x_prev

        return step


def project(context: StepContext, x_prev: Tensor, given: Sequence[Painting]) -> Tensor:
    """Data consistency after a step: given frames of x_{t−1}, and of the step's x̂_0, follow from the reference."""
    x0_hat = context.x0_hat
    for part in given:
        x0_hat = torch.where(part.mask_T, part.x_ref.to(x0_hat), x0_hat)
    alpha_bar = context.level.alpha_bar
    eps = (context.x_t - math.sqrt(alpha_bar) * x0_hat) / math.sqrt(1 - alpha_bar)
    consistent = context.step_from(context.x_t, eps)
    context.x0_hat = x0_hat
    return torch.where(torch.stack([part.mask_T for part in given]).any(0), consistent, x_prev)
