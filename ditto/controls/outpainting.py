"""Outpainting: continue a recording; the start of the new clip repeats its end (DITTO, section 4.1).

y = the last o seconds of the reference; loss, metrics and units as in painting.py. Repeated rounds lengthen the
result: each new clip continues the one before.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Self

from torch import Tensor

from ditto.controls.base import ControlError
from ditto.controls.painting import Painting, columns_within
from ditto.controls.stitch import join


@dataclass(eq=False)
class Outpainting(Painting):
    """overlap_s: 1, 2 or 3 in the paper; length_s: repeat until the piece is this long (else `repeats` new clips)."""

    overlap_s: float = 2.0
    repeats: int = 1
    length_s: float | None = None

    def regions(self) -> list[tuple[slice, slice]]:
        total = self.clip.latent_frames
        overlap = columns_within(self, "overlap_s", self.overlap_s, total - 1, "the paper uses 1, 2 and 3")
        return [(slice(0, overlap), slice(total - overlap, total))]

    def total_rounds(self) -> int:
        """How many clips are generated in all."""
        if self.length_s is None:
            if self.repeats < 1:
                raise ControlError(f"repeats={self.repeats} makes no clip: give 1 or more")
            return self.repeats
        each = self.clip.samples - self._overlap()
        return max(1, math.ceil((self.length_s * self.clip.sample_rate - self.clip.samples) / each))

    def make_target(self) -> Tensor:
        self.total_rounds()
        target = super().make_target()
        self.before_BN = self.reference_BN  # all the sound so far
        return target

    def finish(self, x_0: Tensor, wave_BN: Tensor) -> Tensor:
        """Everything so far and the new clip, [B, N] -> [B, N_so_far + N - overlap]."""
        return join(self.before_BN.to(wave_BN), wave_BN, self._overlap())

    def next_round(self, x_0: Tensor, wave_BN: Tensor) -> Self | None:
        if self.round + 1 >= self.total_rounds():
            return None
        following = copy.copy(self)
        following.round = self.round + 1
        following.target = following.set_reference(x_0.detach(), wave_BN.detach())
        following.before_BN = self.finish(x_0, wave_BN).detach()
        return following

    def _overlap(self) -> int:
        """Samples."""
        return self.clip.latent_frames_of(self.overlap_s) * self.clip.latent_hop
