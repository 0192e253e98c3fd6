"""Log-mel spectrograms: the space in which the paper's model works (Sec. 3 of the paper's set-up).

Conventions: 22.05 kHz, window 2048 (Hann), hop 256, 160 Slaney mel bands from 20 Hz to 11.025 kHz on the magnitude
spectrum, natural logarithm of amplitude, clamped below at 1e-5. Frame t is centred on sample t * hop, so N samples give
exactly N // hop frames. Shapes: B clips, N samples, F mel bins, T frames.
"""

import librosa
import torch
from torch import Tensor, nn

FLOOR = 1e-5


class LogMel(nn.Module):
    """wave_BN in [-1, 1] -> natural-log mel amplitude mel_BFT; differentiable, agrees with librosa to 1e-4.

    pad_mode: what lies beyond the ends of the wave, zeros ("constant") or its mirror image ("reflect").
    """

    window: Tensor
    bands: Tensor

    def __init__(
        self,
        sample_rate: int = 22050,
        n_fft: int = 2048,
        hop: int = 256,
        mel_bins: int = 160,
        f_min: float = 20.0,
        pad_mode: str = "constant",
    ) -> None:
        super().__init__()
        self.n_fft, self.hop, self.pad_mode = n_fft, hop, pad_mode
        bands = librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=mel_bins, fmin=f_min, fmax=sample_rate / 2)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("bands", torch.from_numpy(bands), persistent=False)

    def forward(self, wave_BN: Tensor) -> Tensor:
        window = self.window.to(wave_BN.dtype)
        spectrum = torch.stft(
            wave_BN, self.n_fft, self.hop, window=window, center=True, pad_mode=self.pad_mode, return_complex=True
        )
        # |z| has no gradient at z = 0; the offset lies four orders below the clamp.
        amplitude_BFT = (spectrum.real.square() + spectrum.imag.square() + 1e-18).sqrt()[
            ..., : wave_BN.shape[-1] // self.hop
        ]
        return (self.bands.to(wave_BN.dtype) @ amplitude_BFT).clamp(min=FLOOR).log()
