"""Added noise: noise the recording as training does, then sample (SDEdit, Meng et al. 2022, arXiv 2108.01073).

    x_{t_0} = √ᾱ_{t_0} x_ref + √(1−ᾱ_{t_0}) ε,   ε the clip's own x_T,   then the sampler's steps from t_0 on.

strength: the share of the chain that is run; 1, the default, begins with the chain's first timestep. The DITTO paper
does not give t_0. Its errors (table 7: nine times those of DDIM inversion at w = 1, nearly the same for every w) fit a
first timestep of leading spacing, t_0 = 950, √ᾱ = 0.08, at which the coarse shape is still there: here, on two
clips, w = 1, T = 20, it has 11 times the error of DDIM inversion (0.52, 0.048); a trailing chain begins at t = 999,
√ᾱ = 5e-5: that is text-only generation (2.4). There strength = 0.95 begins at t_0 = 949 (0.51).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from baselines.ddim_inversion import recording
from ditto.chain import StepContext
from ditto.method import Request, generate
from ditto.sampling import Sampler
from ditto.types import Generation, UserError


@dataclass(frozen=True)
class AddedNoise:
    """Sample the last `strength` of the chain, from the recording with that much noise."""

    strength: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1:
            raise UserError(f"strength={self.strength:g}: give the share of the chain to run, above 0 and up to 1")

    def __call__(self, request: Request) -> Generation:
        x_ref = recording(request.control, "added_noise").to(request.x_T)
        first = self.first_step(request.sampler)

        def skip(context: StepContext) -> Tensor:
            return context.x_t if context.i < first else context.x_prev

        alpha_bar = request.sampler.levels(request.model.schedule)[first].alpha_bar
        x_t = alpha_bar**0.5 * x_ref + (1 - alpha_bar) ** 0.5 * request.x_T
        return generate(replace(request, x_T=x_t), hook=skip)

    def first_step(self, sampler: Sampler) -> int:
        """The step of the chain that is run first: at least one is."""
        first = sampler.steps - max(round(self.strength * sampler.steps), 1)
        if first and sampler.multistep:
            raise UserError("added_noise with strength below 1 needs steps of their own: choose sampler=ddim or ddpm")
        return first
