"""What models, samplers, controls and methods pass to each other.

Legend for shape suffixes: B clips, C channels, F frequencies of x_T, T frames, L tokens, D features, N samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ditto.errors import NoSpace as NoSpace
from ditto.errors import UndefinedTask as UndefinedTask
from ditto.errors import UserError as UserError


@dataclass(frozen=True)
class ClipSpec:
    """What a model generates, on two grids of time.

    Sound is analysed in `frames` frames, `hop` samples apart, at `sample_rate` Hz: curves, chromagrams and spectra have
    one value a frame. x_T and x_0 have one column every `stride` frames: 1 where the model works on the spectrogram
    itself, more where it works on the latents of an autoencoder. mel_bins: of the model's log-mel, or of its pictures.
    """

    sample_rate: int
    hop: int
    frames: int
    mel_bins: int
    stride: int = 1

    @property
    def samples(self) -> int:
        return self.frames * self.hop

    def window(self, at_22050: int = 2048) -> int:
        """Samples of an analysis window of the given length at 22.05 kHz, see `analysis_window`."""
        return analysis_window(self.sample_rate, at_22050)

    @property
    def latent_frames(self) -> int:
        """T of x_T and x_0."""
        return self.frames // self.stride

    @property
    def latent_hop(self) -> int:
        """Samples between two columns of x_0."""
        return self.hop * self.stride

    @property
    def seconds(self) -> float:
        return self.samples / self.sample_rate

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop

    def frames_of(self, seconds: float) -> int:
        """The number of whole frames nearest to a duration."""
        return round(seconds * self.frame_rate)

    def latent_frames_of(self, seconds: float) -> int:
        """The number of whole columns of x_0 nearest to a duration."""
        return round(seconds * self.frame_rate / self.stride)


def analysis_window(sample_rate: int, at_22050: int = 2048) -> int:
    """Samples at `sample_rate` of a window that is given at 22.05 kHz: 2048 (93 ms) is librosa's and the paper's.

    At other rates the power of two nearest in duration: 2048 at 16 kHz (128 ms), 4096 at 44.1 kHz (93 ms).
    """
    return at_22050 if sample_rate == 22050 else 2 ** round(math.log2(at_22050 * sample_rate / 22050))


@dataclass(frozen=True, eq=False)
class Condition:
    """The encoded prompts of a batch: tensors by name, the clip first in each."""

    tensors: dict[str, Tensor]

    @property
    def batch_size(self) -> int:
        return next(iter(self.tensors.values())).shape[0]

    def __getitem__(self, index: int | slice | Tensor | list[int]) -> Condition:
        """The chosen clips; a single number keeps the batch dimension, a list or tensor may repeat clips."""
        if isinstance(index, int):
            index = slice(index, index + 1 or None)
        return Condition({name: value[index] for name, value in self.tensors.items()})

    def expand(self, batch_size: int) -> Condition:
        """One condition given to `batch_size` clips."""
        return self[[0] * batch_size] if self.batch_size == 1 else self

    def cat(self, other: Condition) -> Condition:
        """Both batches, one after the other. The shorter token sequence (and its mask) is padded with zeros."""
        return Condition({name: _cat_padded(value, other.tensors[name]) for name, value in self.tensors.items()})

    def to(self, device: torch.device | str) -> Condition:
        return Condition({name: value.to(device) for name, value in self.tensors.items()})


def _cat_padded(a: Tensor, b: Tensor) -> Tensor:
    """[B1, L1, ...] and [B2, L2, ...] -> [B1 + B2, max(L1, L2), ...]."""
    if a.dim() > 1 and a.shape[1] != b.shape[1]:
        tokens = max(a.shape[1], b.shape[1])
        a, b = (F.pad(x, (0, 0) * (x.dim() - 2) + (0, tokens - x.shape[1])) for x in (a, b))
    return torch.cat([a, b])


@dataclass(frozen=True)
class ClipRequest:
    """One clip to make; `index` is its position in the run's list (targets may cycle by it)."""

    clip_id: str
    prompt: str
    seed: int
    index: int


@dataclass
class History:
    """What happened while the clips were made.

    rows: one per optimisation step, {"step": k, "loss": [B], "metric": [B], "gradient_norm": [B], "seconds": s}; all of
    them at x_T before the update of step k, the metric is the control's own. A method may leave out what it has not.
    stopped: per clip None (ran to the end) or why and when it stopped. model_calls: calls of `model.denoise`, those of
    recomputation and of the final sampling included. seconds_before: spent by earlier attempts that were interrupted,
    on steps that are among the rows (`ditto.kept`).
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    stopped: list[str | None] = field(default_factory=list)
    model_calls: int = 0
    seconds_before: float = 0.0

    def steps_to(self, threshold: float, clip: int) -> float:
        """The first step at which a clip's loss was at most the threshold; inf if it never was."""
        return next((row["step"] for row in self.rows if row["loss"][clip] <= threshold), math.inf)


@dataclass
class Generation:
    """What a method returns: the initial noise, the clean latent, the sound and how it came about."""

    x_T: Tensor  # [B, C, F, T]
    x_0: Tensor  # [B, C, F, T]
    wave_BN: Tensor  # [B, N]
    history: History
