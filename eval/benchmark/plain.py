"""The plain reference: DITTO's algorithm 1 as a careful reader of the paper would write it with diffusers. Keep it so.

    diffusers' DDIMScheduler, torch.utils.checkpoint around each sampling step, float32, one clip, Adam

CFG is the doubled batch that every diffusers pipeline has, and the weights are frozen, as tutorials tell: both are
levers of `eval.benchmark` too, so the reference is not made slower than it would be. Everything else is left as it
comes. The network, its weights and the control's loss are the benchmarked model's own; what our code does to them by
itself is taken away (`reference` in conf/benchmark.yaml). No thresholding, no guidance interval, no batch.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ditto.controls.base import Control
from ditto.method import Request
from ditto.models.base import MusicModel
from ditto.types import Condition, Generation, History, UserError


@dataclass
class Plain:
    """A method as any other, so that the same meters measure it. For models on diffusers' cosine schedule."""

    steps: int = 70  # K
    lr: float = 5e-3

    def __call__(self, request: Request) -> Generation:
        model, control = request.model, request.control
        condition = prompts_and_nothing(model, request.prompts)
        scheduler = ddim(model, request.sampler.steps, request.sampler.spacing)
        scale = request.sampler.guidance_scale
        x_T = request.x_T.detach().clone().requires_grad_()
        optimizer = torch.optim.Adam([x_T], lr=self.lr)
        history = History(stopped=[None] * len(x_T))
        for k in range(self.steps):
            started = time.perf_counter()
            optimizer.zero_grad()
            loss_B = loss(model, control, condition, scheduler, scale, x_T)
            loss_B.sum().backward()
            optimizer.step()
            losses = loss_B.tolist()
            history.rows.append({"step": k, "loss": losses, "seconds": time.perf_counter() - started})
            request.observe(history.rows[-1])
        with torch.no_grad():
            x_0 = sample(model, condition, scheduler, scale, x_T)
            return Generation(x_T.detach(), x_0, model.wave(x_0), history)


def prompts_and_nothing(model: MusicModel, prompts: list[str]) -> Condition:
    """The prompts and as many empty ones, for CFG: a condition of 2B."""
    return model.encode(prompts).cat(model.encode([""]).expand(len(prompts)))


def ddim(model: MusicModel, steps: int, spacing: str) -> DDIMScheduler:
    """diffusers' scheduler as it comes, with the schedule that our models are trained on; UserError for another one."""
    scheduler = DDIMScheduler(beta_schedule="squaredcos_cap_v2", clip_sample=False, timestep_spacing=spacing)
    own = getattr(model.schedule, "alphas_cumprod", None)
    if own is None or not torch.allclose(own, scheduler.alphas_cumprod.to(own)):
        raise UserError(f"the plain reference has the cosine schedule, which model={model.name} has not: leave it out")
    scheduler.set_timesteps(steps, device=model.device)
    return scheduler


def loss(
    model: MusicModel, control: Control, condition: Condition, scheduler: DDIMScheduler, scale: float, x_T: Tensor
) -> Tensor:
    """L(f(x_0), y) of every clip, x_T [B, C, F, T] -> [B]."""
    return control.loss(sample(model, condition, scheduler, scale, x_T))


def sample(model: MusicModel, condition: Condition, scheduler: DDIMScheduler, scale: float, x_T: Tensor) -> Tensor:
    """x_T -> x_0 [B, C, F, T], every step checkpointed."""

    def step(x_t: Tensor, t: Tensor) -> Tensor:
        eps, eps_null = model.denoise(torch.cat([x_t, x_t]), t.expand(2 * len(x_t)), condition).chunk(2)
        guided = eps_null + scale * (eps - eps_null)
        return scheduler.step(guided, t, x_t, return_dict=False)[0]  # type: ignore[arg-type]  # as its pipelines do

    x_t = x_T
    for t in scheduler.timesteps:
        x_t = checkpoint(step, x_t, t, use_reentrant=False)
    return x_t
