"""Does a model copy its training clips? Distances to the nearest of them, beside those of unseen real clips.

nearest_train       mean distance of a clip to its nearest training clip (`eval.diversity.Space`)
nearest_ratio       median of those distances over the median of unseen real clips: under 1 is nearer than real music is
nearest_below_1pc   share of the clips that are nearer than 99 % of the unseen real clips (those: 1 %)
copy_mel_match      highest `mel_match` of the k clips that are nearest to their training clip

mel_match: correlation of two log-mels, each less its bands' means, at the offset in the whole training piece at which
it is highest; 1 is the same sound at any loudness. It finds a copy whose cut is shifted.

A copy must be seen for its absence to mean something: `copies` puts training clips through the vocoder, as a model
that had them by heart would, and measures the same; `copies_found` is the share whose nearest clip is their own origin.

Legend: n clips, F mel bands, T frames of a clip, P frames of a piece.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import fftconvolve

from eval.diversity import nearest
from eval.sets import Row, mean_row, row


@dataclass(frozen=True)
class Neighbours:
    """Training clips and unseen real clips as points [m, D], [n, D]."""

    train: np.ndarray
    real: np.ndarray

    def rows(self, points_nD: np.ndarray) -> list[Row]:
        """nearest_train, nearest_ratio and nearest_below_1pc of a set."""
        real, _ = nearest(self.real, self.train)
        mine, _ = nearest(points_nD, self.train)
        below = (mine < np.quantile(real, 0.01)).astype(float)
        return [
            mean_row("nearest_train", mine),
            row("nearest_ratio", float(np.median(mine) / np.median(real)), len(mine)),
            mean_row("nearest_below_1pc", below),
        ]

    def closest(self, points_nD: np.ndarray, k: int) -> list[tuple[int, int]]:
        """(clip, training clip) of the k clips nearest to theirs, nearest first."""
        mine, which = nearest(points_nD, self.train)
        return [(int(i), int(which[i])) for i in np.argsort(mine, kind="stable")[:k]]


def mel_match(clip_FT: np.ndarray, piece_FP: np.ndarray) -> tuple[float, int]:
    """Highest correlation over the offsets of a clip in a piece (T <= P frames), and that offset in frames."""
    a = clip_FT - clip_FT.mean(1, keepdims=True)
    b = piece_FP - piece_FP.mean(1, keepdims=True)  # changes nothing but the rounding: a has no mean
    frames = a.shape[1]
    overlap = fftconvolve(b, a[:, ::-1], mode="valid", axes=1).sum(0)
    power = (_moving_sum(b**2, frames) - _moving_sum(b, frames) ** 2 / frames).sum(0)
    own = np.square(a).sum()
    match = overlap / np.sqrt(np.maximum(own * power, 1e-3 * own**2 + 1e-9))  # a nearly silent window is no match
    return float(match.max()), int(match.argmax())


def _moving_sum(values_FP: np.ndarray, frames: int) -> np.ndarray:
    """Sums of `frames` neighbours [F, P - frames + 1]."""
    total = np.cumsum(np.pad(values_FP.astype(np.float64), ((0, 0), (1, 0))), 1)
    return total[:, frames:] - total[:, :-frames]
