"""Structure: sections that sound alike come back as a form says (DITTO, section 4.2).

f(x_0) = S, the similarity of every frame with every other, (1 + cosine) / 2 of the MFCCs without the first
coefficient, each coefficient centred and scaled over time; then 2-D Savitzky-Golay over two seconds, order 2.
y: 1 where the letters of the form agree. Frames are centred over time, so sections cannot all point away from each
other: with k different letters the lowest similarity all of them can have is a cosine of −1/(k−1), and that is y
where letters differ: 0 for ABA, 1/4 for ABC. y goes through the same smoothing. L = mean (ŷ − y)² over the matrix.
Metric: structure_mse, that same error, from the wave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ditto.audio.features import mfcc, savgol, self_similarity
from ditto.controls.base import Control, ControlError, Sound

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMS = ("ABA", "ABBA", "AAB", "AB", "ABAB")


class SelfSimilarity(Control):
    """The shared part of structure and structure transfer; the smoothing is over `smoothing_s` (0: none)."""

    smoothing_s: float
    n_mfcc: int
    metric = "structure_mse"

    def measure(self, sound: Sound) -> Tensor:
        return self.similarity(sound.wave_BN)

    def similarity(self, wave_BN: Tensor) -> Tensor:
        """[B, N] -> [B, T, T]."""
        clip = self.clip
        return self.smooth(self_similarity(mfcc(wave_BN, clip.sample_rate, clip.hop, self.n_mfcc, clip.window())))

    def smooth(self, similarity_BTT: Tensor) -> Tensor:
        return savgol(similarity_BTT, self.clip.frames_of(self.smoothing_s), axes=(-1, -2))

    def plot(self, ax: Axes, position: int, x_0: Tensor, wave_BN: Tensor) -> None:
        """One matrix: the target above the diagonal, the achieved similarity below."""
        target, achieved = self._achieved(position, x_0, wave_BN)
        shown = torch.tril(torch.from_numpy(achieved)) + torch.triu(torch.from_numpy(target), 1)
        extent = (0, self.clip.seconds, self.clip.seconds, 0)
        ax.imshow(shown.numpy(), vmin=0, vmax=1, extent=extent, cmap="magma")
        for words, place, sides in (("target", 0.96, ("right", "top")), ("achieved", 0.04, ("left", "bottom"))):
            box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5}
            ax.text(place, place, words, transform=ax.transAxes, ha=sides[0], va=sides[1], size="small", bbox=box)
        ax.set(xlabel="time (s)", ylabel="time (s)")


@dataclass(eq=False)
class Structure(SelfSimilarity):
    """form: `auto` (FORMS in turn), or letters for sections of equal length, or a list of such forms."""

    form: str | Sequence[str] = "auto"
    smoothing_s: float = 2.0
    n_mfcc: int = 20

    def make_target(self) -> Tensor:
        forms = FORMS if self.form == "auto" else (self.form,) if isinstance(self.form, str) else tuple(self.form)
        matrices = [form_matrix(forms[request.index % len(forms)], self.clip.frames) for request in self.clips]
        return self.smooth(torch.stack(matrices).to(self.model.latent_dtype))


def form_matrix(form: str, frames: int) -> Tensor:
    """The unsmoothed target of a form, [T, T] in [0, 1]."""
    letters = len(set(form))
    if not form.isalpha() or letters < 2 or len(form) > frames:
        raise ControlError(f"unknown form '{form}': give letters with at least two different ones, such as ABA or AAB")
    labels = torch.tensor([ord(form[frame * len(form) // frames]) for frame in range(frames)])
    return torch.where(labels[:, None] == labels, 1.0, (1 - 1 / (letters - 1)) / 2)
