"""Null-text inversion (Mokady et al. 2023, arXiv 2211.09794): guided sampling that follows the DDIM inversion.

The pivot x*_T, ..., x*_0 is the DDIM inversion at w = 1. From x̄_T = x*_T, each step i fits the null condition,

    ∅_i ← ∅_i − Adam(∇ ‖x*_{t−1} − step(x̄_t, w ε(x̄_t, t, c) + (1−w) ε(x̄_t, t, ∅_i))‖²),   N times,

then takes that step, and ∅_{i+1} begins as ∅_i (their algorithm 1). With w = 1, and where guidance is off, nothing is
fitted. inner_steps 10 and rate 1e-2 are the paper's (section 4, 50 DDIM steps); the authors' published code lets the
rate fall to half along the chain, 1e-2 (1 − i/100) at step i of 50, and stops a step whose mean squared error is under
1e-5 + 2e-5 i. Both are kept by position: i counts as 50 i/T in a chain of T. Fitted are the float tensors of the null
condition except its masks, one null for every clip, and each clip stops by itself.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from baselines.ddim_inversion import Inverse, recording
from ditto.chain import Denoiser, StepContext
from ditto.memory import count_calls
from ditto.method import Observer, Request, generate
from ditto.types import Condition, Generation, History, UserError

PUBLISHED_STEPS = 50  # of the chain that the authors' rate and threshold were made for


@dataclass(frozen=True)
class NullText:
    """threshold: the error at which a step needs no more fitting, threshold_growth: how much it rises per step."""

    inner_steps: int = 10
    rate: float = 1e-2
    threshold: float = 1e-5
    threshold_growth: float = 2e-5
    refinements: int = 0  # of the inversion

    def __post_init__(self) -> None:
        Inverse(refinements=self.refinements)
        if self.inner_steps < 0 or self.rate <= 0 or self.threshold < 0 or self.threshold_growth < 0:
            raise UserError("inner_steps, threshold and threshold_growth must not be negative, and rate is above 0")

    def __call__(self, request: Request) -> Generation:
        model, sampler, shown = request.model, request.sampler, request.progress
        x_ref = recording(request.control, "null_text").to(request.x_T)
        c, null = model.encode(request.prompts), model.encode([""])
        with count_calls(model) as calls:
            inverse = Inverse(refinements=self.refinements)
            pivots = inverse.trajectory(model, sampler, x_ref, c, null=null, progress=shown)
        with tqdm(total=sampler.steps, desc="null-text", unit="step", disable=not shown) as bar:
            fit = _Fit(self, c, null.expand(len(x_ref)), pivots, bar, request.observe)
            fit.history.model_calls = calls.count
            return generate(replace(request, x_T=pivots[0]), condition=c, null=null, hook=fit, history=fit.history)

    def rate_at(self, i: int, steps: int) -> float:
        return self.rate * (1 - i / (2 * steps))

    def threshold_at(self, i: int, steps: int) -> float:
        return self.threshold + self.threshold_growth * PUBLISHED_STEPS * i / steps


@dataclass(eq=False)
class _Fit:
    """The hook: carries the null condition from step to step."""

    options: NullText
    c: Condition
    null: Condition  # one per clip
    pivots: list[Tensor]
    bar: Any
    observe: Observer
    history: History = field(default_factory=History)

    def __post_init__(self) -> None:
        self.history.stopped = [None] * self.c.batch_size

    def __call__(self, step: StepContext) -> Tensor:
        self.bar.update()
        if not step.guided or step.denoiser.scale == 1:
            return step.x_prev
        eps = _eps(step, self.c)
        self._fit(step, eps)
        return _land(step, eps, self.null)

    def _fit(self, step: StepContext, eps: Tensor) -> None:
        """Move `null` so that the step lands on its pivot."""
        values = {name: value.clone() for name, value in self.null.tensors.items() if _fitted(name, value)}
        optimizer = torch.optim.Adam(values.values(), lr=self.options.rate_at(step.i, step.steps))
        threshold = self.options.threshold_at(step.i, step.steps)
        for _ in range(self.options.inner_steps):
            started = time.perf_counter()
            loss_B = self._gradients(step, eps, values)
            on_B = loss_B > threshold  # of a clip that is not on, neither null nor loss changes any more
            before = {name: value.clone() for name, value in values.items()}
            optimizer.step()
            for name, value in values.items():
                value.copy_(torch.where(on_B.view(-1, *[1] * (value.dim() - 1)), value, before[name]))
            self._note(values, loss_B, time.perf_counter() - started)
            if not on_B.any():
                break
        self.null = Condition(self.null.tensors | values)

    def _gradients(self, step: StepContext, eps: Tensor, values: dict[str, Tensor]) -> Tensor:
        """Mean squared distance to the pivot per clip [B]; leaves its gradient in the values."""
        with torch.enable_grad():
            leaves = {name: value.detach().requires_grad_() for name, value in values.items()}
            x_prev = _land(step, eps, Condition(self.null.tensors | leaves))
            loss_B = (x_prev - self.pivots[step.i + 1]).square().flatten(1).mean(1)
            gradients = torch.autograd.grad(loss_B.sum(), list(leaves.values()))
        for value, gradient in zip(values.values(), gradients, strict=True):
            value.grad = gradient
        return loss_B.detach()

    def _note(self, values: dict[str, Tensor], loss_B: Tensor, seconds: float) -> None:
        norms = [value.grad.flatten(1).norm(dim=1) for value in values.values() if value.grad is not None]
        row = {"loss": loss_B.tolist(), "gradient_norm": torch.stack(norms).norm(dim=0).tolist(), "seconds": seconds}
        self.history.rows.append({"step": len(self.history.rows), **row})
        self.observe(self.history.rows[-1])


def _fitted(name: str, value: Tensor) -> bool:
    return value.is_floating_point() and not name.startswith("mask")


def _eps(step: StepContext, condition: Condition) -> Tensor:
    """ε(x_t, t, condition), without guidance."""
    return Denoiser(step.denoiser.model, condition, condition, 1.0)(step.x_t, step.level.t)


def _land(step: StepContext, eps: Tensor, null: Condition) -> Tensor:
    """x_{t−1} of the guided step with this null condition."""
    return step.step_from(step.x_t, step.denoiser.mix(eps, _eps(step, null)))
