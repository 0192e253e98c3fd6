"""What each memory policy needs, counted on the shapes of tensors: no GPU, no weights, no waiting.

Two pieces of an optimisation step are gone through on PyTorch's meta device, forward and backward: a guided call of the
network, checkpointed, and sound with the square of its amplitude as the loss. Of each: `held`, what it keeps for its
backward pass, and `peak`, the most tensors there at once. With T sampling steps and latents of L bytes then

    policy         kept at the end of the chain      most at once beside the weights
    store          T call                            kept + max(sound peak, call peak − call)
    checkpoint     T L                               T L + max(sound peak, call peak)
    host           0                                 2 L + max(sound peak, call peak)
    revolve, c     min(c, T) L                       kept + 2 L + max(sound peak, call peak)
    auto, B        min(T (call + L), max(B, T L))    max(kept + max(sound peak, call peak − call), T L + call peak)

`growth` is that of what is kept, with the call that runs again, from T = 20 to T = 50. Not counted: the workspace of
kernels, an optimiser's state (2 L for Adam), the allocator's rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ditto.build import build
from ditto.chain import Denoiser
from ditto.memory import GIB
from eval.efficiency.cases import Case
from eval.efficiency.live import LiveTensors
from eval.efficiency.table import where
from eval.models.pieces import Piece, checkpointed, gib
from eval.models.shapes import shapes_only, without_values
from eval.sets import Row, row

T_SHORT, T_LONG = 20, 50


@dataclass(frozen=True)
class Sizes:
    """Of one model and length of a clip, in bytes."""

    weights: float
    latent: int
    call: int
    call_peak: int
    sound: int
    sound_peak: int


@dataclass(frozen=True)
class Policy:
    """As the module's docstring has it; `budget` in bytes."""

    name: str
    latents: int | None = None
    budget: float | None = None

    def kept(self, size: Sizes, steps: int) -> float:
        every = steps * size.latent
        if self.budget is not None:
            return min(steps * size.call + every, max(self.budget, every))
        if self.latents is not None:
            return min(self.latents, steps) * size.latent
        return steps * size.call if self.name == "store" else every

    def peak(self, size: Sizes, steps: int) -> float:
        kept, one = self.kept(size, steps), max(size.sound_peak, size.call_peak)
        stored = kept + max(size.sound_peak, size.call_peak - size.call)
        if self.budget is not None:
            return stored if kept < self.budget else max(stored, steps * size.latent + size.call_peak)
        if self.name == "store":
            return stored
        return kept + one + (0 if self.latents is None else 2 * size.latent)


def policies(latents: int, budget_gib: float) -> list[Policy]:
    """All of them: `host` is that which keeps no latents on the device."""
    auto = Policy(f"auto, {budget_gib:g} GiB", budget=budget_gib * GIB)
    named = [Policy("store"), Policy("checkpoint"), Policy("host", latents=0), Policy("revolve", latents=latents)]
    return [*named, auto]


def sizes(case: Case) -> Sizes:
    """Go through the pieces of the case's model, for a clip of the case's length."""
    model, ghost = case.model, without_values(case.model)
    x = torch.zeros(1, *model.shape_of(case.options["frames"] or model.clip.frames), device="meta")
    sampler = build(case.options["sampler"], "sampler")
    c, null = (model.encode([text]).to(x.device) for text in ("a song", ""))
    denoiser, t = Denoiser(ghost, c, null, sampler.guidance_scale), sampler.levels(model.schedule)[0].t

    def call(x_t: Tensor) -> Tensor:
        return denoiser(x_t, t)

    (held, _), (_, call_peak) = _observed(call, x), _observed(checkpointed(call), x)
    return Sizes(gib(model) * GIB, x.nbytes, held, call_peak, *_observed(lambda x_0: ghost.wave(x_0).square(), x))


def policy_rows(case: Case, name: str, chosen: list[Policy]) -> list[Row]:
    """Rows of results/memory_policies.csv: the pieces, and every policy at T = 20 and 50. GiB; growth in parts of 1."""
    size, place = sizes(case), where(case)
    frames = case.options["frames"] or case.model.clip.frames
    about = {"model": name, "seconds": round(frames / case.model.clip.frame_rate, 2), "frames": frames}
    code = {key: place[key] for key in ("precision", "torch", "commit")}
    pieces = {f"{metric}_gib": value / GIB for metric, value in vars(size).items()}
    rows = [{**about, "memory": "", "sampler_steps": "", **row(m, v, 1), **code} for m, v in pieces.items()]
    for policy in chosen:
        for steps in (T_SHORT, T_LONG):
            figures = _figures(policy, size, steps)
            part = {**about, "memory": policy.name, "sampler_steps": steps}
            rows += [{**part, **row(metric, value, 1), **code} for metric, value in figures.items()]
    return rows


def growth(policy: Policy, size: Sizes) -> float:
    """Of what is kept, with the step that is run again."""
    short, long = (policy.kept(size, steps) + size.call for steps in (T_SHORT, T_LONG))
    return long / short - 1


def _figures(policy: Policy, size: Sizes, steps: int) -> Mapping[str, float]:
    peak = policy.peak(size, steps)
    figures = {"kept_gib": policy.kept(size, steps), "peak_gib": peak, "with_weights_gib": peak + size.weights}
    return {name: value / GIB for name, value in figures.items()} | {"growth": growth(policy, size)}


def _observed(piece: Piece, x: Tensor) -> tuple[int, int]:
    """Bytes held after the piece has run, and the most of it with its backward pass."""
    x = x.detach().requires_grad_()
    with shapes_only(fused=True), LiveTensors() as live:
        y = piece(x)
        held = live.now
        grads: Any = torch.autograd.grad(y.sum(), x)
        peak = live.peak
        del y, grads
    return held, peak
