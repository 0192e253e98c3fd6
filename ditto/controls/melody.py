"""Melody: the strongest pitch class above middle C follows a tune (DITTO, section 4.2; features of Music ControlNet).

f(x_0) = log C(V(x_0)), C the 12-class chromagram after a high-pass, each frame a distribution; y = the pitch class of
each frame, one-hot, no class where the tune rests; L = mean negative log likelihood (nats) over frames that have one.
Metric: melody_accuracy, the percentage of those frames whose strongest class is the target, from the wave. On 24
rendered pieces with a lead, the piece's own tune scores 60 %, another piece's 11 % (the same for windows of 2048 to
8192 samples).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ditto.audio.features import MIDDLE_C_HZ, chroma
from ditto.controls.base import Control, ControlError, Sound
from ditto.controls.tunes import SILENT, example_melodies, pitch_classes, read_melody

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


@dataclass(eq=False)
class Melody(Control):
    """melody: `auto` (the shipped test tunes in turn), a MIDI file, or a recording of one voice; or a list of these.

    smoothing_s: the chromagram is averaged over this long; n_fft: its window in samples at 22.05 kHz, and as long at
    other rates.
    """

    melody: str | Sequence[str] = "auto"
    smoothing_s: float = 0.1
    n_fft: int = 2048
    cutoff_hz: float = MIDDLE_C_HZ
    metric = "melody_accuracy"
    higher_is_better = True

    def make_target(self) -> Tensor:
        classes_BT = torch.from_numpy(np.stack(self._melodies()))
        one_hot_BTP = F.one_hot(classes_BT.clamp(min=0), 12) * (classes_BT != SILENT).unsqueeze(-1)
        return one_hot_BTP.mT.to(self.model.latent_dtype)

    def _melodies(self) -> list[np.ndarray]:
        if self.melody == "auto":
            tunes = [pitch_classes(notes, self.clip) for notes in example_melodies()]
        else:
            paths = [self.melody] if isinstance(self.melody, str) else list(self.melody)
            if not paths:
                raise ControlError("the list of melodies is empty: choose auto, a .mid file or a recording")
            tunes = [read_melody(path, self.clip) for path in paths]
        return [tunes[request.index % len(tunes)] for request in self.clips]

    def measure(self, sound: Sound) -> Tensor:
        clip, window = self.clip, self.clip.frames_of(self.smoothing_s)
        share = chroma(sound.wave_BN, clip.sample_rate, clip.hop, clip.window(self.n_fft), self.cutoff_hz, window)
        return torch.log(share)

    def distance(self, y_hat: Tensor, y: Tensor) -> Tensor:
        return -(y * y_hat).sum((1, 2)) / y.sum((1, 2)).clamp(min=1)

    def rating(self, y_hat: Tensor, y: Tensor) -> Tensor:
        """Percentage of the voiced frames whose strongest class is the target's."""
        voiced = y.sum(1)
        right = (y_hat.argmax(1) == y.argmax(1)) * voiced
        return 100 * right.sum(1) / voiced.sum(1).clamp(min=1)

    def score(self, sound: Sound) -> dict[str, Tensor]:
        y_hat = self.measure(sound)
        y = self.target.to(y_hat)
        return {"melody_accuracy": self.rating(y_hat, y), "melody_nll": self.distance(y_hat, y)}

    def plot(self, ax: Axes, position: int, x_0: Tensor, wave_BN: Tensor) -> None:
        """The chromagram as an image, the tune as dots."""
        target, achieved = self._achieved(position, x_0, wave_BN)
        end = self.clip.seconds
        ax.imshow(np.exp(achieved), origin="lower", aspect="auto", extent=(0, end, -0.5, 11.5), cmap="Greys")
        classes = np.where(target.sum(0) > 0, target.argmax(0), np.nan)
        ax.plot(self.times(), classes, ".", color="tab:red", markersize=3, label="target")
        ax.set(xlabel="time (s)", ylabel="pitch class", yticks=range(12), yticklabels=NAMES)
        ax.legend(loc="upper right", fontsize="small")
