"""What turns clips into embeddings: the protocol that every evaluation command is given, and its common part.

Conventions: waves are mono float, in [-1, 1], at any rate; each embedder resamples (soxr, quality HQ) and cuts windows
itself, always at the same places, so that a wave has one embedding whatever its neighbours and the process's seeds.
No embedder changes the grad mode of the process.

Legend: N samples, W windows of a clip, B windows of several clips, D embedding dimensions.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import soxr
import torch
from torch import Tensor

from ditto.types import UserError

Clip = tuple[str, np.ndarray, int]  # clip id, mono wave [N], sample rate


class Embedder(Protocol):
    """Clips -> embeddings [W, D] float32; made by a yaml of conf/evaluator/embedding."""

    @property
    def name(self) -> str:
        """What tables print: network, dimensions, windows, rate, resampler."""

    @property
    def fingerprint(self) -> str:
        """The folder of its cache: a short name and a hash of weights and settings."""

    @property
    def dimension(self) -> int:
        """D."""

    @property
    def sample_rate(self) -> int:
        """Hz of what the network hears."""

    @property
    def fma_pop(self) -> str | None:
        """The name under which fadtk has FMA-Pop's mean and covariance for this network, None where it has none."""

    def __call__(self, wave_N: np.ndarray, rate: int) -> np.ndarray:
        """One wave -> [W, D]."""

    def embed(self, clips: Sequence[Clip]) -> list[np.ndarray]:
        """Several clips at once -> [W, D] of each; a clip that cannot be embedded is a UserError that names it."""


class WindowEmbedder(ABC):
    """An embedder of windows: those of many clips go through the network together, `batch` at a time."""

    name: str
    fingerprint: str
    dimension: int
    sample_rate: int
    batch: int = 16
    fma_pop: str | None = None

    @abstractmethod
    def windows(self, wave_N: np.ndarray) -> Tensor:
        """Wave at `sample_rate` -> what the network hears of each window [W, …]."""

    @abstractmethod
    def network(self, windows: Tensor) -> Tensor:
        """[B, …] -> [B, D]."""

    def __call__(self, wave_N: np.ndarray, rate: int) -> np.ndarray:
        return self.embed([("of this call", wave_N, rate)])[0]

    def embed(self, clips: Sequence[Clip]) -> list[np.ndarray]:
        with torch.no_grad():
            heard = [self.windows(resampled(clip, self.sample_rate)) for clip in clips]
            parts = torch.cat(heard).split(self.batch)
            values_BD = torch.cat([self.network(part).float().cpu() for part in parts]).numpy()
        return np.split(values_BD, np.cumsum([len(one) for one in heard])[:-1])


def resampled(clip: Clip, rate: int, least_seconds: float = 0.5) -> np.ndarray:
    """The wave of a clip [N] float32 at `rate` Hz; refuses what is not a mono wave of finite samples."""
    clip_id, wave_N, had = clip
    wave = np.asarray(wave_N, dtype=np.float32)
    if wave.ndim != 1 or len(wave) < least_seconds * had:
        shape = f"got shape {wave.shape} at {had} Hz"
        raise UserError(f"clip {clip_id}: an embedding needs a mono wave of at least {least_seconds} s, {shape}")
    if not np.isfinite(wave).all():
        raise UserError(f"clip {clip_id}: the wave holds NaN or infinite samples")
    return wave if had == rate else soxr.resample(wave, had, rate, quality="HQ")


def cut(wave_N: np.ndarray, size: int, hop: int) -> list[np.ndarray]:
    """Windows of `size` samples, one every `hop`, the last one at the end of the wave; a shorter wave is one window."""
    last = max(len(wave_N) - size, 0)
    return [wave_N[start : start + size] for start in [*range(0, last, hop), last]]


def weights_hash(state: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """First 12 hex of the sha256 of a network's tensors and of the settings that change its embeddings."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for key, value in sorted(state.items()):
        digest.update(key.encode())
        if isinstance(value, Tensor):
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]
