"""Embeddings of many clips, computed once: the cache key is the content of the wave, never its file name.

Cache layout: <cache>/<embedding name>-<hash of its weights>/<sha256 of rate and samples>.npy, float32 [W, 200].

Legend: N samples, W windows, D = 200.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from ditto.audio import io
from ditto.types import UserError
from eval import musicnn

Clip = tuple[str, np.ndarray, int]  # clip id, mono wave [N], sample rate


@lru_cache(maxsize=4)
def weights_hash(name: str) -> str:
    """First 12 hex of the sha256 of the embedding's weight file."""
    return hashlib.sha256((musicnn.WEIGHTS / f"musicnn_{name}.safetensors").read_bytes()).hexdigest()[:12]


def wave_hash(wave_N: np.ndarray, rate: int) -> str:
    """sha256 of the samples as float32 and of the rate."""
    digest = hashlib.sha256(f"{rate}:".encode())
    digest.update(np.ascontiguousarray(wave_N, dtype="<f4").tobytes())
    return digest.hexdigest()


def embed_clips(
    clips: Iterable[Clip],
    cache: Path,
    name: str = "msd",
    device: str = "cpu",
    total: int | None = None,
    label: str = "",
) -> dict[str, np.ndarray]:
    """Clips -> {clip id: embeddings [W, D]}, reading and filling the cache; an error names the clip."""
    folder = cache / f"musicnn_{name}-{weights_hash(name)}"
    folder.mkdir(parents=True, exist_ok=True)
    result = {}
    for clip_id, wave, rate in tqdm(clips, total=total, desc=f"embed {label}".strip(), unit="clip", leave=False):
        path = folder / f"{wave_hash(wave, rate)}.npy"
        if not path.exists():
            try:
                values = musicnn.embed(wave, rate, name, device)
            except ValueError as error:
                raise UserError(f"clip {clip_id}: {error}") from error
            partial = path.with_name(f"{path.stem}.{os.getpid()}.tmp.npy")
            np.save(partial, values)
            partial.replace(path)
        result[clip_id] = np.load(path)
    return result


def read_files(files: Iterable[Path]) -> Iterator[Clip]:
    """Audio files -> clips named by file stem, at the file's own rate; an unreadable file is an error that names it."""
    for file in files:
        rate = musicnn.SAMPLE_RATE
        with contextlib.suppress(soundfile.LibsndfileError, OSError):  # io.read says what is wrong
            rate = soundfile.info(file).samplerate
        yield file.stem, io.read(file, rate).numpy(), rate
