"""Text-only clips of which every `group` share one x_T: what of a clip does its noise decide? (DITTO, appendix J.)

Compared with text-only clips of the same prompts, whose noise is free: the features that x_T decides vary less within
a group. The clips of seeds [k B, (k + 1) B) start from the noise of seed k B, whatever batch they are made in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from baselines.text_only import TextOnly
from ditto.method import Request
from ditto.noise import noise
from ditto.types import Generation, UserError


@dataclass(frozen=True)
class SharedNoise:
    """group: B, the clips that share their noise; the paper's is 10."""

    group: int = 10

    def __post_init__(self) -> None:
        if self.group < 1:
            raise UserError(f"group={self.group}: give 1 or more")

    def __call__(self, request: Request) -> Generation:
        x_T, first = request.x_T, [seed - seed % self.group for seed in request.seeds]
        return TextOnly()(replace(request, x_T=noise(first, x_T.shape[1:], x_T.device, x_T.dtype)))
