"""The networks of the `frechet-audio-distance` package (VGGish, PANN, CLAP, EnCodec) as embedders.

The package's network is `eval.judges.packaged`, by default in a process and an environment of its own (`make judges`);
papers and traps are listed there. Here: resampling by soxr (the package's own reader uses resampy), windows at fixed
places, and the clip's name in every error.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ditto.types import UserError
from eval.embedders.base import Clip, cut, resampled, weights_hash
from eval.judges import process


class Packaged:
    """One network of the package.

    network: the package's name of it; weights: the files it needs and where they are from, for the message where they
    are missing; window_seconds: 0 for the whole clip at once (the network cuts frames itself); checkpoints: the folder
    of the weights, torch.hub's without one; fma_pop: fadtk's name for this network, where it has one; python: the
    interpreter of the judges' environment, None for this one.
    """

    def __init__(
        self,
        network: str,
        sample_rate: int,
        dimension: int,
        weights: str,
        submodel: str = "630k-audioset",
        window_seconds: float = 0.0,
        hop_seconds: float = 0.0,
        checkpoints: str | None = None,
        fma_pop: str | None = None,
        python: str | None = process.PYTHON,
    ) -> None:
        self.sample_rate, self.dimension, self.fma_pop = sample_rate, dimension, fma_pop
        self.size, self.hop = round(window_seconds * sample_rate), round(hop_seconds * sample_rate)
        self.network = process.network(
            "eval.judges.packaged.PackagedNetwork",
            python,
            "evaluator.embedding.python",
            network=network,
            submodel=submodel,
            sample_rate=sample_rate,
            dimension=dimension,
            checkpoints=checkpoints,
            weights=weights,
        )
        label = f"{network} {submodel}" if network == "clap" else network
        windows = f"{window_seconds:g} s windows every {hop_seconds:g} s" if self.size else "the network's own frames"
        self.name = f"{label} {dimension}-d, {windows}, {sample_rate / 1000:g} kHz by soxr HQ"
        settings = {
            "rate": sample_rate,
            "size": self.size,
            "hop": self.hop,
            "weights": self.network.described["weights"],
        }
        self.fingerprint = f"fad_{label.replace(' ', '_')}-{weights_hash({}, settings)}"

    def __call__(self, wave_N: np.ndarray, rate: int) -> np.ndarray:
        return self.embed([("of this call", wave_N, rate)])[0]

    def embed(self, clips: Sequence[Clip]) -> list[np.ndarray]:
        return [self._embedded(clip) for clip in clips]

    def _embedded(self, clip: Clip) -> np.ndarray:
        wave_N = resampled(clip, self.sample_rate)
        try:
            return self.network.embed_waves(cut(wave_N, self.size, self.hop) if self.size else [wave_N])
        except UserError as error:
            raise UserError(f"clip {clip[0]}: {error}") from error
