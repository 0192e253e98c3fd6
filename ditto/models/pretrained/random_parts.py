"""Networks of a published checkpoint's true size with seeded random weights: for speed and memory, not for listening.

sizes/<family>.json holds the configurations of the parts ("network", "vae", "vocoder", ...), "scheduler" as diffusers
writes it, and "condition": the shapes of one prompt's tensors, for `RandomPrompts`. docs/models.md names their sources.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from ditto.types import UserError

SIZES = Path(__file__).parent / "sizes"

Size = Mapping[str, Any]
Part = TypeVar("Part")


def read_size(config: str | Size) -> Size:
    """A size given as a mapping, as the name of a file in sizes/ ("musicldm.json"), or as any other path."""
    if not isinstance(config, str):
        return config
    path = SIZES / config  # an absolute path stays itself
    if not path.exists():
        raise UserError(f"no size {config}: choose {', '.join(sorted(file.name for file in SIZES.glob('*.json')))}")
    return dict(json.loads(path.read_text()))


def seeded(build: Callable[[], Part], seed: int = 0) -> Part:
    """What `build` makes, its random weights drawn from `seed`; the caller's random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def random_hifigan(config: Mapping[str, Any]) -> nn.Module:
    """SpeechT5HifiGan with PyTorch's own draw of weights: transformers' are so small (0.01) that the wave is silent."""
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    vocoder = SpeechT5HifiGan(SpeechT5HifiGanConfig(**config))
    for module in vocoder.modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            module.reset_parameters()
    return vocoder


def size_hash(size: Size) -> str:
    """16 hex digits in the place of a hash of weights: the weights follow from the size and the seed."""
    return hashlib.sha256(json.dumps(size, sort_keys=True, default=_plain).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """Hydra's lists and mappings as Python's."""
    return dict(value) if isinstance(value, Mapping) else list(value)
