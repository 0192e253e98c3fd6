"""Griffin-Lim: the phase-guessing vocoder without training that ours has to beat.

Griffin and Lim 1984, the fast form of Perraudin et al. 2013 (momentum 0.99, 32 iterations, random first phase), as in
librosa. Mel to linear magnitudes by non-negative least squares (multiplicative updates of Lee and Seung 2001).

Legend: B clips, F = 160 mel bins, K linear bins, T frames, N samples.
"""

import torch
from torch import Tensor

from ditto.audio.mel import LogMel


def linear_magnitude(mel_BFT: Tensor, bands_FK: Tensor, iterations: int = 60) -> Tensor:
    """Natural-log mel amplitude -> non-negative magnitudes [B, K, T] whose mel comes close."""
    target = mel_BFT.exp()
    s = bands_FK.T @ target
    start, gram = s, bands_FK.T @ bands_FK
    for _ in range(iterations):
        s = s * start / (gram @ s + 1e-9)
    return s


def griffin_lim(mel_BFT: Tensor, mel: LogMel, iterations: int = 32, momentum: float = 0.99, seed: int = 0) -> Tensor:
    """Natural-log mel amplitude [B, F, T] -> wave [B, T * hop]."""
    magnitude = linear_magnitude(mel_BFT, mel.bands)
    magnitude = torch.cat([magnitude, magnitude[..., -1:]], -1)  # a centred STFT has one more frame
    samples = mel_BFT.shape[-1] * mel.hop
    generator = torch.Generator().manual_seed(seed)
    phase = torch.rand(magnitude.shape, generator=generator).to(magnitude.device) * 2 * torch.pi
    angles, last = torch.polar(torch.ones_like(magnitude), phase), torch.zeros((), device=magnitude.device)

    def to_wave(spectrum: Tensor) -> Tensor:
        return torch.istft(spectrum, mel.n_fft, mel.hop, window=mel.window, center=True, length=samples)

    for _ in range(iterations):
        rebuilt = torch.stft(
            to_wave(magnitude * angles), mel.n_fft, mel.hop, window=mel.window, pad_mode="constant", return_complex=True
        )
        moved = rebuilt - momentum / (1 + momentum) * last
        angles, last = moved / moved.abs().clamp(min=1e-12), rebuilt
    return to_wave(magnitude * angles).clamp(-1, 1)
