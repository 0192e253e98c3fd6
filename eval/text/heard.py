"""What `text_audio_score` hears of a clip: frozen musicnn features, and what musicnn is weak at, measured by formula.

Groups, one after the other (2,106 values, deterministic, nothing learned here):
- trunk: musicnn (MSD), max and mean over time of all its convolutions, mean of the 3 s windows;
- rhythm: autocorrelation of onset strength at the beat periods of 97 tempi, 40 to 320 beats per minute on a log scale,
  for all mel bands and for low, middle and high ones (onset strength: rises of the log mel spectrogram, mean of bands);
- pitch: mean of the unit-length pitch-class profiles (12) of 0.26 s frames;
- level: RMS in dB, and mean, spread, 10 % and 90 % of it over 64 ms frames; spectral centroid in FFT bins of 3.9 Hz,
  mean and spread; spread of onset strength;
- spectrum: mean and spread over time of the 96 log mel bands.

Conventions: mono wave at any rate, resampled to 16 kHz as `eval.musicnn` does; spread: standard deviation.

Legend: N samples, T mel frames of 16 ms, F = 96 bands, W windows, D features.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from eval import musicnn
from eval.text.windows import resampled

VERSION = "1"  # raise it when a formula changes: it is part of the cache's name and of the weights' metadata
FRAME_RATE = musicnn.SAMPLE_RATE / musicnn.HOP
TEMPI = 97
BAND_GROUPS = ((0, 96), (0, 20), (20, 60), (60, 96))
FFT, FFT_HOP = 4096, 1024
GROUPS = {"trunk": 1506, "rhythm": TEMPI * len(BAND_GROUPS), "pitch": 12, "level": 8, "spectrum": 192}
SIZE = sum(GROUPS.values())


def fingerprint() -> str:
    """Changes with the trunk's weights and with the formulas."""
    return f"v{VERSION}-{musicnn.weights_hash('msd')}"


def hear(wave_N: np.ndarray, rate: int) -> np.ndarray:
    """A finite mono wave of 0.5 s or more -> features [D] float32."""
    wave = torch.from_numpy(resampled(wave_N, rate, musicnn.SAMPLE_RATE))
    with torch.no_grad():
        mel_TF = musicnn.log_mel(wave[None])[0]
        onsets_T = _onsets(mel_TF, *BAND_GROUPS[0])
        parts = [
            musicnn.pooled("msd", musicnn.windows(mel_TF)).mean(0),
            *(_periods(_onsets(mel_TF, low, high)) for low, high in BAND_GROUPS),
            *_pitch_and_centroid(wave),
            _levels(wave),
            onsets_T.std()[None],
            mel_TF.mean(0),
            mel_TF.std(0),
        ]
        return torch.cat(parts).numpy()


def _onsets(mel_TF: Tensor, low: int, high: int) -> Tensor:
    """Mean rise of the bands from frame to frame, less its mean [T - 1]."""
    rises = mel_TF[:, low:high].diff(dim=0).clamp(min=0).mean(1)
    return rises - rises.mean()


def _periods(onsets_T: Tensor) -> Tensor:
    """Autocorrelation at the beat period of each tempo, 1 at lag 0, between frames by linear interpolation [97]."""
    length = max(len(onsets_T), 128)  # short sound: the longest period still has a lag
    correlation = torch.fft.irfft(torch.fft.rfft(onsets_T, 2 * length).abs().square())[:length]
    tempi = torch.linspace(math.log2(40), math.log2(320), TEMPI).exp2()
    lag = 60 * FRAME_RATE / tempi
    below = lag.floor().long()
    values = torch.lerp(correlation[below], correlation[below + 1], lag - below)
    return values / (correlation[0] + 1e-9)


@lru_cache(maxsize=1)
def _pitch_classes() -> Tensor:
    import librosa

    return torch.from_numpy(librosa.filters.chroma(sr=musicnn.SAMPLE_RATE, n_fft=FFT, tuning=0.0)).float()


def _pitch_and_centroid(wave_N: Tensor) -> tuple[Tensor, Tensor]:
    """Pitch-class profile [12]; mean and spread of the spectral centroid, in bins [2]."""
    spectrum = torch.stft(wave_N, FFT, FFT_HOP, window=torch.hann_window(FFT), return_complex=True)
    power = torch.view_as_real(spectrum).square().sum(-1)
    chroma = (_pitch_classes() @ power).sqrt()
    profile = (chroma / (chroma.norm(dim=0, keepdim=True) + 1e-6)).mean(1)
    centroid = (power * torch.arange(len(power))[:, None]).sum(0) / (power.sum(0) + 1e-9)
    return profile, torch.stack([centroid.mean(), centroid.std()])


def _levels(wave_N: Tensor) -> Tensor:
    """RMS of the clip, and mean, spread, 10 % and 90 % over frames of 64 ms, in dB [5]."""
    power = wave_N[: len(wave_N) // FFT_HOP * FFT_HOP].reshape(-1, FFT_HOP).square().mean(1)
    frames = 10 * torch.log10(power + 1e-10)
    whole = 10 * torch.log10(wave_N.square().mean() + 1e-10)
    return torch.stack([whole, frames.mean(), frames.std(), frames.quantile(0.1), frames.quantile(0.9)])
