"""The default embedding, which needs no download: musicnn's penultimate layer (`eval.musicnn`)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ditto.build import pick_device
from eval import musicnn
from eval.embedders.base import WindowEmbedder


class Musicnn(WindowEmbedder):
    """weights: msd (Million Song Dataset tags, with genres) or mtt (MagnaTagATune tags, with instruments).

    batch: windows at once; by default 3 on a CPU, else 128. A larger one takes no less time a window on a CPU, and in a
    process that gives large buffers back to the system (`ditto.allocator`) 12 windows took 2.5 times as long.
    """

    dimension = musicnn.DIMENSION
    sample_rate = musicnn.SAMPLE_RATE

    def __init__(self, weights: str = "msd", batch: int | None = None, device: str = "auto") -> None:
        self.weights, self.device = weights, pick_device(device)
        self.batch = batch or (3 if self.device == "cpu" else 128)
        self.model = musicnn.load(weights, self.device)
        self.name = f"musicnn {weights.upper()} 200-d, 3 s windows every 1.472 s, 16 kHz by soxr HQ"
        self.fingerprint = f"musicnn_{weights}-{musicnn.weights_hash(weights)}"

    def windows(self, wave_N: np.ndarray) -> Tensor:
        return musicnn.windows(musicnn.log_mel(torch.from_numpy(wave_N)[None])[0])

    def network(self, windows: Tensor) -> Tensor:
        pooled = musicnn.pooled(self.weights, windows, self.device)
        return self.model.embedding(pooled.to(self.device))
