"""DITTO from a DDIM-inversion start (DITTO, appendix D): x_T is the recording's inversion, not random noise.

x_T = invert(x_ref) of `baselines.ddim_inversion`, at w = 1, then any method that begins with an x_T; the paper's is
DITTO with f = identity. The inversion already comes close, so that the optimiser only repairs what it missed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from baselines.ddim_inversion import Inverse, recording
from ditto.memory import count_calls
from ditto.method import Method, Request
from ditto.types import Generation


@dataclass(frozen=True)
class FromInversion:
    """method: what begins with the inverted recording; its options are in its own config."""

    method: Method
    inversion_guidance_scale: float = 1.0
    refinements: int = 0

    def __post_init__(self) -> None:
        Inverse(self.inversion_guidance_scale, self.refinements)

    def __call__(self, request: Request) -> Generation:
        model, x_ref = request.model, recording(request.control, "ditto_from_inversion").to(request.x_T)
        inverse, c = Inverse(self.inversion_guidance_scale, self.refinements), model.encode(request.prompts)
        with count_calls(model) as calls:
            x_T = inverse.trajectory(model, request.sampler, x_ref, c, progress=request.progress)[0]
        generation = self.method(replace(request, x_T=x_T))
        generation.history.model_calls += calls.count
        return generation
