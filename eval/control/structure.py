"""Do sections that should sound alike do so? (DITTO, section 4.2, appendix F and table 3.)

Similarity of two frames: (1 + cosine) / 2 of their MFCCs 2 to 20, each coefficient centred and scaled over the clip;
the matrix is smoothed by Savitzky-Golay of order 2 over `smoothing_s` along both axes (0: not at all). The target is a
matrix that is smoothed already.

structure_mse  mean squared difference over the whole matrix, no unit (0 is best)

Legend: N samples, T frames, D coefficients.
"""

from __future__ import annotations

import numpy as np

from ditto.types import UserError, analysis_window
from eval.control import sound

EPS = 1e-6


def validate(wave_N: np.ndarray, rate: int, target_TT: np.ndarray) -> int:
    """The hop in samples; UserError unless the target is a finite square matrix with the wave's frames."""
    target_TT = np.asarray(target_TT)
    if target_TT.ndim != 2 or len(set(target_TT.shape)) != 1 or not np.isfinite(target_TT).all():
        raise UserError(f"a target is a finite matrix [T, T], not {list(target_TT.shape)}: give one row a frame")
    return sound.validate(wave_N, rate, len(target_TT))


def mfcc(wave_N: np.ndarray, rate: int, hop: int, n_mfcc: int = 20) -> np.ndarray:
    """Orthonormal DCT-II of the 128-band dB spectrum without its first coefficient, [N] -> [n_mfcc - 1, T]."""
    from scipy.fft import dct  # a second to load, which --help need not wait for

    return dct(sound.mel_db(sound.power(wave_N, hop, analysis_window(rate)), rate), axis=0, norm="ortho")[1:n_mfcc]


def similarity(mfcc_DT: np.ndarray) -> np.ndarray:
    """How alike two frames are, [D, T] -> [T, T]: 1 the same, 0 opposite, 1/2 unrelated."""
    scaled = mfcc_DT - mfcc_DT.mean(1, keepdims=True)
    scaled = scaled / np.sqrt(np.mean(scaled**2, axis=1, keepdims=True) + EPS)
    unit = scaled / np.sqrt(np.sum(scaled**2, axis=0, keepdims=True) + EPS)
    return (1 + unit.T @ unit) / 2


def matrix(wave_N: np.ndarray, rate: int, hop: int, smoothing_s: float = 2.0, n_mfcc: int = 20) -> np.ndarray:
    """Smoothed self-similarity of a wave, [N] -> [T, T]."""
    window = round(smoothing_s * rate / hop)
    similarity_TT = similarity(mfcc(wave_N, rate, hop, n_mfcc))
    return sound.smooth(sound.smooth(similarity_TT, window, axis=0), window, axis=1)


def mse(matrix_TT: np.ndarray, target_TT: np.ndarray) -> float:
    return float(np.mean((matrix_TT - target_TT) ** 2))


def evaluate(
    wave_N: np.ndarray, rate: int, target_TT: np.ndarray, smoothing_s: float = 2.0, n_mfcc: int = 20
) -> dict[str, float]:
    """The metric of one clip against its target matrix."""
    hop = validate(wave_N, rate, target_TT)
    return {"structure_mse": mse(matrix(wave_N, rate, hop, smoothing_s, n_mfcc), np.asarray(target_TT))}
