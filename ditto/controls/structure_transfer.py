"""Structure transfer: the form of a recording, without its sound (DITTO, appendix F).

f, L and metric as in structure.py, but without the 2-D smoothing; y = the self-similarity of the recording.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ditto.controls.reference import reference_waves
from ditto.controls.structure import SelfSimilarity


@dataclass(eq=False)
class StructureTransfer(SelfSimilarity):
    """reference: `examples`, an audio file, a folder, or a list of files; start_s: where in it."""

    reference: str | list[str] = "examples"
    start_s: float = 0.0
    smoothing_s: float = 0.0
    n_mfcc: int = 20

    def make_target(self) -> Tensor:
        wave_BN = reference_waves(self.reference, self.start_s, self.clip, self.clips)
        return self.similarity(wave_BN.to(self.model.latent_dtype))
