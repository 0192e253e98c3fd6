"""DITTO, Algorithm 1 of Novack et al. 2024: optimise the initial noise through the whole sampling chain.

    repeat K times:
        x_t ← x_T;  for t = T ... 1:  x_{t−1} = Checkpoint(Sampler, ε_θ, x_t, t, c)
        ŷ = f(x_0)
        x_T ← x_T − g(∇_{x_T} L(ŷ, y))

g is any torch optimiser; which steps are checkpointed is the memory policy's choice and changes no gradient. The
clips of a batch are optimised together and independently: the sum of their losses has each clip's own gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from ditto.clips import Clips
from ditto.memory import Checkpoint, Memory
from ditto.method import Request, generate
from ditto.steps import optimisation_steps
from ditto.types import Generation, UserError

OptimizerFactory = Callable[[list[Tensor]], torch.optim.Optimizer]


@dataclass
class Ditto:
    """Adam, learning rate 5e-3, no regulariser, no clipping and the last iterate: the paper's settings."""

    optimizer: OptimizerFactory = field(default_factory=lambda: partial(torch.optim.Adam, lr=5e-3))
    steps: int = 70  # K
    memory: Memory = field(default_factory=Checkpoint)
    threshold: float | None = None  # τ: a clip whose loss is at or under it is done
    grad_clip: float | None = None  # largest gradient norm of a clip
    noise_regulariser: float = 0.0
    keep_best: bool = False  # of the K iterates whose loss was computed

    def __post_init__(self) -> None:
        if self.steps < 0 or self.noise_regulariser < 0 or (self.grad_clip is not None and self.grad_clip <= 0):
            raise UserError("steps and noise_regulariser must not be negative, and grad_clip is above 0 or null")
        self.optimizer([torch.zeros(1)])  # options that it refuses are refused now, not in the middle of a run

    def __call__(self, request: Request) -> Generation:
        model, sampler, control = request.model, request.sampler, request.control
        c, null = model.encode(request.prompts), model.encode([""])
        x_T = request.x_T.detach().clone().requires_grad_()
        optimizer = self.optimizer([x_T])
        clips = Clips(x_T, self.threshold, self.grad_clip)

        def gradient() -> float:
            x_0 = sampler(model, x_T, c, null=null, memory=self.memory, seeds=request.seeds)
            loss_B, metric_B = control.judge(x_0)  # L(ŷ, y), ŷ = f(x_0)
            optimizer.zero_grad()
            (loss_B + self.regularise(x_T)).sum().backward(inputs=[x_T])
            return clips.judge(x_T, loss_B, metric_B)

        with optimisation_steps(request, self, x_T, optimizer, clips) as steps:
            for _ in steps:
                optimizer.step(gradient)
                clips.finish(x_T)
        optimised = replace(request, x_T=clips.chosen(x_T, self.keep_best))
        return generate(optimised, condition=c, null=null, history=clips.history)

    def regularise(self, x_T: Tensor) -> Tensor | float:
        """λ (½r² − (d−1) ln r) per clip, r = ‖x_T‖: λ times the negative log density of r (ReNO 2024, λ = 0.01)."""
        if not self.noise_regulariser:
            return 0.0
        r = x_T.flatten(1).norm(dim=1)
        return self.noise_regulariser * (0.5 * r**2 - (x_T[0].numel() - 1) * r.log())
