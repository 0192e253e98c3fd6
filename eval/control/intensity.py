"""Does the loudness follow a curve? (DITTO, section 4.2 and table 3; the feature is Music ControlNet's.)

Curve of a wave: the RMS of 2048 samples around each frame in dB, 10 log10(mean square + 1e-8) so that silence is
-80 dB, smoothed by Savitzky-Golay of order 2 over `smoothing_s`. The target is a curve that is smoothed already.

intensity_mse          mean squared difference over frames, dB² (0 is best)
intensity_correlation  Pearson's ρ over frames, -1..1 (1 is best; 0 where one of the curves is constant)

Both count frames from `from_s` on. Legend: N samples, T frames.
"""

from __future__ import annotations

import librosa
import numpy as np

from ditto.types import UserError, analysis_window
from eval.control import sound

FLOOR = 1e-8  # of the mean square: -80 dB
CONSTANT_DB = 1e-3  # a curve with less than this from its highest to its lowest value has no shape, only rounding


def validate(wave_N: np.ndarray, rate: int, target_T: np.ndarray, from_s: float = 0.0) -> int:
    """The hop in samples; UserError unless wave and target fit and at least two frames count."""
    target_T = np.asarray(target_T)
    if target_T.ndim != 1 or not np.isfinite(target_T).all():
        raise UserError(f"a target curve is finite levels in dB [T], not {list(target_T.shape)}: give one a frame")
    hop = sound.validate(wave_N, rate, target_T.size)
    if not 0 <= round(from_s * rate / hop) < target_T.size - 1:
        raise UserError(f"from_s={from_s:g} leaves no frames of a clip of {wave_N.size / rate:.2f} s: choose less")
    return hop


def curve(wave_N: np.ndarray, rate: int, hop: int, smoothing_s: float = 1.0) -> np.ndarray:
    """Smoothed level of each frame in dB, [N] -> [T]."""
    wave_N = np.asarray(wave_N, dtype=np.float64)
    window = analysis_window(rate)
    rms = librosa.feature.rms(y=wave_N, frame_length=window, hop_length=hop, pad_mode="constant", dtype=np.float64)
    level_T = 10 * np.log10(rms[0, : wave_N.size // hop] ** 2 + FLOOR)
    return sound.smooth(level_T, round(smoothing_s * rate / hop))


def mse(curve_T: np.ndarray, target_T: np.ndarray) -> float:
    """dB²."""
    return float(np.mean((curve_T - target_T) ** 2))


def correlation(curve_T: np.ndarray, target_T: np.ndarray) -> float:
    """Pearson's ρ; 0 where one of the curves is constant."""
    if min(np.ptp(curve_T), np.ptp(target_T)) < CONSTANT_DB:
        return 0.0
    return float(np.corrcoef(curve_T, target_T)[0, 1])


def evaluate(
    wave_N: np.ndarray, rate: int, target_T: np.ndarray, smoothing_s: float = 1.0, from_s: float = 0.0
) -> dict[str, float]:
    """Both metrics of one clip against its target curve in dB."""
    hop = validate(wave_N, rate, target_T, from_s)
    counted = slice(round(from_s * rate / hop), None)
    curve_T, target_T = curve(wave_N, rate, hop, smoothing_s)[counted], np.asarray(target_T, dtype=np.float64)[counted]
    return {"intensity_mse": mse(curve_T, target_T), "intensity_correlation": correlation(curve_T, target_T)}
