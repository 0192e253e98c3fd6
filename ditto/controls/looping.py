"""Looping: a clip that leads from a recording's end back to its start (DITTO, section 4.1).

y = the reference's last o seconds at the new clip's start and its first o seconds at the end; loss, metrics and units
as in painting.py. Recording and clip together repeat without a seam.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ditto.controls.painting import Painting, columns_within
from ditto.controls.stitch import close_loop, join


@dataclass(eq=False)
class Looping(Painting):
    """overlap_s: length of each of the two edges."""

    overlap_s: float = 1.0

    def regions(self) -> list[tuple[slice, slice]]:
        total = self.clip.latent_frames
        edge = columns_within(self, "overlap_s", self.overlap_s, (total - 1) // 2, "two edges must fit")
        start, end = slice(0, edge), slice(total - edge, total)
        return [(start, end), (end, start)]

    def finish(self, x_0: Tensor, wave_BN: Tensor) -> Tensor:
        """The loop, [B, N] -> [B, 2 (N - overlap)]: the recording, then the way back to its start."""
        overlap = self.clip.latent_frames_of(self.overlap_s) * self.clip.latent_hop
        return close_loop(join(self.reference_BN.to(wave_BN), wave_BN, overlap), overlap)
