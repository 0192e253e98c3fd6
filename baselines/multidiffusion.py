"""MultiDiffusion: two overlapping paths agree on their average (Bar-Tal et al. 2023, arXiv 2302.08113).

Fusing paths by least squares (their equation 3) has a closed form (equation 5): every frame becomes the mean of the
steps that the paths covering it have taken. With a recording as the second path, in the frames M that it gives,

    x_{t−1} ← ½ x_{t−1} + ½ (√ᾱ_{t−1} x_ref + √(1−ᾱ_{t−1}) ε),   ε = x_T,

and where two windows of the clip itself shall be alike (task=loop_free), both become their mean: the clip is one
closed path. The paths share their first noise, as the crops of one x_T do in the paper; the mean of independent
noises would have half the variance that the network expects. Hence ε = x_T, and the two windows of a loop start alike.

`guided_fraction` of the steps, from the first one on, is averaged: 1 is the DITTO paper's MD, 0.5 its MD-50 (section
4). The last step averages too, so the overlap of MD is half way between the model's wish and the recording. For long
clips out of overlapping windows see windows.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from baselines.defined import require
from baselines.masking import masked_step
from ditto.chain import StepContext
from ditto.controls.base import Control
from ditto.controls.loop_free import LoopFree
from ditto.controls.painting import Painting
from ditto.method import Request, generate
from ditto.types import Generation, UserError

KINDS: tuple[type[Control], ...] = (Painting, LoopFree)
TASKS = "outpainting, inpainting, looping or loop_free"
Path = Callable[[StepContext], Tensor]  # x_{t−1} [B, C, F, T] of the other path; the chain's own where it has none


@dataclass(frozen=True)
class MultiDiffusion:
    """guided_fraction: in [0, 1], of the steps. UndefinedTask where no frames are given."""

    guided_fraction: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.guided_fraction <= 1:
            raise UserError(f"guided_fraction={self.guided_fraction}: give 0 (no step is averaged) to 1 (every step)")

    def __call__(self, request: Request) -> Generation:
        control = require(request.control, KINDS, "multidiffusion", TASKS)
        x_T, other = self._other_path(control, request.x_T.detach())

        def hook(context: StepContext) -> Tensor:
            if context.i / context.steps >= self.guided_fraction:
                return context.x_prev
            return (context.x_prev + other(context)) / 2

        return generate(replace(request, x_T=x_T), hook=hook)

    def _other_path(self, control: Control, x_T: Tensor) -> tuple[Tensor, Path]:
        """The path to agree with, and the noise that both start from."""
        if isinstance(control, LoopFree):
            first, second = control.windows()
            if self.guided_fraction > 0:
                x_T = x_T.clone()
                x_T[..., second] = x_T[..., first]
            return x_T, lambda context: swap(context.x_prev, first, second)
        assert isinstance(control, Painting)
        return x_T, lambda context: masked_step(context, control, x_T)


def swap(x: Tensor, first: slice, second: slice) -> Tensor:
    """[B, C, F, T] with two windows of frames exchanged."""
    swapped = x.clone()
    swapped[..., first], swapped[..., second] = x[..., second], x[..., first]
    return swapped
