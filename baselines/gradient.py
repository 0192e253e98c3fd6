"""What the guidance methods share: ∇_{x_t} L(f(x̂_0(x_t)), y), exact through the network, and how it is recorded.

x̂_0(x_t) is what the sampler would use: with CFG where the sampler has it on, and with dynamic thresholding. One call of
the network, forward and backward, a gradient; the same ε̂ then serves the sampler's step.

Legend: B clips, C = 1, F mel bins, T frames.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from tqdm import tqdm

from ditto.chain import Hook, StepContext
from ditto.controls.base import Control
from ditto.method import Observer, Request, generate, unobserved
from ditto.types import Generation, History, UserError


@dataclass(eq=False)
class Gradient:
    """The gradient at one x_t [B, C, F, T], zero for a clip whose loss or gradient is not finite; nothing records."""

    eps: Tensor
    x0_hat: Tensor
    gradient: Tensor


class Guidance:
    """Takes gradients of a control's loss, and writes a row of the history for each."""

    def __init__(self, control: Control, clips: int, observe: Observer = unobserved) -> None:
        self.control, self.history, self.observe = control, History(stopped=[None] * clips), observe

    def __call__(self, context: StepContext, x_t: Tensor, eps_of: Callable[[Tensor], Tensor]) -> Gradient:
        """At x_t, where `eps_of` calls the network for ε̂(x_t)."""
        started = time.perf_counter()
        with torch.enable_grad():
            x_t = x_t.detach().requires_grad_()
            eps = eps_of(x_t)
            x0_hat = context.x0_from(x_t, eps)
            loss_B, metric_B = self.control.judge(x0_hat)
            (gradient,) = torch.autograd.grad(loss_B.sum(), x_t)  # clips do not mix: each gets its own gradient
        loss_B = loss_B.detach()
        finite_B = loss_B.isfinite() & gradient.flatten(1).isfinite().all(1)
        norm_B = gradient.flatten(1).norm(dim=1)
        self._record(torch.stack([x_B.double() for x_B in (loss_B, metric_B, norm_B, finite_B)]), started)
        # Masked, never multiplied: 0 * NaN is NaN.
        return Gradient(eps.detach(), x0_hat.detach(), gradient.where(per_clip(finite_B, x_t), 0.0))

    def _record(self, figures: Tensor, started: float) -> None:
        step = len(self.history.rows)
        loss, metric, norm, finite = figures.tolist()  # the only wait for the device in a step
        for b, good in enumerate(finite):
            if not good and self.history.stopped[b] is None:
                self.history.stopped[b] = f"non-finite gradient at step {step}"
        row = {"step": step, "loss": loss, "metric": metric, "gradient_norm": norm}
        self.history.rows.append({**row, "seconds": time.perf_counter() - started})
        self.observe(self.history.rows[-1])


class GuidedMethod(ABC):
    """A method that takes gradients in a hook of its own; a new one is `hook`, and a `title` for the progress bar."""

    title: ClassVar[str]

    @abstractmethod
    def hook(self, control: Control, guidance: Guidance | None = None) -> Hook:
        """The update of every step, for any sampler and any x_T; `guidance` keeps the history."""

    def __call__(self, request: Request) -> Generation:
        guidance = Guidance(request.control, len(request.x_T), request.observe)
        hook = self.hook(request.control, guidance)
        with tqdm(total=request.sampler.steps, desc=self.title, unit="step", disable=not request.progress) as bar:

            def shown(context: StepContext) -> Tensor:
                x_prev = hook(context)
                bar.update()
                return x_prev

            return generate(request, hook=shown, history=guidance.history)


def per_clip(values_B: Tensor, like: Tensor) -> Tensor:
    """[B] -> [B, 1, 1, 1], to be spread over a batch shaped as `like`."""
    return values_B.view(-1, *[1] * (like.dim() - 1))


def check_rate(rate: float) -> None:
    """A rate is a number that is not negative; UserError otherwise."""
    if not 0 <= rate < float("inf"):
        raise UserError(f"method.rate={rate}: give 0 (text-only) or a positive number")
