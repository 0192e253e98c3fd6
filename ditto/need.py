"""What a batch takes beside the model, in bytes: estimated from one clip, before the first batch of a run.

    need(B) = B w + kept(B)

kept(B): what the memory policy keeps of a chain for its backward pass, where it says so (`ditto.memory.Auto`: no more
than its budget, however many clips); w: everything else of one clip. Both come from a probe: the method with one
optimisation step, one clip, metrics included. It changes no result (all noise comes from seeds) and costs at most about
3 % of the run: where a run has few steps, the probe's chain is shorter, and what grows with the chain is scaled up.

Before it, a bound that costs one call of the network: if every method's most, several times over, fits, nothing else is
asked. So small models, and few clips, are never probed.

Predicted, for 8 clips and K = 70, and real peak beside the model in MiB: model=embedded (bf16, clips of 6 s) on a CPU,
DDIM, T = 20, CFG, task=intensity, 2026-11-23. At most 5 % less than what a batch took, or too large.

| method, memory        |  1 clip   |   2 clips   |   4 clips   |
|-----------------------|-----------|-------------|-------------|
| ditto, checkpoint     | 145   135 |  290    294 |  579    463 |
| ditto, revolve        | 127   128 |  254    266 |  508    461 |
| ditto, auto, 4 GiB    | 434   437 |  869    884 | 1737   1742 |
| ditto, auto, 1 GiB    | 438   438 |  876    877 | 1420   1455 |
| ditto, auto, 0.25 GiB | 370   366 |  484    493 |  712    737 |

Of text_only and freedom it is one clip's, times the clips: at most 14 % less, or too large (with 1, 2 and 4 clips).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ditto.chain import Denoiser
from ditto.controls.base import Control
from ditto.memory import saved_bytes
from ditto.method import Request
from ditto.models.base import MusicModel
from ditto.noise import noise
from ditto.out_of_memory import is_out_of_memory
from ditto.peak import taken_by
from ditto.records import render
from ditto.sampling import Sampler
from ditto.types import ClipRequest

COST = 0.03  # of the run: what a probe may take
PLENTY = 8.0  # times over: EDICT's pair of latents calls the network twice a step; the rest is margin
_SAMPLING = 1 / 3  # of a step: the final chain has no backward pass


@dataclass(frozen=True)
class Asked:
    """The kind of clips that a run makes: everything that decides what one takes."""

    model: MusicModel
    sampler: Sampler
    method: Any
    control: Control  # not bound
    frames: int

    def bound(self, clip: ClipRequest) -> tuple[Control, Tensor]:
        """Control and x_T [1, C, F, T] of one clip."""
        x_T = noise([clip.seed], self.model.shape_of(self.frames), self.model.device, self.model.latent_dtype)
        return self.control.bind(self.model, [clip], self.frames), x_T


@dataclass(frozen=True)
class Need:
    """need(B) in bytes, as the module's docstring has it."""

    each: float  # w
    policy: Any = None  # a memory policy with `kept_bytes`, as one clip left it
    longer: float = 1.0  # chain of the run / chain of the probe
    at_most: bool = False  # a bound, not an estimate

    def of(self, clips: int) -> float:
        return clips * self.each + (self.policy.kept_bytes(clips, self.longer) if self.policy else 0.0)

    def fitting(self, room: float, clips: int) -> int:
        """The most clips, from 1 to `clips`, that take at most `room` bytes; 1 where not even one does."""
        return next((size for size in range(clips, 1, -1) if self.of(size) <= room), 1)


def bound(asked: Asked, clip: ClipRequest) -> Need:
    """What clips take at most, whatever the method keeps: every step's activations, `PLENTY` times.

    It has run network and loss with gradients: what they load or compile once is not counted by a probe after it.
    """
    control, x_T = asked.bound(clip)
    model, sampler = asked.model, asked.sampler
    denoiser = Denoiser(model, model.encode([clip.prompt]), model.encode([""]), sampler.guidance_scale)
    with torch.enable_grad():
        x_T.requires_grad_()
        with saved_bytes() as step:
            eps = denoiser(x_T, sampler.levels(model.schedule)[0].t)
        with saved_bytes() as feature:
            loss_B = control.loss(x_T - eps)
        loss_B.sum().backward(inputs=[x_T])
    return Need(PLENTY * (sampler.steps * step.bytes + feature.bytes), at_most=True)


def probe(asked: Asked, clip: ClipRequest, clips: int) -> Need | None:
    """The need of batches of a run of `clips` clips; None where the system does not tell what is in use."""
    method, steps = shortened(asked.method)
    policy = next(_policies(asked.method), None)
    chain = _chain(asked.sampler.steps, clips, steps)
    control, x_T = asked.bound(clip)
    request = Request(asked.model, replace(asked.sampler, steps=chain), control, [clip.prompt], x_T, [clip.seed], False)
    taken = taken_by(partial(_make, method, request), asked.model.device)
    if taken is None:
        return None
    longer = asked.sampler.steps / chain if policy else 1.0  # without a policy no step is kept for later ones
    if policy is None or not hasattr(policy, "kept_bytes"):
        return Need(taken * longer)
    return Need(max(taken - policy.kept_bytes(1), 0.0) * longer, copy.copy(policy), longer)


def safely(question: Callable[..., Need | None], *arguments: Any) -> Need | None:
    """The answer, or None where it cannot be had: an estimate must not stop what would run without one.

    Where memory is too small for one clip, the need is without end.
    """
    try:
        return question(*arguments)
    except Exception as error:
        return Need(math.inf) if is_out_of_memory(error) else None


def shortened(method: Any) -> tuple[Any, int]:
    """The method (or the one inside it) with one optimisation step, and how many it had; 0 where it has none."""
    if not is_dataclass(method) or isinstance(method, type):
        return method, 0
    if isinstance(getattr(method, "steps", None), int):
        return replace(method, steps=min(method.steps, 1)), method.steps  # type: ignore[attr-defined]
    for field in fields(method):
        inner, steps = shortened(getattr(method, field.name))
        if steps:
            return replace(method, **{field.name: inner}), steps
    return method, 0


def _policies(method: Any) -> Iterator[Any]:
    """The memory policy of a method, or of one inside it."""
    if is_dataclass(method) and not isinstance(method, type):
        for field in fields(method):
            value = getattr(method, field.name)
            if field.name == "memory":
                yield value
            else:
                yield from _policies(value)


def _chain(length: int, clips: int, steps: int) -> int:
    """The steps of the probe's chain: the whole one where that is little beside the run, at least 2."""
    run, one = clips * (steps + _SAMPLING), min(steps, 1) + _SAMPLING
    return min(length, max(2, round(COST * length * run / one)))


def _make(method: Any, request: Request) -> None:
    generation = method(request)
    render(request.control, generation.x_0, generation.wave_BN)
