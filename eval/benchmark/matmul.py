"""What the device reaches on one large matrix product: the rate that others are shares of."""

from __future__ import annotations

import torch

from eval.benchmark.clock import Clock

SECONDS = 0.2  # of one measurement, about


def matmul_rate(n: int, dtype: torch.dtype, device: torch.device) -> float:
    """Operations a second of an n x n by n x n product: 2 n³ each."""
    random = torch.Generator(device).manual_seed(0)  # zeros would draw less power, and run faster
    a, b = (torch.randn(n, n, device=device, generator=random).to(dtype) for _ in range(2))
    once = _seconds(a, b, 1, device)
    once = min(once, _seconds(a, b, 1, device))
    times = max(2, min(200, round(SECONDS / max(once, 1e-6))))
    return 2 * n**3 * times / _seconds(a, b, times, device)


def _seconds(a: torch.Tensor, b: torch.Tensor, times: int, device: torch.device) -> float:
    clock = Clock(device)
    for _ in range(times):
        torch.mm(a, b)
    clock.mark()
    (seconds,) = clock.seconds()
    return seconds
