"""SwiftF0: the network of the pitch tracker, in torch.

Paper: Nieradzik, "SwiftF0: fast and accurate monophonic pitch detection", 2025 (arXiv 2508.18440); weights of the
package swift-f0 0.3.0 (MIT, see eval/weights/SWIFT_F0_LICENCE.md), converted by `eval.convert_swift_f0`. The package
runs the network through onnxruntime; frequencies agree with it within 0.01 Hz.

Conventions: 16 kHz, a frame every 256 samples, centred. The network sees logarithms of three magnitude spectra (windows
of 1024, 2048 and 512 samples) in the same 128 logarithmic bands and scores 95 pitches from 46.9 Hz to 2.09 kHz, 0.70
semitones apart; the result is the mean of the best one and its two neighbours in log frequency, by their softmax. The
package's confidence is left out.

Legend: B waves, N samples, T frames, F bands, P = 95 pitches, C channels.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

RATE, HOP = 16_000, 256
LOWEST_HZ, HIGHEST_HZ = 46.875, 2093.75
WINDOWS = (1024, 2048, 512)
BANDS, PITCHES, CHANNELS = 128, 95, 12
FLOOR = 1e-8
# (kernel, dilation in frequency) of the residual blocks; a kernel is (bands, frames)
BLOCKS = (((7, 3), 1), ((7, 1), 17), ((5, 1), 27), ((3, 1), 40), ((3, 1), 48), ((7, 3), 2))
WEIGHTS = Path(__file__).parents[1] / "weights" / "swift_f0.safetensors"


class _Residual(nn.Module):
    """Two convolutions of the same shape; the dilation is a musical interval, so they meet at partials."""

    def __init__(self, kernel: tuple[int, int], dilation: int) -> None:
        super().__init__()
        padding = (dilation * (kernel[0] // 2), kernel[1] // 2)
        self.first = nn.Conv2d(CHANNELS, CHANNELS, kernel, padding=padding, dilation=(dilation, 1))
        self.second = nn.Conv2d(CHANNELS, CHANNELS, kernel, padding=padding, dilation=(dilation, 1))

    def forward(self, x_BCFT: Tensor) -> Tensor:
        return torch.relu(x_BCFT + self.second(torch.relu(self.first(x_BCFT))))


class SwiftF0(nn.Module):
    """wave [B, N] at 16 kHz -> fundamental frequency in Hz [B, T], T = N // 256."""

    log_hz_P: Tensor

    def __init__(self) -> None:
        super().__init__()
        for window in WINDOWS:
            self.register_buffer(f"bands_{window}", torch.zeros(window // 2 + 1, BANDS))
        self.start = nn.Conv2d(len(WINDOWS), CHANNELS, 3, padding=1)
        self.blocks = nn.Sequential(*(_Residual(kernel, dilation) for kernel, dilation in BLOCKS))
        self.narrow = nn.Conv2d(CHANNELS, 4, 3)
        self.score = nn.Conv2d(4, 1, 1)
        log_hz_P = torch.linspace(math.log(LOWEST_HZ), math.log(HIGHEST_HZ), PITCHES)
        self.register_buffer("log_hz_P", log_hz_P, persistent=False)

    def forward(self, wave_BN: Tensor) -> Tensor:
        x_BCFT = torch.stack([self._bands(wave_BN, window) for window in WINDOWS], 1)
        x_BCFT = self.blocks(torch.relu(self.start(x_BCFT)))[:, :, : PITCHES + 1]
        x_BCFT = nn.functional.pad(x_BCFT, (1, 1, 1, 0))  # frames on both sides, one band below
        return self._hertz(self.score(torch.relu(self.narrow(x_BCFT)))[:, 0])

    def _bands(self, wave_BN: Tensor, window: int) -> Tensor:
        """Logarithmic magnitudes [B, F, T]."""
        frames = wave_BN.shape[1] // HOP
        padded = nn.functional.pad(wave_BN, (window // 2, window // 2))
        hann = torch.hann_window(window, dtype=wave_BN.dtype)
        spectrum = torch.stft(padded, window, HOP, window=hann, center=False, return_complex=True).abs()
        bands = getattr(self, f"bands_{window}")
        return torch.log(bands.mT @ spectrum[..., :frames] + FLOOR)

    def _hertz(self, score_BPT: Tensor) -> Tensor:
        """The best pitch, between its neighbours."""
        best_B1T = score_BPT.argmax(1, keepdim=True)
        around = torch.arange(-1, 2)[:, None] + best_B1T
        inside = (around >= 0) & (around < PITCHES)
        around = around.clamp(0, PITCHES - 1)
        weight = score_BPT.gather(1, around).masked_fill(~inside, float("-inf")).softmax(1)
        return (weight * self.log_hz_P[around]).sum(1).exp()


@lru_cache(maxsize=1)
def load() -> SwiftF0:
    """The network with the shipped weights."""
    state = load_file(WEIGHTS)
    for window in WINDOWS:
        bands = torch.zeros((window // 2 + 1) * BANDS)
        bands[state.pop(f"places_{window}").long()] = state.pop(f"values_{window}")
        state[f"bands_{window}"] = bands.view(-1, BANDS)
    network = SwiftF0()
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)
