"""Intensity: loudness follows a curve (DITTO, section 4.2 and appendix C; features of Music ControlNet).

f(x_0) = w ∗ 20 log10 RMS(V(x_0)) in dB per frame, w = Savitzky-Golay smoothing over one second, order 2;
L = mean (ŷ − y)² in dB², or 1 − ρ with Pearson's ρ (the paper's −ρ up to a constant). The target curve goes through
the same w. Metrics: intensity_mse (dB²) and intensity_correlation (−1..1), both from the wave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ditto.audio.features import correlation, rms_db, savgol
from ditto.controls.base import Control, ControlError, Sound, mean_squared_error
from ditto.controls.curves import SHAPES, csv_curve, points_curve, shape_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOSSES = ("mse", "correlation")


@dataclass(eq=False)
class Intensity(Control):
    """curve: `auto` (the shapes of curves.py in turn), a shape, a .csv file (time_s, dB), or levels in dB.

    low_db, high_db: the range of the shapes; 80 % of the frames of music whose peaks are -9..-1 dB lie between -37 and
    -18 dB.
    objective: mse or correlation. from_s: frames before it don't count (the overlap, when combined with outpainting).
    """

    curve: str | Sequence[float] = "auto"
    low_db: float = -32.0
    high_db: float = -16.0
    smoothing_s: float = 1.0
    objective: str = "mse"
    from_s: float = 0.0

    def __post_init__(self) -> None:
        self.higher_is_better = self.objective == "correlation"
        self.metric = "intensity_correlation" if self.higher_is_better else "intensity_mse"

    def make_target(self) -> Tensor:
        if self.objective not in LOSSES:
            raise ControlError(f"unknown intensity loss '{self.objective}': choose {' or '.join(LOSSES)}")
        if not 0 <= self.from_s < self.clip.seconds:
            raise ControlError(f"from_s={self.from_s:g} lies outside the clip of {self.clip.seconds:.2f} s")
        curves = np.stack([self._curve(request.index) for request in self.clips])
        return self.smooth(torch.tensor(curves, dtype=self.model.latent_dtype))

    def _curve(self, index: int) -> np.ndarray:
        """The unsmoothed target of one clip in dB, [T]."""
        frames = self.clip.frames
        if not isinstance(self.curve, str):
            return points_curve([float(level) for level in self.curve], frames)
        if self.curve.endswith(".csv"):
            return csv_curve(self.curve, self.times(), self.clip.seconds)
        name = list(SHAPES)[index % len(SHAPES)] if self.curve == "auto" else self.curve
        return shape_curve(name, frames, self.low_db, self.high_db)

    def smooth(self, db_BT: Tensor) -> Tensor:
        """w ∗ dB, [B, T] -> [B, T]."""
        return savgol(db_BT, self.clip.frames_of(self.smoothing_s))

    def measure(self, sound: Sound) -> Tensor:
        return self.smooth(rms_db(sound.wave_BN, self.clip.hop, self.clip.window()))

    def distance(self, y_hat: Tensor, y: Tensor) -> Tensor:
        y_hat, y = self._counted(y_hat), self._counted(y)
        return 1 - correlation(y_hat, y) if self.objective == "correlation" else mean_squared_error(y_hat, y)

    def rating(self, y_hat: Tensor, y: Tensor) -> Tensor:
        """ρ, or the mean squared error: what the objective is."""
        counted = self._counted(y_hat), self._counted(y)
        return correlation(*counted) if self.objective == "correlation" else mean_squared_error(*counted)

    def score(self, sound: Sound) -> dict[str, Tensor]:
        y_hat = self.measure(sound)
        y_hat, y = self._counted(y_hat), self._counted(self.target.to(y_hat))
        return {"intensity_mse": mean_squared_error(y_hat, y), "intensity_correlation": correlation(y_hat, y)}

    def _counted(self, db_BT: Tensor) -> Tensor:
        return db_BT[:, self.clip.frames_of(self.from_s) :]

    def plot(self, ax: Axes, position: int, x_0: Tensor, wave_BN: Tensor) -> None:
        target, achieved = self._achieved(position, x_0, wave_BN)
        first = self.clip.frames_of(self.from_s)
        ax.plot(self.times()[first:], target[first:], color="black", linestyle="--", label="target")
        ax.plot(self.times(), achieved, label="achieved")
        ax.set(xlabel="time (s)", ylabel="intensity (dB)")
        ax.legend(loc="best", fontsize="small")
