"""Sound as CLAP wants it: its own rate, windows without chance, the training data's int16 rounding as an option.

Conventions: a wave no longer than a window stays whole (the model's own extractor repeats and pads it). A longer wave
is cut into ceil(N / L) windows of L samples at even distances, the first at its start, the last at its end; a judge
averages their embeddings of length 1. The tools themselves take one crop at random, so their score is not repeatable.

Legend: N samples, L samples of a window, W windows.
"""

from __future__ import annotations

import math

import numpy as np
import soxr

RULE = "whole clip; above one window: evenly spaced windows from start to end, mean of unit embeddings"
RESAMPLER = "soxr HQ"


def resampled(wave_N: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """A mono wave at `wanted` Hz, float32."""
    return soxr.resample(np.asarray(wave_N, dtype=np.float32), rate, wanted, quality="HQ")


def rounded(wave_N: np.ndarray) -> np.ndarray:
    """Clip to [-1, 1] and drop what 16 bits cannot hold (x 32767, towards zero), as CLAP's training data was stored."""
    steps = np.trunc(np.clip(wave_N, -1.0, 1.0).astype(np.float32) * np.float32(32767))
    return (steps.astype(np.float64) / 32767).astype(np.float32)


def cut(wave_N: np.ndarray, length: int) -> list[np.ndarray]:
    """Windows of `length` samples that cover the wave; the wave itself where it is not longer."""
    count = math.ceil(len(wave_N) / length)
    if count <= 1:
        return [wave_N]
    starts = np.round(np.linspace(0, len(wave_N) - length, count)).astype(int)
    return [wave_N[start : start + length] for start in starts]


def mean_direction(embeddings_WD: np.ndarray) -> np.ndarray:
    """Mean of the rows after each is scaled to length 1 [W, D] -> [D]."""
    rows = np.asarray(embeddings_WD, dtype=np.float64)
    return (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)).mean(0).astype(np.float32)
