"""DITTO from a DDIM-inversion start (DITTO, appendix D): x_T is the recording's inversion, not random noise.

x_T = invert(x_ref) of `baselines.ddim_inversion`, at w = 1, then any method that begins with an x_T; the paper's is
DITTO with f = identity. The inversion already comes close, so that the optimiser only repairs what it missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from baselines.ddim_inversion import Inverse, recording
from ditto.controls.base import Control
from ditto.memory import count_calls
from ditto.method import Method
from ditto.models.base import MusicModel
from ditto.sampling import Sampler
from ditto.types import Generation


@dataclass(frozen=True)
class FromInversion:
    """method: what begins with the inverted recording; its options are in its own config."""

    method: Method
    inversion_guidance_scale: float = 1.0
    refinements: int = 0

    def __post_init__(self) -> None:
        Inverse(self.inversion_guidance_scale, self.refinements)

    def __call__(
        self,
        model: MusicModel,
        sampler: Sampler,
        control: Control,
        prompts: list[str],
        x_T: Tensor,
        *,
        seeds: Sequence[int],
        progress: bool = True,
    ) -> Generation:
        x_ref = recording(control, "ditto_from_inversion").to(x_T)
        inverse = Inverse(self.inversion_guidance_scale, self.refinements)
        with count_calls(model) as calls:
            x_T = inverse.trajectory(model, sampler, x_ref, model.encode(prompts), progress=progress)[0]
            generation = self.method(model, sampler, control, prompts, x_T, seeds=seeds, progress=progress)
        generation.history.model_calls = calls.count
        return generation
