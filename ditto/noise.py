"""Gaussian noise that belongs to a clip: drawn from the clip's own seed on the CPU.

So it is the same on every device, whoever else is in the batch, and when a step is computed a second time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def noise(
    seeds: Sequence[int],
    shape: Sequence[int],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Initial noise x_T [B, *shape], one seed per clip."""
    clips = [torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(clips).to(device=device, dtype=dtype)


def step_noise(seeds: Sequence[int], like: Tensor, *key: int | str) -> Tensor:
    """Noise shaped as `like` [B, ...] for one place in the chain (`key`, such as the step's index)."""
    return noise(derived_seeds(seeds, *key), like.shape[1:], like.device, like.dtype)


def derived_seeds(seeds: Sequence[int], *key: int | str) -> list[int]:
    """For each clip a seed of its own that belongs to one place (`key`)."""
    return [_seed(seed, *key) for seed in seeds]


def _seed(*key: int | str) -> int:
    """A 63-bit seed from a seed and a place."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest(), "big") >> 1
