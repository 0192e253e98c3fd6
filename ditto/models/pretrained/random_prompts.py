"""A stand-in for a text encoder where a network has random weights: its speed and memory need no meaning of prompts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ditto.types import Condition


class RandomPrompts(nn.Module):
    """prompts -> Condition of standard normal tensors float32 [B, *shape], one for each name in `shapes`.

    They are drawn from a hash of the prompt: the same prompt always has the same tensors, whatever else is in the
    batch, and another prompt others. A tensor whose name begins with `mask` is all ones. `unit` normalises the last
    axis, as contrastive text encoders do.
    """

    def __init__(self, shapes: Mapping[str, Sequence[int]], unit: bool = False) -> None:
        super().__init__()
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.unit = unit

    def forward(self, prompts: list[str]) -> Condition:
        return Condition({name: torch.stack([self._draw(name, text) for text in prompts]) for name in self.shapes})

    def _draw(self, name: str, prompt: str) -> Tensor:
        if name.startswith("mask"):
            return torch.ones(self.shapes[name])
        digest = hashlib.blake2b(f"{name}\n{prompt}".encode(), digest_size=8).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
        values = torch.randn(self.shapes[name], generator=generator)
        return nn.functional.normalize(values, dim=-1) if self.unit else values
