"""`frechet_audio_distance.FrechetAudioDistance`'s networks (VGGish, PANN, CLAP, EnCodec), one window at a time.

Papers: Hershey et al. 2017 (VGGish), Kong et al. 2020 (PANN), Wu et al. 2023 (CLAP), Défossez et al. 2022 (EnCodec).
Checked with frechet_audio_distance 0.3.4.

Only the package's embedding function is used. Its scores of directories turn every error into -1, pair files with
prompts by the order of the directory, and pool a PANN set into one long vector; its CLAP crops clips above 10 s at
random; its constructor moves torch.hub's folder for the whole process. Here each window goes in alone and whole, what
the package prints becomes the error's text, and the distance is `eval.fad`'s.
"""

from __future__ import annotations

import _codecs
import contextlib
import io
from typing import Any

import numpy as np
import torch

from ditto.types import UserError
from eval.embedders.base import weights_hash
from eval.judges.base import alone, versions
from eval.judges.compiled import spare_compiled_parts
from eval.judges.hub import ROBERTA, offline


class PackagedNetwork:
    """A `Network` without texts: D by the network, W rows for one window where the network cuts frames itself.

    network, submodel, sample_rate: the package's own names; dimension: D; checkpoints: the folder of the weights,
    torch.hub's without one; weights: what these are, for the message where they are missing.
    """

    def __init__(
        self, network: str, submodel: str, sample_rate: int, dimension: int, checkpoints: str | None, weights: str
    ) -> None:
        self.network, self.sample_rate, self.dimension = network, sample_rate, dimension
        with alone():
            self.package = _load(network, submodel, sample_rate, checkpoints, weights)
        release = versions("frechet_audio_distance")
        self.described = {
            "weights": weights_hash(self.package.model.state_dict(), {"release": release}),
            "versions": versions("frechet_audio_distance", "torch", "numpy"),
        }

    def embed_texts(self, prompts: list[str]) -> np.ndarray:
        raise ValueError(f"{self.network} embeds sound only")

    def embed_waves(self, waves: list[np.ndarray]) -> np.ndarray:
        """Windows [N] at the network's rate -> the rows of all of them [W, D]."""
        with alone():
            return np.concatenate([self._window(wave) for wave in waves])

    def _window(self, wave_N: np.ndarray) -> np.ndarray:
        """[N] -> [W, D]; the package prints its exceptions and goes on with nothing."""
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                values = np.asarray(self.package.get_embeddings([wave_N], self.sample_rate), dtype=np.float32)
        except Exception as error:
            raise UserError(f"{self.network} failed: {said.getvalue().strip() or error}") from error
        if values.size == 0 or values.size % self.dimension:
            why = said.getvalue().strip() or f"shape {values.shape}"
            raise UserError(f"{self.network} gave no embedding of {self.dimension} dimensions: {why}")
        return values.reshape(-1, self.dimension)


def _load(network: str, submodel: str, rate: int, checkpoints: str | None, weights: str) -> Any:
    spare_compiled_parts()
    try:
        with offline():
            from frechet_audio_distance import FrechetAudioDistance
    except ImportError as error:
        raise UserError(
            f"{network} needs the package frechet-audio-distance: `make judges`, or pip install 'ditto-bench[fad]' "
            f"({error})"
        ) from error
    try:
        with torch.serialization.safe_globals(_numpy_values()), offline(unless_missing=ROBERTA):
            return FrechetAudioDistance(checkpoints, network, submodel, sample_rate=rate, verbose=False)
    except Exception as error:  # the package's downloads fail in many ways; all of them mean the same
        folder = checkpoints or torch.hub.get_dir()
        why = str(error).strip().partition("\n")[0]
        raise UserError(f"{network} cannot be loaded ({why}). It needs {weights}, in or below {folder}") from error


def _numpy_values() -> list[Any]:
    """The NumPy types a checkpoint may hold beside its tensors: PANNs' released files do, and torch.load refuses them.

    No code runs by them. (https://github.com/autrainer/autrainer/issues/66)
    """
    kinds = [type(np.dtype(kind)) for kind in "?bBhHiIlLqQefdSUO"]
    makers = [np.float64(0).__reduce__()[0], np.zeros(1).__reduce__()[0]]
    return [np.ndarray, np.dtype, _codecs.encode, *kinds, *makers]
