"""Inversion: find the noise that generates a given recording (DITTO, appendix D).

f = identity, y = x_ref, L = mean (x_0 − x_ref)² in the units of x_0. Metrics: reconstruction_mse (that error) and
reconstruction_db, the mean difference in dB between the mel spectra (128 bands) of the two waves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from ditto.audio.features import mel_db
from ditto.controls.base import Control, Sound
from ditto.controls.reference import reference_waves

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(eq=False)
class Inversion(Control):
    """reference: `examples`, an audio file, a folder, or a list of files; start_s: where in it."""

    reference: str | list[str] = "examples"
    start_s: float = 0.0
    metric = "reconstruction_mse"

    def make_target(self) -> Tensor:
        wave_BN = reference_waves(self.reference, self.start_s, self.clip, self.clips).to(self.model.device)
        self.reference_BN = wave_BN.to(self.model.latent_dtype)
        return self.model.encode_audio(self.reference_BN)

    def measure(self, sound: Sound) -> Tensor:
        return sound.x_0

    def score(self, sound: Sound) -> dict[str, Tensor]:
        grid = self.clip.sample_rate, self.clip.hop, self.clip.window()
        difference = mel_db(sound.wave_BN, *grid) - mel_db(self.reference_BN.to(sound.wave_BN), *grid)
        return super().score(sound) | {"reconstruction_db": difference.abs().mean((1, 2))}

    def plot(self, ax: Axes, position: int, x_0: Tensor, wave_BN: Tensor) -> None:
        """Mean over frequency of the recording and of the generated clip."""
        target, achieved = self._achieved(position, x_0, wave_BN)
        ax.plot(self.latent_times(), target.mean((0, 1)), color="black", linestyle="--", label="recording")
        ax.plot(self.latent_times(), achieved.mean((0, 1)), label="generated")
        ax.set(xlabel="time (s)", ylabel="mean of x_0")
        ax.legend(loc="best", fontsize="small")
