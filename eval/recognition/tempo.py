"""The tempo of a clip, and whether it is the one that was asked for.

Estimator: `librosa.feature.tempo` with its own defaults: the highest of the onset strength's autocorrelation, weighted
by a log-normal prior around 120 beats per minute (Ellis, "Beat Tracking by Dynamic Programming", JNMR 2007). It has no
weights and knows nothing of this repository's labels.
Scores: within 8 %; and `octave`, half or double the tempo counts too, as people also disagree about which of them
is the beat (Gouyon et al., "An Experimental Comparison of Audio Tempo Induction Algorithms", IEEE TASLP 2006).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

VERSION = "1"  # raise it when the estimator changes: it is part of the cache's name
TOLERANCE = 0.08
OCTAVES = (0.5, 1.0, 2.0)


def estimate(wave_N: np.ndarray, rate: int) -> float:
    """Beats per minute of a mono wave."""
    import librosa

    return float(librosa.feature.tempo(y=np.asarray(wave_N, dtype=np.float32), sr=rate)[0])


def hits(heard: ArrayLike, wanted: ArrayLike, factors: Sequence[float] = (1.0,)) -> np.ndarray:
    """1 where the tempo heard is within 8 % of one of factor x wanted, else 0 [n]; beats per minute."""
    ratio = np.asarray(heard, dtype=float)[:, None] / (np.asarray(wanted, dtype=float)[:, None] * np.array(factors))
    return (np.abs(ratio - 1) <= TOLERANCE + 1e-9).any(1).astype(float)
