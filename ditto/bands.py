"""Two-dimensional frequency bands of latents: what x_T encodes is read off them (DITTO, appendix J).

A coefficient's frequency is the larger of its two, each as a share of the highest: 0 is the mean, 1 the Nyquist
frequency along mel bins or frames. So a band of cutoff ρ holds about ρ² of the coefficients.

Legend: F mel bins, T frames.
"""

from __future__ import annotations

import torch
from torch import Tensor


def frequency(bins: int, frames: int) -> Tensor:
    """The frequency of every coefficient of torch.fft.fft2, [F, T] in 0..1."""
    along_F, along_T = (2 * torch.fft.fftfreq(n, dtype=torch.float64).abs() for n in (bins, frames))
    return torch.maximum(along_F[:, None], along_T[None, :])


def low_band(x: Tensor, cutoff: float) -> Tensor:
    """The part of x [..., F, T] whose frequency is at most `cutoff`; 1 gives x, 0 its mean."""
    kept = frequency(*x.shape[-2:]).to(x.device) <= cutoff
    return torch.fft.ifft2(torch.fft.fft2(x.double()) * kept).real.to(x.dtype)


def band_of(bins: int, frames: int, edges: Tensor) -> Tensor:
    """The band of every coefficient, [F, T]: open below and closed above; the first holds the mean."""
    return torch.bucketize(frequency(bins, frames), edges[1:].double())


def band_power(x: Tensor, edges: Tensor) -> Tensor:
    """Mean power per coefficient in the bands between `edges` [K + 1], [..., F, T] -> [..., K].

    White noise of unit variance has 1 in every band. NaN in a band that is too narrow to hold a coefficient.
    """
    bins, frames = x.shape[-2:]
    power = torch.fft.fft2(x.double()).abs().square() / (bins * frames)
    band = band_of(bins, frames, edges)
    return torch.stack([power[..., band == k].mean(-1) for k in range(len(edges) - 1)], -1)
