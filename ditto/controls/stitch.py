"""Joining waves inside an overlap without a click."""

from __future__ import annotations

import torch
from torch import Tensor


def crossfade(out_BN: Tensor, in_BN: Tensor) -> Tensor:
    """From one take of an overlap to the other, [B, N] x [B, N] -> [B, N], at constant power.

    Raised-cosine weights a, b with a + b = 1, divided by √(a² + b² + 2ρab), ρ the correlation of the two: identical
    takes pass unchanged, unrelated ones get the equal-power fade.
    """
    time = torch.linspace(0, torch.pi, out_BN.shape[1], dtype=out_BN.dtype, device=out_BN.device)
    rising = (1 - torch.cos(time)) / 2
    falling = 1 - rising
    energy = torch.sqrt(out_BN.square().sum(1) * in_BN.square().sum(1)).clamp(min=1e-12)
    rho = ((out_BN * in_BN).sum(1) / energy).clamp(0, 1)[:, None]
    power = falling**2 + rising**2 + 2 * rho * falling * rising
    return (falling * out_BN + rising * in_BN) / torch.sqrt(power)


def join(first_BN: Tensor, second_BN: Tensor, overlap: int) -> Tensor:
    """Append the second wave to the first; the last `overlap` samples of one are the first ones of the other."""
    seam = crossfade(first_BN[:, -overlap:], second_BN[:, :overlap])
    return torch.cat([first_BN[:, :-overlap], seam, second_BN[:, overlap:]], 1)


def close_loop(wave_BN: Tensor, overlap: int) -> Tensor:
    """A wave whose end repeats its start, [B, N] -> [B, N - overlap], to be played round and round."""
    seam = crossfade(wave_BN[:, -overlap:], wave_BN[:, :overlap])
    return torch.cat([seam, wave_BN[:, overlap:-overlap]], 1)
