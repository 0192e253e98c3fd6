"""The networks of the `frechet-audio-distance` package (VGGish, PANN, CLAP, EnCodec), one window at a time.

Papers: Hershey et al. 2017 (VGGish), Kong et al. 2020 (PANN), Wu et al. 2023 (CLAP), Défossez et al. 2022 (EnCodec).

Only the package's embedding function is used. Its directory score turns every error into the distance -1, pairs files
by the order of the directory, and pools a PANN set into one long vector; its CLAP crops clips above 10 s at random.
Here each window goes in alone and whole, what the package prints becomes the error's text, and the distance is
`eval.fad`'s. Sound is resampled by soxr (the package's own reader uses resampy).
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from ditto.types import UserError
from eval.embedders.base import Clip, cut, resampled, weights_hash
from eval.text.process import fenced

EXTRA = "pip install 'ditto-bench[fad]'"


class Packaged:
    """One network of the package.

    network: the package's name of it; weights: the files it needs and where they are from, for the message where they
    are missing; window_seconds: 0 for the whole clip at once (the network cuts frames itself); checkpoints: the folder
    of the weights, torch.hub's without one; fma_pop: fadtk's name for this network, where it has one.
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
    ) -> None:
        self.sample_rate, self.dimension, self.fma_pop = sample_rate, dimension, fma_pop
        self.size, self.hop = round(window_seconds * sample_rate), round(hop_seconds * sample_rate)
        with _fenced():
            self.package = _load(network, submodel, sample_rate, checkpoints, weights)
        label = f"{network} {submodel}" if network == "clap" else network
        windows = f"{window_seconds:g} s windows every {hop_seconds:g} s" if self.size else "the network's own frames"
        self.name = f"{label} {dimension}-d, {windows}, {sample_rate / 1000:g} kHz by soxr HQ"
        settings = {"rate": sample_rate, "size": self.size, "hop": self.hop, "version": _version()}
        self.fingerprint = f"fad_{label.replace(' ', '_')}-{weights_hash(self.package.model.state_dict(), settings)}"

    def __call__(self, wave_N: np.ndarray, rate: int) -> np.ndarray:
        return self.embed([("of this call", wave_N, rate)])[0]

    def embed(self, clips: Sequence[Clip]) -> list[np.ndarray]:
        with _fenced():
            return [self._embedded(clip) for clip in clips]

    def _embedded(self, clip: Clip) -> np.ndarray:
        wave_N = resampled(clip, self.sample_rate)
        windows = cut(wave_N, self.size, self.hop) if self.size else [wave_N]
        return np.concatenate([self._window(window, clip[0]) for window in windows])

    def _window(self, wave_N: np.ndarray, clip_id: str) -> np.ndarray:
        """[N] -> [W, D]; the package prints its exceptions and goes on with nothing."""
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                values = np.asarray(self.package.get_embeddings([wave_N], self.sample_rate), dtype=np.float32)
        except Exception as error:
            raise UserError(f"clip {clip_id}: {self.name} failed: {said.getvalue().strip() or error}") from error
        if values.size == 0 or values.size % self.dimension:
            why = said.getvalue().strip() or f"shape {values.shape}"
            raise UserError(f"clip {clip_id}: {self.name} gave no embedding of {self.dimension} dimensions: {why}")
        return values.reshape(-1, self.dimension)


@contextlib.contextmanager
def _fenced() -> Iterator[None]:
    """No gradients inside; afterwards the process, torch.hub's folder included, as it was."""
    hub = torch.hub.get_dir()
    try:
        with fenced():
            yield
    finally:
        torch.hub.set_dir(hub)


def _load(network: str, submodel: str, rate: int, checkpoints: str | None, weights: str) -> Any:
    try:
        from frechet_audio_distance import FrechetAudioDistance
    except ImportError as error:
        raise UserError(f"{network} needs the package frechet-audio-distance: {EXTRA} ({error})") from error
    try:
        return FrechetAudioDistance(checkpoints, network, submodel, sample_rate=rate, verbose=False)
    except Exception as error:
        folder = checkpoints or torch.hub.get_dir()
        raise UserError(f"{network} cannot be loaded ({error}). It needs {weights}, in or below {folder}") from error


def _version() -> str:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version("frechet-audio-distance")
    return "unknown"
