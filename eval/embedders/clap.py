"""The audio tower of a CLAP checkpoint in transformers' form, from the hub or a local folder.

Paper: Wu et al., "Large-scale contrastive language-audio pretraining", ICASSP 2023. Embeddings are those that the text
is compared with: projected, of length 1.

Conventions: windows of the length that the checkpoint was trained on (10 s), so its feature extractor never draws the
random crop that it takes of longer sound; a shorter clip is repeated as often as it fits, then padded with zeros.
With checkpoints of feature fusion every window counts as "not longer": the extractor would mark one at random.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ditto.build import pick_device
from ditto.types import UserError
from eval.embedders.base import WindowEmbedder, cut, weights_hash
from eval.text.process import fenced


class Clap(WindowEmbedder):
    """checkpoint: a name on the hub or a folder; fma_pop: fadtk's name for this very network, where it has one."""

    def __init__(
        self,
        checkpoint: str = "laion/larger_clap_music",
        hop_seconds: float = 10.0,
        batch: int = 4,
        device: str = "auto",
        fma_pop: str | None = None,
    ) -> None:
        self.device, self.batch, self.fma_pop = pick_device(device), batch, fma_pop
        model, self.extractor = _load(checkpoint)
        self.model = model.to(self.device).eval().requires_grad_(False)
        fused = self.model.config.audio_config.enable_fusion
        self.truncation = "fusion" if fused else "rand_trunc"  # which also chooses the mel filters
        self.dimension = self.model.config.projection_dim
        self.sample_rate = self.extractor.sampling_rate
        self.size, self.hop = self.extractor.nb_max_samples, round(hop_seconds * self.sample_rate)
        seconds, khz = self.size / self.sample_rate, self.sample_rate / 1000
        label = Path(checkpoint).name if Path(checkpoint).exists() else checkpoint
        windows = f"{seconds:g} s windows every {hop_seconds:g} s"
        self.name = f"CLAP {label} {self.dimension}-d, {windows}, {khz:g} kHz by soxr HQ"
        settings = {"extractor": self.extractor.to_dict(), "hop": self.hop, "truncation": self.truncation}
        self.fingerprint = f"clap_{Path(label).name}-{weights_hash(self.model.state_dict(), settings)}"

    def windows(self, wave_N: np.ndarray) -> Tensor:
        with fenced():  # the extractor draws from numpy's own generator, for what is not used here
            features = self.extractor(
                cut(wave_N, self.size, self.hop),
                truncation=self.truncation,
                sampling_rate=self.sample_rate,
                return_tensors="pt",
            )
        return features["input_features"].float()

    def network(self, windows: Tensor) -> Tensor:
        never_longer = torch.zeros(len(windows), 1, dtype=torch.bool, device=self.device)
        out = self.model.get_audio_features(input_features=windows.to(self.device), is_longer=never_longer)
        return out.pooler_output


def _load(checkpoint: str) -> tuple[Any, Any]:
    """Model and feature extractor; one line that says what to download where they are not here."""
    from transformers import ClapFeatureExtractor, ClapModel

    try:
        return ClapModel.from_pretrained(checkpoint), ClapFeatureExtractor.from_pretrained(checkpoint)
    except (OSError, ValueError) as error:
        raise UserError(
            f"no CLAP weights at '{checkpoint}' ({str(error).splitlines()[0]}): `hf download {checkpoint}` where there "
            "is a network, or evaluator.embedding.checkpoint=<folder of a transformers ClapModel>"
        ) from error
