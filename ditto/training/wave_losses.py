"""Distances between two waves: what the vocoder is trained on and judged by.

stft   spectral convergence plus L1 of log magnitudes at several resolutions (Yamamoto et al., 2020)
mel    L1 of natural-log mel amplitudes at several resolutions (Kong et al., 2020; Kumar et al., 2023)
phase  how far phases advance otherwise from frame to frame (instantaneous frequency) and from bin to bin (group delay),
       after Ai and Ling, 2023, with 1 - cos for their anti-wrapping function and loud bins counting more; 0 to 2

Shapes: B clips, N samples, K frequency bins, T frames, F mel bins.
"""

from collections.abc import Sequence

import librosa
import torch
from torch import Tensor, nn

from ditto.audio.mel import FLOOR

RESOLUTIONS = ((2048, 512), (1024, 256), (512, 128), (256, 64))
PHASE_RESOLUTION = (1024, 256)


def spectrum(wave_BN: Tensor, n_fft: int, hop: int) -> Tensor:
    """Centred short-time spectrum with a Hann window, complex [B, K, T]."""
    window = torch.hann_window(n_fft, device=wave_BN.device)
    return torch.stft(wave_BN, n_fft, hop, window=window, return_complex=True)


def magnitude(z: Tensor) -> Tensor:
    """|z|, offset so that silence has a gradient."""
    return (z.real.square() + z.imag.square() + 1e-8).sqrt()


def stft_distance(
    wave_BN: Tensor, reference_BN: Tensor, resolutions: Sequence[tuple[int, int]] = RESOLUTIONS
) -> Tensor:
    """Spectral convergence plus L1 of log magnitudes, averaged over (window, hop) pairs; one value a clip [B]."""
    pairs = ([magnitude(spectrum(wave, *one)) for wave in (wave_BN, reference_BN)] for one in resolutions)
    return torch.stack([magnitude_distance(x, y) for x, y in pairs]).mean(0)


def magnitude_distance(x: Tensor, y: Tensor) -> Tensor:
    """Of magnitudes [B, K, T] to those of the reference: convergence plus L1 of logarithms [B]."""
    # vector_norm, as the root of a sum of squares has no gradient where the two are equal: silence rendered as silence.
    off, level = (torch.linalg.vector_norm(z, dim=(1, 2)) for z in (x - y, y))
    convergence = off / level.clamp(min=1e-3)
    return convergence + (x.clamp(min=1e-4).log() - y.clamp(min=1e-4).log()).abs().mean((1, 2))


def phase_distance(x: Tensor, y: Tensor) -> Tensor:
    """Of short-time spectra [B, K, T] to those of the reference: mean of the time and the frequency direction [B]."""
    along_time = _misfit(x[..., 1:] * x[..., :-1].conj(), y[..., 1:] * y[..., :-1].conj())
    along_frequency = _misfit(x[:, 1:] * x[:, :-1].conj(), y[:, 1:] * y[:, :-1].conj())
    return (along_time + along_frequency) / 2


def _misfit(u: Tensor, v: Tensor, eps: float = 1e-6) -> Tensor:
    """1 - cos of the angle between u and v, averaged with the weights |v|^(1/2): the amplitude, as v is a product."""
    size_u, size_v = ((z.real.square() + z.imag.square() + eps).sqrt() for z in (u, v))
    # With eps in the scalar product too, equal spectra are at 0 and silence has a gradient.
    cosine = (u.real * v.real + u.imag * v.imag + eps) / (size_u * size_v)
    weight = size_v.sqrt()
    return (weight * (1 - cosine)).sum((1, 2)) / weight.sum((1, 2))


class WaveLoss(nn.Module):
    """The weighted sum of the distances of this module; a weight of 0 leaves one out.

    `resolutions` are (window, hop) pairs in samples, `mel_bins` the number of mel bands at each.
    """

    def __init__(
        self,
        stft: float = 1.0,
        mel: float = 0.0,
        phase: float = 0.0,
        resolutions: Sequence[tuple[int, int]] = RESOLUTIONS,
        mel_bins: Sequence[int] = (160, 80, 40, 20),
        sample_rate: int = 22050,
    ) -> None:
        super().__init__()
        self.weights = {"stft": stft, "mel": mel, "phase": phase}
        self.resolutions = [(window, hop) for window, hop in resolutions]
        for (window, _), bins in zip(self.resolutions, mel_bins, strict=True):
            bands_FK = librosa.filters.mel(sr=sample_rate, n_fft=window, n_mels=bins, fmin=20.0, fmax=sample_rate / 2)
            self.register_buffer(f"bands_{window}", torch.from_numpy(bands_FK), persistent=False)

    def terms(self, wave_BN: Tensor, reference_BN: Tensor) -> dict[str, Tensor]:
        """stft, mel and phase without their weights, each [B]."""
        pairs = {one: [spectrum(wave, *one) for wave in (wave_BN, reference_BN)] for one in self.resolutions}
        sizes = {one: [magnitude(z) for z in pair] for one, pair in pairs.items()}
        stft = [magnitude_distance(*pair) for pair in sizes.values()]
        mel = [self._mel_distance(window, *pair) for (window, _), pair in sizes.items()]
        x, y = pairs.get(PHASE_RESOLUTION) or [spectrum(wave, *PHASE_RESOLUTION) for wave in (wave_BN, reference_BN)]
        return {"stft": torch.stack(stft).mean(0), "mel": torch.stack(mel).mean(0), "phase": phase_distance(x, y)}

    def forward(self, wave_BN: Tensor, reference_BN: Tensor) -> Tensor:
        """The training loss, a scalar; needs float32."""
        terms = self.terms(wave_BN, reference_BN)
        return torch.stack([w * terms[name].mean() for name, w in self.weights.items() if w]).sum()

    def _mel_distance(self, window: int, x: Tensor, y: Tensor) -> Tensor:
        bands_FK: Tensor = getattr(self, f"bands_{window}")
        made, wanted = ((bands_FK @ size).clamp(min=FLOOR).log() for size in (x, y))
        return (made - wanted).abs().mean((1, 2))
