"""Networks that tell recordings from a vocoder's waves, and the losses of the two sides.

Several at once: on short-time spectra of several resolutions (Jang et al., 2021; Défossez et al., 2022) and on the wave
folded at several periods (Kong et al., 2020). Hinge loss (Lim and Ye, 2017); feature matching relative to the size of
the recording's features (Défossez et al., 2022).

Shapes: B clips, N samples, K frequency bins, T frames, P period. The widths decide the cost.
"""

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from ditto.training.wave_losses import spectrum

Judged = list[Tensor]  # features of one network, layer by layer; the last are its scores, high for recordings
SLOPE = 0.1


class Layers(nn.Module):
    """Convolutions with leaky ReLUs between them; gives what each of them gave."""

    def __init__(self, *convolutions: nn.Conv2d) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList([weight_norm(one) for one in convolutions])

    def forward(self, h: Tensor) -> Judged:
        features: Judged = []
        for k, convolution in enumerate(self.convolutions):
            h = convolution(nnf.leaky_relu(h, SLOPE) if k else h)
            features.append(h)
        return features


class SpectrumDiscriminator(nn.Module):
    """wave_BN -> features and scores over frequency and time of one short-time spectrum.

    It sees log magnitude, and real and imaginary part with magnitudes to the power 0.3: all near unit scale.
    """

    def __init__(self, window: int, width: int, hop: int | None = None) -> None:
        super().__init__()
        self.window, self.hop = window, hop or window // 4

        def convolution(inlets: int, dilation: int, stride: int) -> nn.Conv2d:
            return nn.Conv2d(inlets, width, (9, 3), (stride, 1), (4, dilation), (1, dilation))

        middle = [convolution(width, dilation, 2) for dilation in (1, 2, 4)]
        self.layers = Layers(convolution(3, 1, 2), *middle, nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, wave_BN: Tensor) -> Judged:
        with torch.autocast(wave_BN.device.type, enabled=False):
            z = spectrum(wave_BN.float(), self.window, self.hop) * (2 / self.window)  # amplitudes of at most about 1
            size_BKT = (z.real.square() + z.imag.square() + 1e-8).sqrt()
            compressed = size_BKT**-0.7
            seen_B3KT = torch.stack([size_BKT.log() / 4.6 + 1, z.real * compressed, z.imag * compressed], 1)
        return self.layers(seen_B3KT)


class PeriodDiscriminator(nn.Module):
    """wave_BN -> features and scores of the samples folded to [N / P, P], each column on its own."""

    def __init__(self, period: int, width: int) -> None:
        super().__init__()
        self.period = period
        widths = (1, width, 2 * width, 4 * width, 8 * width)
        strided = [nn.Conv2d(a, b, (5, 1), (3, 1), (2, 0)) for a, b in itertools.pairwise(widths)]
        self.layers = Layers(*strided, nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, wave_BN: Tensor) -> Judged:
        rows = wave_BN.shape[-1] // self.period
        return self.layers(wave_BN[:, : rows * self.period].reshape(len(wave_BN), 1, rows, self.period))


class Discriminators(nn.Module):
    """wave_BN -> what each network makes of it; `windows` and `periods` in samples, either may be empty."""

    def __init__(
        self,
        windows: Sequence[int] = (2048, 1024, 512),
        periods: Sequence[int] = (2, 3, 5, 7, 11),
        spectrum_width: int = 8,
        period_width: int = 8,
    ) -> None:
        super().__init__()
        on_spectra = [SpectrumDiscriminator(window, spectrum_width) for window in windows]
        self.networks = nn.ModuleList(on_spectra + [PeriodDiscriminator(period, period_width) for period in periods])

    def forward(self, wave_BN: Tensor) -> list[Judged]:
        return [network(wave_BN) for network in self.networks]


def recognition_loss(real: list[Judged], made: list[Judged]) -> Tensor:
    """Hinge loss of the discriminators, mean over networks: 0 when recordings score over 1 and made waves under -1."""
    losses = [
        nnf.relu(1 - r[-1].float()).mean() + nnf.relu(1 + m[-1].float()).mean() for r, m in zip(real, made, strict=True)
    ]
    return torch.stack(losses).mean()


def deception_loss(made: list[Judged]) -> Tensor:
    """Of the generator: minus the mean score of what it made, mean over networks."""
    return torch.stack([-m[-1].float().mean() for m in made]).mean()


def matching_loss(real: list[Judged], made: list[Judged]) -> Tensor:
    """L1 of the features (not the scores) over their mean size in the recording, mean over layers and networks."""
    pairs = [
        (r.detach().float(), m.float())
        for a, b in zip(real, made, strict=True)
        for r, m in zip(a[:-1], b[:-1], strict=True)
    ]
    return torch.stack([(r - m).abs().mean() / r.abs().mean().clamp(min=1e-6) for r, m in pairs]).mean()
