"""Differentiable sound features in torch, batched over clips.

Conventions are librosa's: centred frames with zero padding, Hann window, power spectra. Only the frame count differs: a
wave of N samples gives exactly T = N / hop frames (frame t is centred on sample t*hop), librosa's last one is left out.

Agreement with librosa 0.11 and scipy in float32, on synthetic and real music (asserted by tests/test_features.py): in
frames above -50 dB RMS 0.01 dB and chroma 1e-3; everywhere Savitzky-Golay 1e-4, power spectrum 1e-4 of its maximum,
MFCC 0.05 (their range is hundreds), spectral centroid 1 Hz. Everything also runs in float64, and gradients stay finite
on an all-zero wave.

Shapes: B clips, N samples, T frames, K frequency bins, M mel bands, D dimensions of a frame.

librosa and scipy give constants only, and are imported where those are made: they take a second or two to load.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

RMS_FRAME = 2048  # samples: librosa.feature.rms
RMS_FLOOR_DB = -80.0
MIDDLE_C_HZ = 261.6  # Music ControlNet keeps what sounds above middle C (arXiv 2311.07069)
POWER_FLOOR = 1e-10  # librosa.power_to_db(amin)
DYNAMIC_RANGE_DB = 80.0  # librosa.power_to_db(top_db)


def validate(wave_BN: Tensor, hop: int) -> None:
    """Raise ValueError unless the wave is a floating [B, N] batch of whole frames."""
    if wave_BN.ndim != 2 or not wave_BN.is_floating_point():
        raise ValueError(f"a wave is a floating tensor [B, N], not {wave_BN.dtype} {list(wave_BN.shape)}")
    if wave_BN.shape[1] == 0 or wave_BN.shape[1] % hop:
        raise ValueError(f"a wave of {wave_BN.shape[1]} samples is not a whole number of {hop}-sample frames")


def rms_db(wave_BN: Tensor, hop: int, frame: int = RMS_FRAME, floor_db: float = RMS_FLOOR_DB) -> Tensor:
    """Level of each frame in dB, [B, N] -> [B, T]: 20 log10 of `librosa.feature.rms`, over a soft floor."""
    validate(wave_BN, hop)
    padded = F.pad(wave_BN.square(), (frame // 2, frame // 2))
    mean_square_BT = F.avg_pool1d(padded.unsqueeze(1), frame, hop).squeeze(1)[:, : wave_BN.shape[1] // hop]
    return 10 * torch.log10(mean_square_BT + 10 ** (floor_db / 10))


def _constant(values: np.ndarray, like: tuple[torch.dtype, torch.device]) -> Tensor:
    with torch.inference_mode(False):  # it is cached, so it must serve autograd whoever asked first
        return torch.from_numpy(np.ascontiguousarray(values)).to(dtype=like[0], device=like[1])


def _like(x: Tensor) -> tuple[torch.dtype, torch.device]:
    return x.dtype, x.device


@lru_cache(maxsize=64)
def _savgol_matrix(length: int, window: int, order: int, mode: str, like: tuple) -> Tensor:
    from scipy.signal import savgol_filter

    return _constant(savgol_filter(np.eye(length), window, order, axis=0, mode=mode), like)


def savgol(x: Tensor, window: int, order: int = 2, mode: str = "interp", axes: tuple[int, ...] = (-1,)) -> Tensor:
    """`scipy.signal.savgol_filter` along each of `axes`; the shape stays.

    The filter is linear, so it is applied as its T x T matrix: every edge mode of scipy holds exactly. The window is
    made odd, and shortened to the axis where that is shorter; a window no longer than the order leaves x as it is.
    """
    for axis in axes:
        length = x.shape[axis]
        fitted = min(window, length)
        fitted -= 1 - fitted % 2
        if fitted <= order:
            continue
        matrix = _savgol_matrix(length, fitted, order, mode, _like(x))
        x = (matrix @ x.movedim(axis, -2)).movedim(-2, axis) if x.ndim > 1 else matrix @ x
    return x


@lru_cache(maxsize=16)
def _hann(length: int, like: tuple) -> Tensor:
    from scipy.signal import get_window

    return _constant(get_window("hann", length), like)


def power_spectrum(wave_BN: Tensor, hop: int, n_fft: int = 2048) -> Tensor:
    """|STFT|^2, [B, N] -> [B, K, T] with K = n_fft / 2 + 1."""
    validate(wave_BN, hop)
    window = _hann(n_fft, _like(wave_BN))
    # N samples of whole frames give T + 1 centred frames; the padding is explicit, so that short waves work too.
    padded = F.pad(wave_BN, (n_fft // 2, n_fft // 2))
    stft = torch.stft(padded, n_fft, hop, window=window, center=False, return_complex=True)
    return (stft.real.square() + stft.imag.square())[..., : wave_BN.shape[1] // hop]


def magnitude(wave_BN: Tensor, hop: int, n_fft: int = 2048) -> Tensor:
    """|STFT|, [B, N] -> [B, K, T]; the square root is kept from zero by 1e-12 in power."""
    return torch.sqrt(power_spectrum(wave_BN, hop, n_fft) + 1e-12)


def _frequencies(sample_rate: int, n_fft: int) -> np.ndarray:
    return np.fft.rfftfreq(n_fft, 1 / sample_rate)


@lru_cache(maxsize=16)
def _chroma_bank(sample_rate: int, n_fft: int, cutoff_hz: float, like: tuple) -> Tensor:
    import librosa

    bank = librosa.filters.chroma(sr=sample_rate, n_fft=n_fft, tuning=0.0)
    return _constant(bank * highpass_gain(_frequencies(sample_rate, n_fft), cutoff_hz, sample_rate) ** 2, like)


def highpass_gain(hz: np.ndarray, cutoff_hz: float, sample_rate: int, q: float = 2**-0.5) -> np.ndarray:
    """|H| of the second-order high-pass of the RBJ audio cookbook (12 dB an octave), at each frequency."""
    omega = 2 * np.pi * cutoff_hz / sample_rate
    alpha, cos = np.sin(omega) / (2 * q), np.cos(omega)
    z = np.exp(-2j * np.pi * np.asarray(hz) / sample_rate)
    numerator = (1 + cos) / 2 * (1 - 2 * z + z**2)
    return np.abs(numerator / ((1 + alpha) - 2 * cos * z + (1 - alpha) * z**2))


def chroma(
    wave_BN: Tensor, sample_rate: int, hop: int, n_fft: int = 2048, cutoff_hz: float = MIDDLE_C_HZ, window: int = 1
) -> Tensor:
    """Share of each pitch class (0 = C) in a frame's energy above the cut-off, [B, N] -> [B, 12, T]; columns sum to 1.

    The high-pass is applied to the power spectrum (zero phase); `window` frames are averaged; silence is 1/12 each.
    """
    power_BKT = power_spectrum(wave_BN, hop, n_fft)
    energy = _chroma_bank(sample_rate, n_fft, cutoff_hz, _like(power_BKT)) @ power_BKT
    energy = savgol(energy, window, order=0, mode="nearest") + 1e-6
    return energy / energy.sum(1, keepdim=True)


@lru_cache(maxsize=16)
def _mel_bank(sample_rate: int, n_fft: int, n_mels: int, like: tuple) -> Tensor:
    import librosa

    return _constant(librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels, dtype=np.float64), like)


def mel_db(wave_BN: Tensor, sample_rate: int, hop: int, n_fft: int = 2048, n_mels: int = 128) -> Tensor:
    """Power mel spectrum in dB, [B, N] -> [B, M, T], at most 80 dB under the clip's loudest value, as librosa's."""
    power_BKT = power_spectrum(wave_BN, hop, n_fft)
    mel_BMT = _mel_bank(sample_rate, n_fft, n_mels, _like(power_BKT)) @ power_BKT
    db = 10 * torch.log10(mel_BMT.clamp(min=POWER_FLOOR))
    return torch.maximum(db, db.amax((1, 2), keepdim=True) - DYNAMIC_RANGE_DB)


@lru_cache(maxsize=16)
def _dct_matrix(n_mels: int, n_mfcc: int, like: tuple) -> Tensor:
    from scipy.fft import dct

    return _constant(dct(np.eye(n_mels), axis=0, norm="ortho")[:n_mfcc], like)


def mfcc_of(db_BMT: Tensor, n_mfcc: int = 20) -> Tensor:
    """Orthonormal DCT-II over the bands of a dB spectrum, [B, M, T] -> [B, n_mfcc - 1, T]: no first coefficient."""
    return (_dct_matrix(db_BMT.shape[1], n_mfcc, _like(db_BMT)) @ db_BMT)[:, 1:]


def mfcc(wave_BN: Tensor, sample_rate: int, hop: int, n_mfcc: int = 20, n_fft: int = 2048) -> Tensor:
    """`librosa.feature.mfcc` without the first coefficient (which is level), [B, N] -> [B, n_mfcc - 1, T]."""
    return mfcc_of(mel_db(wave_BN, sample_rate, hop, n_fft), n_mfcc)


def self_similarity(features_BDT: Tensor, eps: float = 1e-6) -> Tensor:
    """How alike two frames are, [B, D, T] -> [B, T, T] in [0, 1]: (1 + cosine) / 2.

    Each dimension is first centred and scaled over time, so 1 is the same side of the clip's mean, 0 the opposite one,
    1/2 unrelated (and silence).
    """
    centred = features_BDT - features_BDT.mean(-1, keepdim=True)
    scaled = centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + eps)
    unit = scaled / torch.sqrt(scaled.square().sum(1, keepdim=True) + eps)
    return (1 + unit.mT @ unit) / 2


def spectral_centroid(wave_BN: Tensor, sample_rate: int, hop: int, n_fft: int = 2048) -> Tensor:
    """Brightness: the magnitude-weighted mean frequency of each frame in Hz, [B, N] -> [B, T]."""
    weight_BKT = magnitude(wave_BN, hop, n_fft)
    hz = _constant(_frequencies(sample_rate, n_fft), _like(weight_BKT))
    return (hz[:, None] * weight_BKT).sum(1) / weight_BKT.sum(1)


def correlation(a_BT: Tensor, b_BT: Tensor, eps: float = 1e-2) -> Tensor:
    """Pearson correlation over time, [B, T] x [B, T] -> [B]; 0 where one of them is constant.

    For curves in dB: `eps` is far below that of any curve that moves, and far above the rounding of one that does not.
    """
    a, b = a_BT - a_BT.mean(-1, keepdim=True), b_BT - b_BT.mean(-1, keepdim=True)
    return (a * b).sum(-1) / torch.sqrt(a.square().sum(-1) * b.square().sum(-1) + eps)
