"""How far is the generated sound from the recording it should repeat? (DITTO, section 4.1 and appendix D.)

Both are sound files; frames are compared inside the given regions: pairs (frames of the new clip, frames of the
recording) of equal length. A frame's window reaches 1024 samples to either side, also over a region's edge.

<name>_mel_mse  mean squared difference of the natural logarithm of the mel amplitude (160 bands, the paper's
                spectrogram), nepers²; a run's own overlap_mse is this before the vocoder, in the units of x_0
<db_name>       mean absolute difference of the mel spectra in dB (128 bands, each at most 80 dB under its loudest)

0 is best for both. Legend: N samples, T frames, K frequency bins, F mel bands.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ditto.types import UserError, analysis_window
from eval.control import sound

Regions = Sequence[tuple[slice, slice]]


def validate(wave_N: np.ndarray, reference_N: np.ndarray, rate: int, hop: int, regions: Regions) -> None:
    """UserError unless both are whole frames of equal length and the regions pair frames inside them."""
    frames = len(wave_N) // hop if hop > 0 else 0
    for one in (wave_N, reference_N):
        if sound.validate(one, rate, frames) != hop:
            raise UserError(f"two waves of {len(wave_N)} and {len(reference_N)} samples: give clips of equal length")
    lengths = [(len(range(frames)[new]), len(range(frames)[old])) for new, old in regions]
    if not lengths or any(new != old or not new for new, old in lengths):
        raise UserError(f"the regions have {lengths} frames: pair frames of the clip with as many of the recording")


def mel_mse(power_KT: np.ndarray, reference_KT: np.ndarray, rate: int, regions: Regions) -> float:
    """nepers², from two power spectra."""
    pair = sound.log_mel(power_KT, rate), sound.log_mel(reference_KT, rate)
    return float(np.mean(_differences(*pair, regions) ** 2))


def difference_db(power_KT: np.ndarray, reference_KT: np.ndarray, rate: int, regions: Regions) -> float:
    """dB, from two power spectra."""
    pair = sound.mel_db(power_KT, rate), sound.mel_db(reference_KT, rate)
    return float(np.mean(np.abs(_differences(*pair, regions))))


def evaluate(
    wave_N: np.ndarray,
    reference_N: np.ndarray,
    rate: int,
    hop: int,
    regions: Regions,
    name: str = "overlap",
    db_name: str = "seam_db",
) -> dict[str, float]:
    """Both metrics under the names that the task's own metrics have."""
    validate(wave_N, reference_N, rate, hop, regions)
    window = analysis_window(rate)
    pair = sound.power(wave_N, hop, window), sound.power(reference_N, hop, window)
    return {f"{name}_mel_mse": mel_mse(*pair, rate, regions), db_name: difference_db(*pair, rate, regions)}


def _differences(new_FT: np.ndarray, old_FT: np.ndarray, regions: Regions) -> np.ndarray:
    """New minus recording in all regions, [F, T']."""
    return np.concatenate([new_FT[:, new] - old_FT[:, old] for new, old in regions], axis=1)
