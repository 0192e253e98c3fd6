"""How much of an optimised x_T* is in its low frequencies? (DITTO, appendix J: x_T encodes low-frequency content.)

    x_T(ρ) = x_T + low_ρ(x_T* − x_T)

The change that DITTO made to the clip's noise is kept in the band up to ρ (`cutoff`) of its two-dimensional
frequencies only (`ditto.bands`), or with `kept: high` above it only; then the clip is sampled without optimisation.
ρ = 1 gives DITTO's clip, ρ = 0 nearly the text-only one. No update rule of the paper's: a measurement of ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from baselines.optimised_noise import optimised_noise
from baselines.text_only import TextOnly
from ditto.bands import low_band
from ditto.method import Request
from ditto.types import Generation, UserError

KEPT = ("low", "high")


@dataclass(frozen=True)
class LowBand:
    """run: directory of the run whose x_T* are taken, null: nothing is changed; cutoff ρ in 0..1; kept: low or high."""

    run: str | None = None
    cutoff: float = 0.1
    kept: str = "low"

    def __post_init__(self) -> None:
        if not 0 <= self.cutoff <= 1:
            raise UserError(f"cutoff={self.cutoff}: give a share of the highest frequency, 0 to 1")
        if self.kept not in KEPT:
            raise UserError(f"kept={self.kept}: choose {' or '.join(KEPT)}")

    def __call__(self, request: Request) -> Generation:
        x_T = request.x_T
        if self.run is not None:
            change = optimised_noise(Path(self.run), request).to(x_T) - x_T
            low = low_band(change, self.cutoff)
            x_T = x_T + (low if self.kept == "low" else change - low)
        return TextOnly()(replace(request, x_T=x_T))
