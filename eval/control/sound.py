"""What all control metrics take: a mono wave in whole frames, and its mel spectra.

Conventions are librosa's: centred frames, zero padding, Hann window; frame t is centred on sample t * hop, so a wave of
N samples has T = N / hop frames (librosa's last one, centred on the end, is left out).

Legend: N samples, T frames, K frequency bins, M mel bands.
"""

from __future__ import annotations

from functools import lru_cache

import librosa
import numpy as np

from ditto.types import UserError

N_FFT = 2048
BANDS = 128  # of mel_db
MODEL_BANDS, LOWEST_HZ, FLOOR = 160, 20.0, 1e-5  # of log_mel: the paper's spectrogram
RANGE_DB = 80.0


def validate(wave_N: np.ndarray, rate: int, frames: int) -> int:
    """The samples between two frames; UserError unless the wave is finite, mono and of `frames` whole frames."""
    wave_N = np.asarray(wave_N)
    if wave_N.ndim != 1 or not np.issubdtype(wave_N.dtype, np.floating):
        raise UserError(f"a wave is a floating array [N], not {wave_N.dtype} {list(wave_N.shape)}: mix it to mono")
    if rate <= 0:
        raise UserError(f"a sample rate of {rate} Hz: give the rate of the sound file")
    if not np.isfinite(wave_N).all():
        raise UserError("the wave holds NaN or infinity: make the clip again")
    if not frames or not wave_N.size or wave_N.size % frames:
        raise UserError(
            f"a wave of {wave_N.size} samples is not {frames} whole frames: give the clip that the target was made for"
        )
    return wave_N.size // frames


def power(wave_N: np.ndarray, hop: int, n_fft: int = N_FFT) -> np.ndarray:
    """|STFT|², [N] -> [K, T], float64."""
    stft = librosa.stft(np.asarray(wave_N, dtype=np.float64), n_fft=n_fft, hop_length=hop, pad_mode="constant")
    return np.abs(stft[:, : wave_N.size // hop]) ** 2


def mel_db(power_KT: np.ndarray, rate: int) -> np.ndarray:
    """Power mel spectrum in dB, [K, T] -> [128, T], at most 80 dB under the clip's loudest value."""
    bank_MK = _bank(rate, 2 * (len(power_KT) - 1), BANDS, 0.0)
    return librosa.power_to_db(bank_MK @ power_KT, top_db=RANGE_DB)


def log_mel(power_KT: np.ndarray, rate: int) -> np.ndarray:
    """Natural logarithm of the mel amplitude over 1e-5, [K, T] -> [160, T]: the spectrogram of the paper's model."""
    bank_MK = _bank(rate, 2 * (len(power_KT) - 1), MODEL_BANDS, LOWEST_HZ)
    return np.log(np.maximum(bank_MK @ np.sqrt(power_KT), FLOOR))


@lru_cache(maxsize=8)
def _bank(rate: int, n_fft: int, bands: int, lowest_hz: float) -> np.ndarray:
    return librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=bands, fmin=lowest_hz, dtype=np.float64)


def smooth(x: np.ndarray, window: int, axis: int = -1) -> np.ndarray:
    """Savitzky-Golay of order 2; the window is made odd and at most as long as the axis, below 3 it changes nothing."""
    window = min(window, x.shape[axis])
    window -= 1 - window % 2
    if window < 3:
        return x
    from scipy.signal import savgol_filter  # a second to load, which --help need not wait for

    return savgol_filter(x, window, 2, axis=axis, mode="interp")
