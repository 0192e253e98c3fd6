"""DOODL: optimise the initial noise through EDICT (Wallace et al. 2023, arXiv 2303.13703). DITTO's closest relative.

    repeat K times:
        x'_0, x''_0 ← EDICT(x'_T, x''_T)              baselines/edict.py
        L = ½ L(f(x'_0), y) + ½ L(f(x''_0), y)        both ends
        g ← clamp(∇L, ±10⁻³)                          element by element
        x_T ← optimizer(g);  x_T ← x_T + 10⁻⁴ z       z ~ N(0, 1), the same for both of the pair
        x_T ← x_T · ‖x_T at the start‖ / ‖x_T‖        per clip
    with x'_T = x''_T = x_T: the pair is tied, one latent is optimised.

All of these are the paper's, and each can be switched off. Its optimiser is gradient descent with momentum 0.9 on λL,
λ set by hand for each loss: method=doodl_original (SGD of rate 1, momentum 0.9, `loss_scale` λ). In DITTO's
comparison DOODL has DITTO's learning rate: method=doodl is Adam at 5e-3, after the clamp. L is the mean of both ends,
so that rates compare with DITTO's; the paper's code halves the gradient once more (its λ = 2 is λ = 1 here).

Backward: by the memory policy (Checkpoint: 4 network calls for each sampling step and optimisation step, DITTO has
2), or by EDICT's inverse (`inverse`, method=doodl_inverse: 6, in memory that does not grow with T). The gradient is
the same.

The clip is x'_0, one of the two ends that were optimised; the mean of both would be a clip whose loss nobody computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from baselines.edict import Chain, Edict, Pair
from ditto.clips import Clips
from ditto.controls.base import Control
from ditto.memory import Checkpoint, Memory, count_calls
from ditto.method import Request
from ditto.noise import step_noise
from ditto.optimization import OptimizerFactory
from ditto.steps import optimisation_steps
from ditto.types import Generation, UserError


@dataclass
class Doodl:
    """z [B, 1 or 2, C, F, T] is what is optimised: the tied pair's one latent, or both."""

    optimizer: OptimizerFactory = field(default_factory=lambda: partial(torch.optim.Adam, lr=5e-3))
    steps: int = 70  # K
    edict: Edict = field(default_factory=Edict)
    memory: Memory = field(default_factory=Checkpoint)
    inverse: bool = False  # backward by EDICT's inverse; `memory` is then not asked
    threshold: float | None = None  # τ: a clip whose loss is at or under it is done
    both_ends: bool = True
    tied: bool = True
    loss_scale: float = 1.0  # λ: says where the clamp bites, and is the rate of an SGD of rate 1
    element_clip: float | None = 1e-3
    perturbation: float = 1e-4  # standard deviation
    renormalise: bool = True

    def __post_init__(self) -> None:
        if self.steps < 0 or self.perturbation < 0 or self.loss_scale <= 0:
            raise UserError("steps and perturbation must not be negative, and loss_scale is above 0")
        if self.element_clip is not None and self.element_clip <= 0:
            raise UserError(f"element_clip={self.element_clip}: give a number above 0, or null")
        self.optimizer([torch.zeros(1)])  # options that it refuses are refused now, not in the middle of a run

    def __call__(self, request: Request) -> Generation:
        model, control, seeds = request.model, request.control, request.seeds
        chain = self.edict.chain(model, request.sampler, model.encode(request.prompts), model.encode([""]))
        z = request.x_T.detach()[:, None].repeat(1, 1 if self.tied else 2, 1, 1, 1).requires_grad_()
        norm = _norm(z)
        optimizer = self.optimizer([z])
        clips = Clips(z, self.threshold)

        def gradient() -> float:
            loss_B, metric_B = self.judge(control, self.ends(chain, z))
            optimizer.zero_grad()
            (self.loss_scale * loss_B).sum().backward(inputs=[z])
            total = clips.judge(z, loss_B, metric_B)
            self.clamp(z)
            return total

        with optimisation_steps(request, self, z, optimizer, clips) as steps:
            for k in steps:
                optimizer.step(gradient)
                self.adjust(z, norm, seeds, k)
                clips.finish(z)
        with torch.no_grad(), count_calls(model) as calls:
            optimised = clips.chosen(z, keep_best=False)
            x_0 = chain.sample(_pair(optimised))[0].to(z)
            wave_BN = model.wave(x_0)
        clips.history.model_calls += calls.count
        return Generation(optimised[:, 0], x_0, wave_BN, clips.history)

    def ends(self, chain: Chain, z: Tensor) -> Pair:
        """x'_0 and x''_0 [B, C, F, T] in the dtype of z."""
        pair = _pair(z)
        first, second = chain.sample_by_inverse(pair) if self.inverse else chain.sample(pair, self.memory)
        return first.to(z), second.to(z)

    def judge(self, control: Control, ends: Pair) -> tuple[Tensor, Tensor]:
        """The loss of x'_0, or the mean of both ends, and the metric of x'_0: [B], [B]."""
        first_B, metric_B = control.judge(ends[0])
        return (first_B + control.loss(ends[1])) / 2 if self.both_ends else first_B, metric_B

    def clamp(self, z: Tensor) -> None:
        if self.element_clip is not None and z.grad is not None:
            z.grad.clamp_(-self.element_clip, self.element_clip)

    @torch.no_grad()
    def adjust(self, z: Tensor, norm: Tensor, seeds: Sequence[int], k: int) -> None:
        """After the optimiser: perturb, and bring each latent of each clip back to the norm it started with."""
        if self.perturbation:
            z += self.perturbation * step_noise(seeds, z[:, 0], k, "perturbation")[:, None]
        if self.renormalise:
            z *= norm / _norm(z)


def _pair(z: Tensor) -> Pair:
    """[B, 1 or 2, C, F, T] -> x'_T, x''_T; the same one twice where the pair is tied."""
    return z[:, 0], z[:, -1]


def _norm(z: Tensor) -> Tensor:
    """[B, 1 or 2, 1, 1, 1]."""
    return z.detach().flatten(2).norm(dim=2)[..., None, None, None]
