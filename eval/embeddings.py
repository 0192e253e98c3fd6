"""Embeddings of many clips, computed once: the cache key is the content of the wave, never its file name.

Cache layout: <cache>/<embedder's fingerprint>/<sha256 of rate and samples>.npy, float32 [W, D].

Legend: N samples, W windows, D embedding dimensions.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from ditto.audio import io
from ditto.types import UserError
from eval.embedders.base import Clip, Embedder
from eval.embedders.musicnn import Musicnn

TOGETHER = 16  # clips that are in memory, and in the embedder, at once


def wave_hash(wave_N: np.ndarray, rate: int) -> str:
    """sha256 of the samples as float32 and of the rate."""
    digest = hashlib.sha256(f"{rate}:".encode())
    digest.update(np.ascontiguousarray(wave_N, dtype="<f4").tobytes())
    return digest.hexdigest()


def stream(
    clips: Iterable[Clip], cache: Path, embedder: Embedder | None = None, total: int | None = None, label: str = ""
) -> Iterator[tuple[str, np.ndarray]]:
    """(clip id, embeddings [W, D]) of any number of clips, in their order, reading and filling the cache.

    Without an embedder: the default one, musicnn. A clip that cannot be embedded is a UserError that names it.
    """
    embedder = embedder or Musicnn()
    folder = cache / embedder.fingerprint
    folder.mkdir(parents=True, exist_ok=True)
    source = iter(clips)
    with tqdm(total=total, desc=f"embed {label}".strip(), unit="clip", leave=False) as bar:
        while chunk := list(itertools.islice(source, TOGETHER)):
            paths = [folder / f"{wave_hash(wave, rate)}.npy" for _, wave, rate in chunk]
            new = {path: clip for path, clip in zip(paths, chunk, strict=True) if not path.exists()}
            if new:
                for (path, clip), values in zip(new.items(), embedder.embed(list(new.values())), strict=True):
                    _save(path, _checked(values, clip[0], embedder))
            bar.update(len(chunk))
            yield from ((clip[0], np.load(path)) for clip, path in zip(chunk, paths, strict=True))


def embed_clips(
    clips: Iterable[Clip], cache: Path, embedder: Embedder | None = None, total: int | None = None, label: str = ""
) -> dict[str, np.ndarray]:
    """Clips -> {clip id: embeddings [W, D]}; see `stream`. Two clips of one id are an error."""
    result: dict[str, np.ndarray] = {}
    for clip_id, values in stream(clips, cache, embedder, total, label):
        if clip_id in result:
            raise UserError(f"two clips are called {clip_id}: rename one of them")
        result[clip_id] = values
    return result


def read_files(files: Iterable[Path]) -> Iterator[Clip]:
    """Audio files -> clips named by file stem, at the file's own rate; an unreadable file is an error that names it."""
    for file in files:
        rate = Musicnn.sample_rate
        with contextlib.suppress(soundfile.LibsndfileError, OSError):  # io.read says what is wrong
            rate = soundfile.info(file).samplerate
        yield file.stem, io.read(file, rate).numpy(), rate


def _checked(values: np.ndarray, clip_id: str, embedder: Embedder) -> np.ndarray:
    """Refuses what is no embedding before it gets into the cache."""
    if values.ndim != 2 or values.shape[1] != embedder.dimension or not len(values) or not np.isfinite(values).all():
        raise UserError(f"clip {clip_id}: {embedder.name} gave no finite embedding, but shape {values.shape}")
    return values.astype(np.float32, copy=False)


def _save(path: Path, values: np.ndarray) -> None:
    """Whole or not at all."""
    partial = path.with_name(f"{path.stem}.{os.getpid()}.tmp.npy")
    np.save(partial, values)
    partial.replace(path)
