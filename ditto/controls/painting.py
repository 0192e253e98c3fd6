"""Painting: parts of the new clip repeat parts of a reference (DITTO, section 4.1; Looping: appendix E).

f(x_0) = M_gen ⊙ x_0, y = M_ref ⊙ x_ref, L = mean squared error over the masked columns, in the units of x_0. Masks
cover whole columns of x_0, all frequencies. Metrics: overlap_mse (that same error) and seam_db, the mean difference in
dB between the mel spectra (128 bands) of the new wave and of the reference's wave inside the masks.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ditto.audio.features import mel_db
from ditto.controls.base import Control, ControlError, Sound
from ditto.controls.reference import reference_waves

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(eq=False)
class Painting(Control):
    """The shared part: which columns of the new clip repeat which columns of the reference.

    reference: `examples` (shipped clips, in turn), an audio file, a folder, or a list of files; start_s: where in it.
    After binding: mask_T [T] (True where the clip is given), x_ref [B, C, F, T] (the reference moved to where the new
    clip repeats it; 0 elsewhere), reference_BN (its wave, not moved).
    """

    reference: str | list[str] = "examples"
    start_s: float = 0.0
    metric = "overlap_mse"

    @abstractmethod
    def regions(self) -> list[tuple[slice, slice]]:
        """Pairs (columns of the new x_0, columns of x_ref) of equal length; ControlError if they don't fit."""

    def frame_regions(self) -> list[tuple[slice, slice]]:
        """The same in analysis frames."""
        k = self.clip.stride
        return [tuple(slice(k * s.start, k * s.stop) for s in pair) for pair in self.regions()]  # type: ignore[misc]

    def make_target(self) -> Tensor:
        self.regions()  # options first: their errors are cheaper than reading sound
        wave_BN = reference_waves(self.reference, self.start_s, self.clip, self.clips).to(self.model.device)
        wave_BN = wave_BN.to(self.model.latent_dtype)
        return self.set_reference(self.model.encode_audio(wave_BN), wave_BN)

    def set_reference(self, x_ref: Tensor, wave_BN: Tensor) -> Tensor:
        """Take an encoded reference and its wave (of a clip's length); returns the target."""
        self.reference_BN = wave_BN
        self.mask_T = torch.zeros(self.clip.latent_frames, dtype=torch.bool, device=x_ref.device)
        for new, _ in self.regions():
            self.mask_T[new] = True
        self._given = self.mask_T.nonzero().squeeze(1)  # indices: a mask would stop a GPU at every step
        self._heard = self.mask_T.repeat_interleave(self.clip.stride).nonzero().squeeze(1)
        self.x_ref = _moved(x_ref, self.regions())
        self._reference_db = _moved(self._mel_db(wave_BN), self.frame_regions())
        return self.x_ref[..., self._given]

    def _mel_db(self, wave_BN: Tensor) -> Tensor:
        return mel_db(wave_BN, self.clip.sample_rate, self.clip.hop, self.clip.window())

    def measure(self, sound: Sound) -> Tensor:
        return sound.x_0[..., self._given]

    def score(self, sound: Sound) -> dict[str, Tensor]:
        db = self._mel_db(sound.wave_BN)
        seam = (db - self._reference_db.to(db)).abs()[..., self._heard].mean((1, 2))
        return super().score(sound) | {"seam_db": seam}

    def plot(self, ax: Axes, position: int, x_0: Tensor, wave_BN: Tensor) -> None:
        """Mean over frequency of the new clip and of the reference, the given columns shaded."""
        mask, times = self.mask_T.cpu().numpy(), self.latent_times()
        achieved = x_0[position].detach().float().mean((0, 1)).cpu().numpy()
        target = self.x_ref[position].float().mean((0, 1)).cpu().numpy()
        target[~mask] = float("nan")
        ax.plot(times, target, color="black", linestyle="--", label="reference")
        ax.plot(times, achieved, label="new clip")
        ax.fill_between(times, 0, 1, where=mask, transform=ax.get_xaxis_transform(), alpha=0.12, label="given")
        ax.set(xlabel="time (s)", ylabel="mean of x_0")
        ax.legend(loc="best", fontsize="small")


def _moved(values: Tensor, regions: list[tuple[slice, slice]]) -> Tensor:
    """[..., T] of the reference to where the new clip repeats them, 0 elsewhere."""
    moved = torch.zeros_like(values)
    for new, old in regions:
        moved[..., new] = values[..., old]
    return moved


def columns_within(control: Control, option: str, seconds: float, longest: int, advice: str, shortest: int = 1) -> int:
    """A duration in whole columns of x_0, between `shortest` and `longest`, or a ControlError."""
    clip = control.clip
    columns = clip.latent_frames_of(seconds)
    if not shortest <= columns <= longest:
        low, high = (bound * clip.latent_hop / clip.sample_rate for bound in (shortest, longest))
        raise ControlError(
            f"{option}={seconds:g} does not fit a clip of {clip.seconds:.2f} s: "
            f"choose {low:.2f} to {high:.2f} s ({advice})"
        )
    return columns
