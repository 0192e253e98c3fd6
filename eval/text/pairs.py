"""What the judges share: a text encoder and an audio encoder, their cosine, and embeddings kept by content.

Cache layout: <cache>/<name>-<fingerprint>/<sha256 of rate and samples>.npy, float32 [D]. Prompts are encoded again in
every process: they are few and quick.

Legend: n pairs, N samples, D values of an embedding.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from eval.embeddings import Clip, wave_hash
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
        """Prompts -> [n, D], one row at a time or padded so that a row does not depend on the others."""

    @abstractmethod
    def embed_clip(self, wave_N: np.ndarray, rate: int) -> np.ndarray:
        """A finite mono wave -> [D]."""

    def scores(self, prompts: Sequence[str], clips: Sequence[Clip]) -> np.ndarray:
        """The cosine of each pair [n]; a clip that cannot be judged raises a UserError that names it."""
        check(prompts, clips)
        if not prompts:
            return np.zeros(0)
        distinct = sorted(set(prompts))
        with torch.no_grad():
            rows = dict(zip(distinct, self.embed_texts(distinct), strict=True))
            audio = [self._cached(clip) for clip in tqdm(clips, desc=self.column, unit="clip", leave=False)]
        return cosine(np.stack([rows[prompt] for prompt in prompts]), np.stack(audio))

    def _cached(self, clip: Clip) -> np.ndarray:
        _, wave_N, rate = clip
        if self.cache is None:
            return self.embed_clip(wave_N, rate)
        path = self.cache / f"{self.name}-{self.fingerprint}" / f"{wave_hash(wave_N, rate)}.npy"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f"{path.stem}.{os.getpid()}.tmp.npy")
            np.save(partial, np.asarray(self.embed_clip(wave_N, rate), dtype=np.float32))
            partial.replace(path)
        return np.load(path)
