"""Reference-free looping: two windows of the new clip itself are alike (DITTO, appendix E).

f(x_0) = M_1 ⊙ x_0 − M_2 ⊙ x_0, y = 0, L = mean squared error in the units of x_0; M_1 is the clip's first o seconds,
M_2 its last ones, or earlier for a shorter loop. Metrics: overlap_mse (that error) and seam_db, the mean difference
in dB between the mel spectra (128 bands) of the wave in the two windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ditto.audio.features import mel_db
from ditto.controls.base import Control, Sound
from ditto.controls.painting import columns_within
from ditto.controls.stitch import close_loop

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(eq=False)
class LoopFree(Control):
    """overlap_s: length of the windows, 0.5 in the paper; loop_s: length of the loop (the longest possible if None)."""

    overlap_s: float = 0.5
    loop_s: float | None = None
    metric = "overlap_mse"

    def windows(self) -> tuple[slice, slice]:
        """Columns of x_0."""
        total = self.clip.latent_frames
        overlap = columns_within(self, "overlap_s", self.overlap_s, total // 2, "the paper uses 0.5")
        period = total - overlap
        if self.loop_s is not None:
            period = columns_within(self, "loop_s", self.loop_s, period, "two windows must fit", overlap)
        return slice(0, overlap), slice(period, period + overlap)

    def frame_windows(self) -> tuple[slice, slice]:
        """The same in analysis frames."""
        first, second = self.windows()
        overlap, later = first.stop * self.clip.stride, second.start * self.clip.stride
        return slice(0, overlap), slice(later, later + overlap)

    def make_target(self) -> Tensor:
        shape = self.model.shape_of(self.windows()[0].stop * self.clip.stride)
        return torch.zeros(len(self.clips), *shape, dtype=self.model.latent_dtype)

    def measure(self, sound: Sound) -> Tensor:
        first, second = self.windows()
        return sound.x_0[..., first] - sound.x_0[..., second]

    def score(self, sound: Sound) -> dict[str, Tensor]:
        first, second = self.frame_windows()
        db = mel_db(sound.wave_BN, self.clip.sample_rate, self.clip.hop, self.clip.window())
        difference = db[..., first] - db[..., second]
        return super().score(sound) | {"seam_db": difference.abs().mean((1, 2))}

    def finish(self, x_0: Tensor, wave_BN: Tensor) -> Tensor:
        """One turn of the loop, [B, N] -> [B, loop]."""
        first, second = self.windows()
        return close_loop(wave_BN[:, : second.stop * self.clip.latent_hop], first.stop * self.clip.latent_hop)

    def plot(self, ax: Axes, position: int, x_0: Tensor, wave_BN: Tensor) -> None:
        """Mean over frequency of the clip and of the second window moved to the first, both windows shaded."""
        level = x_0[position].detach().float().mean((0, 1)).cpu().numpy()
        first, second = self.windows()
        times, column_s = self.latent_times(), self.clip.latent_hop / self.clip.sample_rate
        ax.plot(times, level, label="clip")
        ax.plot(times[first], level[second], color="black", linestyle="--", label="second window")
        for window in (first, second):
            ax.axvspan(window.start * column_s, window.stop * column_s, alpha=0.12)
        ax.set(xlabel="time (s)", ylabel="mean of x_0")
        ax.legend(loc="best", fontsize="small")
