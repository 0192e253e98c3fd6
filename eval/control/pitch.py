"""The fundamental frequency of each frame, by a tracker that no method optimises: SwiftF0 (eval/control/swift_f0.py).

It is made for one voice; in music with accompaniment it follows what stands out, so the accuracy of a tune stays below
100 % even where the tune is plain to hear. Frames are the clip's own: the tracker's nearest one, at most 8 ms away.

Legend: N samples, T frames.
"""

from __future__ import annotations

import numpy as np
import soxr
import torch

from eval.control import sound, swift_f0

SILENT_PEAK = 1e-3  # no sample near a frame is above it: silence, where the network would still name a pitch


def track(wave_N: np.ndarray, rate: int, hop: int) -> np.ndarray:
    """Fundamental frequency in Hz at each frame, [N] -> [T]; 0 in silence."""
    frames = len(wave_N) // hop if hop > 0 else 0
    sound.validate(wave_N, rate, frames)
    heard = soxr.resample(np.asarray(wave_N, dtype=np.float32), rate, swift_f0.RATE)
    heard = np.pad(heard, (0, max(0, swift_f0.HOP - len(heard))))
    with torch.no_grad():
        found = swift_f0.load()(torch.from_numpy(heard)[None])[0].double().numpy()
    peaks = np.abs(heard[: len(found) * swift_f0.HOP]).reshape(-1, swift_f0.HOP).max(1)
    before = np.pad(peaks[:-1], (1, 0))  # a frame is centred between two hops
    found[np.maximum(before, peaks) < SILENT_PEAK] = 0
    nearest = np.round(np.arange(frames) * hop / rate * swift_f0.RATE / swift_f0.HOP).astype(int)
    return found[np.minimum(nearest, len(found) - 1)]
