"""Naive masking: after every step, the given frames are those of the noised reference.

    x_{t−1} ← M ⊙ (√ᾱ_{t−1} x_ref + √(1−ᾱ_{t−1}) ε) + (1 − M) ⊙ x_{t−1},

M is the painting control's mask, x_{t−1} the sampler's own step. The baseline of the DITTO paper (section 4), and
equation 8 of RePaint without its resampling (Lugmayr et al. 2022, arXiv 2201.09865). The last step (ᾱ_{t−1} = 1) puts
x_ref itself, so the overlap is exact; whether the rest fits to it is what the seam tells.

ε is new in every step, from the clip's seed (RePaint, algorithm 1, line 4). `fresh_noise: false` takes ε = x_T
throughout, as the inpainting pipelines of diffusers do: then the given frames follow one straight path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from baselines.defined import painting
from ditto.chain import StepContext
from ditto.controls.painting import Painting
from ditto.method import Request, generate
from ditto.types import Generation


@dataclass(frozen=True)
class Masking:
    """fresh_noise: another ε in each step, or x_T in all of them. UndefinedTask where no frames are given."""

    fresh_noise: bool = True

    def __call__(self, request: Request) -> Generation:
        given = painting(request.control, "masking")

        def hook(context: StepContext) -> Tensor:
            return masked_step(context, given, None if self.fresh_noise else request.x_T)

        return generate(request, hook=hook)


def masked_step(context: StepContext, control: Painting, eps: Tensor | None = None) -> Tensor:
    """x_{t−1} [B, C, F, T] with the noised reference in the given frames; ε of the clips' seeds if none is given.

    Nothing is added to the other frames, so that with an empty mask the chain is that of the prompt alone.
    """
    if eps is None:
        eps = context.noise("masking", control.round)
    alpha_bar = context.level.alpha_bar_prev
    reference = math.sqrt(alpha_bar) * control.x_ref + math.sqrt(1 - alpha_bar) * eps
    return torch.where(control.mask_T, reference, context.x_prev)
