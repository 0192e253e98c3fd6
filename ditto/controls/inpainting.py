"""Inpainting: replace the middle of a recording; both sides of the gap are given (DITTO, section 4.1).

y = the reference outside a gap; loss, metrics and units as in painting.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ditto.controls.painting import Painting, columns_within
from ditto.controls.stitch import join

FADE_S = 0.25


@dataclass(eq=False)
class Inpainting(Painting):
    """gap_s: 2, 3 or 4 in the paper, in the middle of the clip; or from gap_start_s on."""

    gap_s: float = 3.0
    gap_start_s: float | None = None

    def gap(self) -> tuple[int, int]:
        """First column of x_0 in the gap and the first one after it; both sides keep at least one."""
        total = self.clip.latent_frames
        length = columns_within(self, "gap_s", self.gap_s, total - 2, "the paper uses 2, 3 and 4")
        if self.gap_start_s is None:
            first = (total - length) // 2
        else:
            first = columns_within(self, "gap_start_s", self.gap_start_s, total - length - 1, f"gap_s={self.gap_s:g}")
        return first, first + length

    def regions(self) -> list[tuple[slice, slice]]:
        first, end = self.gap()
        sides = [slice(0, first), slice(end, self.clip.latent_frames)]
        return [(side, side) for side in sides]

    def finish(self, x_0: Tensor, wave_BN: Tensor) -> Tensor:
        """The recording with the new gap, [B, N]; the crossfades lie outside the gap, next to it."""
        first, end = (column * self.clip.latent_hop for column in self.gap())
        fade = round(FADE_S * self.clip.sample_rate)
        left, right = min(fade, first), min(fade, self.clip.samples - end)
        reference_BN = self.reference_BN.to(wave_BN)
        filled = join(reference_BN[:, :first], wave_BN[:, first - left : end + right], left)
        return join(filled, reference_BN[:, end:], right)
