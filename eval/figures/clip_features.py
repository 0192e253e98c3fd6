"""Features of a clip for figure 10: what may, or may not, be decided by the noise it was sampled from.

Scalars are means over the clip's frames; the loudness contour and the self-similarity say how a clip goes on in time.
All by `ditto.audio.features` and librosa's defaults at 22,050 Hz, hop 256 (spectrogram: hop 1024). Kept through the
cache of the embeddings, as one row a clip.

Legend: N samples, D values of a clip, M mel bands, T frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import librosa
import numpy as np
import torch

from ditto.audio import features
from eval.embedders.base import Clip, resampled

RATE, HOP, SPECTRUM_HOP = 22_050, 256, 1024
SPECTROGRAM = (64, 120)  # mel bands, frames: 5.57 s
POINTS, SIDE = 16, 16  # of the loudness contour and of the self-similarity
SIZES = {
    "loudness, dB": 1,
    "loudness contour, dB": POINTS,
    "spectral centroid, kHz": 1,
    "spectral bandwidth, kHz": 1,
    "spectral flatness, dB": 1,
    "zero crossings, kHz": 1,
    "onset strength": 1,
    "tempo, octaves": 1,
    "chroma": 12,
    "timbre, MFCC": 19,
    "self-similarity": SIDE * SIDE,
}


class ClipFeatures:
    """An embedder (eval.embedders.base) of one row a clip: SIZES one after the other, then the log-mel spectrogram."""

    name = "features of figure 10"
    fingerprint = "clip_features-1"
    dimension = sum(SIZES.values()) + SPECTROGRAM[0] * SPECTROGRAM[1]
    sample_rate = RATE
    fma_pop = None

    def __call__(self, wave_N: np.ndarray, rate: int) -> np.ndarray:
        return self.embed([("of this call", wave_N, rate)])[0]

    def embed(self, clips: Sequence[Clip]) -> list[np.ndarray]:
        """[1, D] of each clip."""
        return [_features(resampled(clip, RATE, 1.024 * SPECTROGRAM[1] * SPECTRUM_HOP / RATE)) for clip in clips]


def split(values_GD: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Rows [G, D] -> each feature's name and values [G, d]; the spectrogram is not among them."""
    start = 0
    for name, size in SIZES.items():
        yield name, values_GD[:, start : start + size]
        start += size


def spectrogram(values_GD: np.ndarray) -> np.ndarray:
    """Rows [G, D] -> log-mel spectrograms in dB [G, M, T]."""
    return values_GD[:, -SPECTROGRAM[0] * SPECTROGRAM[1] :].reshape(-1, *SPECTROGRAM)


def _features(wave_N: np.ndarray) -> np.ndarray:
    wave_N = wave_N[: len(wave_N) // SPECTRUM_HOP * SPECTRUM_HOP]
    with torch.no_grad():
        wave_BN = torch.from_numpy(wave_N)[None]
        level_T = features.rms_db(wave_BN, HOP)[0]
        mfcc_BDT = features.mfcc(wave_BN, RATE, HOP)
        chroma_BDT = features.chroma(wave_BN, RATE, HOP)
        coarse_BDT = torch.nn.functional.adaptive_avg_pool1d(mfcc_BDT, SIDE)
        similarity = features.self_similarity(coarse_BDT)[0]
        mel_MT = features.mel_db(wave_BN, RATE, SPECTRUM_HOP, n_mels=SPECTROGRAM[0])[0, :, : SPECTROGRAM[1]]
    contour = np.array([part.mean() for part in np.array_split(level_T.numpy(), POINTS)])
    own = [level_T.mean(), contour - contour.mean(), *_librosa(wave_N)]
    own += [chroma_BDT[0].mean(1), mfcc_BDT[0].mean(1), similarity, mel_MT]
    return np.concatenate([np.asarray(one, dtype=np.float32).ravel() for one in own])[None]


def _librosa(wave_N: np.ndarray) -> list[float]:
    """Centroid, bandwidth, flatness, zero crossings, onset strength, tempo: in the order and units of SIZES."""
    magnitude = np.abs(librosa.stft(wave_N, hop_length=HOP))
    onsets = librosa.onset.onset_strength(y=wave_N, sr=RATE, hop_length=HOP)
    crossings = librosa.feature.zero_crossing_rate(wave_N, hop_length=HOP).mean() * RATE / 2
    tempo = librosa.feature.tempo(onset_envelope=onsets, sr=RATE, hop_length=HOP)[0]
    return [
        librosa.feature.spectral_centroid(S=magnitude, sr=RATE).mean() / 1000,
        librosa.feature.spectral_bandwidth(S=magnitude, sr=RATE).mean() / 1000,
        10 * np.log10(librosa.feature.spectral_flatness(S=magnitude).mean() + 1e-10),
        crossings / 1000,
        onsets.mean(),
        np.log2(max(tempo, 1.0)),
    ]
