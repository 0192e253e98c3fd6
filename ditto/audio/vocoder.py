"""A small differentiable vocoder, log-mel to wave, after Vocos (Siuzdak, 2023, arXiv 2306.00814).

ConvNeXt blocks at frame rate predict log magnitude and phase of a short-time spectrum; one inverse STFT makes the wave.
No up-sampling layers, so a 6 s clip costs about as much as one call of the embedded denoiser.
Shapes: B clips, F mel bins, T frames, D width, N = T * hop samples.
"""

import torch
from torch import Tensor, nn

# Log magnitudes above this are not music but a diverging optimisation; exp() of them would overflow bf16 losses.
MAX_LOG_MAGNITUDE = 6.0


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then a pointwise MLP (Liu et al., 2022), with a learned residual scale."""

    def __init__(self, width: int, expansion: int = 3, kernel: int = 7) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width))
        self.scale = nn.Parameter(torch.full((width,), 0.3))

    def forward(self, h_BDT: Tensor) -> Tensor:
        update_BTD = self.mlp(self.norm(self.depthwise(h_BDT).transpose(1, 2)))
        return h_BDT + (self.scale * update_BTD).transpose(1, 2)


class Vocoder(nn.Module):
    """mel_BFT (natural-log amplitude) -> wave_BN with N = T * hop, float32, within [-1, 1]."""

    window: Tensor

    def __init__(
        self, mel_bins: int = 160, width: int = 256, blocks: int = 6, n_fft: int = 1024, hop: int = 256
    ) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.inlet = nn.Conv1d(mel_bins, width, 7, padding=3)
        self.blocks = nn.Sequential(*[ConvNeXtBlock(width) for _ in range(blocks)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_fft + 2)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, mel_BFT: Tensor) -> Tensor:
        h_BDT = self.blocks(self.inlet(mel_BFT / 4.0 + 1.0))  # log mels lie in [-11.5, 5]: bring them near unit scale
        out_BFT = self.head(self.norm(h_BDT.transpose(1, 2))).transpose(1, 2).float()
        log_magnitude, phase = out_BFT.chunk(2, dim=1)
        magnitude = log_magnitude.clamp(max=MAX_LOG_MAGNITUDE).exp()
        spectrum = torch.complex(magnitude * phase.cos(), magnitude * phase.sin())
        # A centred STFT of N samples has N / hop + 1 frames; the last one is repeated.
        spectrum = torch.cat([spectrum, spectrum[..., -1:]], dim=-1)
        wave_BN = torch.istft(
            spectrum, self.n_fft, self.hop, window=self.window, center=True, length=mel_BFT.shape[-1] * self.hop
        )
        return wave_BN.clamp(-1.0, 1.0)
