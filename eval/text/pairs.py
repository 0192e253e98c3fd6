"""What the judges share: a text encoder and an audio encoder, their cosine, and what was heard kept by content.

Cache layout: <cache>/<name>-<fingerprint>/<sha256 of rate and samples>.npy, float32. Prompts are encoded again in every
process: they are few and quick.

Legend: n pairs, N samples, D values of an embedding, F values kept of a clip.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from eval.embedders.base import Clip
from eval.embeddings import wave_hash
from eval.text.base import check, cosine


class PairJudge(ABC):
    """A `TextJudge` whose score is the cosine of two embeddings that do not know of each other."""

    column: str
    about: dict[str, str]
    name: str  # of the folder of cached audio embeddings
    fingerprint: str  # changes with anything that changes an audio embedding

    def __init__(self, cache: str | None) -> None:
        """cache: folder for audio embeddings, or None to keep none."""
        self.cache = Path(cache) if cache else None

    @abstractmethod
    def embed_texts(self, prompts: list[str]) -> np.ndarray:
        """Prompts -> [n, D], each row independent of the others."""

    @abstractmethod
    def embed_clip(self, wave_N: np.ndarray, rate: int) -> np.ndarray:
        """A finite mono wave -> what is cached of it [F]."""

    def finish(self, cached_nF: np.ndarray) -> np.ndarray:
        """What is cached of the clips -> embeddings [n, D]; where that is quick and not worth a cache of its own."""
        return cached_nF

    def scores(self, prompts: Sequence[str], clips: Sequence[Clip]) -> np.ndarray:
        """The cosine of each pair [n]; a clip that cannot be judged raises a UserError that names it."""
        check(prompts, clips)
        if not prompts:
            return np.zeros(0)
        distinct = sorted(set(prompts))
        with torch.no_grad():
            rows = dict(zip(distinct, self.embed_texts(distinct), strict=True))
            heard = np.stack([self.cached(clip) for clip in tqdm(clips, self.column, unit="clip", leave=False)])
            audio = self.finish(heard)
        return cosine(np.stack([rows[prompt] for prompt in prompts]), audio)

    def cached(self, clip: Clip) -> np.ndarray:
        """`embed_clip`, read from the cache or kept in it."""
        folder = self.cache / f"{self.name}-{self.fingerprint}" if self.cache else None
        return kept(folder, clip, self.embed_clip)


def kept(folder: Path | None, clip: Clip, embed: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
    """embed(wave, rate) of a clip, from `folder` if this wave was there before; None: no cache."""
    _, wave_N, rate = clip
    if folder is None:
        return np.asarray(embed(wave_N, rate), dtype=np.float32)
    path = folder / f"{wave_hash(wave_N, rate)}.npy"
    if not path.exists():
        atomic_save(path, np.asarray(embed(wave_N, rate), dtype=np.float32))
    return np.load(path)


def atomic_save(path: Path, values: np.ndarray) -> None:
    """The whole array or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.stem}.{os.getpid()}.tmp.npy")
    np.save(partial, values)
    partial.replace(path)
