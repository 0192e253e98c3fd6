"""Readout Guidance: steer each x_t by what small heads read off the denoiser's features (Luo et al. 2023, 2312.02150).

In the guided steps, ŷ_t = h(features of ε_θ(x_t, t, c), t) estimates f(x_0) without decoder or vocoder, and

    x_t ← AdamW(x_t, ∇_{x_t} L(ŷ_t, y)) = x_t − lr · g / (|g| + ε),   g the gradient, element by element;

then the sampler's own step from the new x_t. The optimiser is made anew in each guided step, with weight decay 0 (both
as in the authors' sampling code), so its moments are those of one gradient, the bias correction cancels, and the step
is the closed form above: the sign of the gradient times lr, whatever the scale of L (ε is AdamW's 1e-8; the median |g|
of the embedded model was measured between 1e-5 for structure and 1e-2 for intensity).
Defaults of the paper's spatial controls: lr 2e-2, guided in the first half of the steps, one update a step.
L is the control's own distance; what a head does not smooth is smoothed by the control. Two calls of the network a
guided step: the conditional one that is read (half of a CFG call; the paper reads both halves), and the sampler's.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from tqdm import tqdm

from baselines.readout_controls import check_defined, estimate
from baselines.readout_heads import ReadoutHeads, read
from baselines.readout_weights import PACKAGED, load_heads
from ditto.chain import StepContext
from ditto.controls.base import Control
from ditto.method import Request, generate
from ditto.models.base import MusicModel
from ditto.types import Condition, Generation, History, UserError

EPSILON = 1e-8


@dataclass(frozen=True)
class Readout:
    """weights: a folder of heads (null: the packaged ones); guided_interval: fractions of the chain, in [0, 1].

    UndefinedTask for controls that no head reads; UserError where there are no heads for the model.
    """

    packaged: ClassVar[Path] = PACKAGED
    weights: str | None = None
    lr: float = 2e-2
    guided_interval: Sequence[float] = (0.0, 0.5)

    def __post_init__(self) -> None:
        if self.lr < 0:
            raise UserError(f"lr={self.lr}: give 0 (no guidance) or more")
        ends = list(self.guided_interval)
        if len(ends) != 2 or not 0 <= ends[0] <= ends[1] <= 1:
            raise UserError(f"guided_interval={ends}: give two fractions of the chain, as in [0, 0.5]")

    def __call__(self, request: Request) -> Generation:
        model, control = request.model, request.control
        check_defined(control)
        heads = load_heads(Path(self.weights) if self.weights else PACKAGED, model)
        history = History(stopped=[None] * len(request.x_T))
        bar = tqdm(total=request.sampler.steps, desc="readout", unit="step", disable=not request.progress)

        def hook(context: StepContext) -> Tensor:
            bar.update()
            if not self.guided_interval[0] <= context.i / context.steps < self.guided_interval[1]:
                return context.x_prev
            started = time.perf_counter()
            condition = context.denoiser.condition
            loss_B, gradient = loss_and_gradient(model, heads, control, context.x_t, context.level.t, condition)
            x_t = context.x_t - self.lr * gradient / (gradient.abs() + EPSILON)
            row = {"loss": loss_B.tolist(), "gradient_norm": gradient.flatten(1).norm(dim=1).tolist()}
            history.rows.append({"step": context.i, **row, "seconds": time.perf_counter() - started})
            request.observe(history.rows[-1])
            return context.step_from(x_t, context.eps_of(x_t))

        with bar:
            return generate(request, hook=hook, history=history)


def readout_loss(
    model: MusicModel, heads: ReadoutHeads, control: Control, x_t: Tensor, t: int | float, condition: Condition
) -> Tensor:
    """L(ŷ_t, y) per clip: [B, C, F, T] and the model's timestep in 0..999 -> [B]."""
    t_B = torch.full((len(x_t),), t, dtype=torch.int64, device=x_t.device)
    y_hat = estimate(control, read(model, heads, x_t, t_B, condition))
    return control.distance(y_hat, control.target.to(y_hat))


def loss_and_gradient(
    model: MusicModel, heads: ReadoutHeads, control: Control, x_t: Tensor, t: int | float, condition: Condition
) -> tuple[Tensor, Tensor]:
    """The loss [B] and each clip's own gradient [B, C, F, T]."""
    with torch.enable_grad():
        x_t = x_t.detach().requires_grad_()
        loss_B = readout_loss(model, heads, control, x_t, t, condition)
        (gradient,) = torch.autograd.grad(loss_B.sum(), x_t)
    return loss_B.detach(), gradient
