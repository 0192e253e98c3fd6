"""Clips of the rendered music: the reference of FAD, the floor, the vocoder's round trip and the genre classifier.

A piece is cut into neighbouring windows of a clip's length. The order is fixed: the first window of every piece, pieces
sorted by a hash of their name, then every second window, and so on; so the first n clips spread over as many tunes as
possible and do not change when n does. Windows under -40 dB RMS are left out, as in training.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from ditto.data.labels import Piece, read_pieces
from ditto.types import UserError
from eval.embedders.base import Clip, Embedder
from eval.embeddings import embed_clips

QUIET_DB = -40.0


@dataclass(frozen=True)
class Excerpt:
    """One window of a rendered piece, with the labels of the piece."""

    clip_id: str
    tune: str
    genre: str
    prompt: str  # the first caption, the paper's template
    file: Path
    start_s: float
    seconds: float
    piece: Piece

    def read(self) -> Clip | None:
        """The window's wave, or None when it is too quiet."""
        with soundfile.SoundFile(self.file) as audio:
            audio.seek(round(self.start_s * audio.samplerate))
            wave = audio.read(round(self.seconds * audio.samplerate), dtype="float32", always_2d=True).mean(1)
            level = 10 * np.log10(np.mean(wave**2) + 1e-12)
            return None if level < QUIET_DB else (self.clip_id, wave, audio.samplerate)


def data_root() -> Path:
    return Path(os.environ.get("DITTO_DATA", "data"))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def tune_half(tune: str) -> int:
    """0 or 1 by a hash of the tune: two sets that share no tune."""
    return int(_hash(f"half {tune}"), 16) % 2


def load_excerpts(split: str, seconds: float, half: int | None = None, root: Path | None = None) -> list[Excerpt]:
    """All windows of the rendered pieces of a split (of one half of its tunes), in their fixed order."""
    folder = (root or data_root()) / "music"
    pieces = [piece for piece in read_pieces(folder, split) if half in (None, tune_half(piece.tune))]
    rounds = sorted(
        (_windows(piece, folder, seconds) for piece in pieces), key=lambda w: _hash(w[0].clip_id) if w else ""
    )
    excerpts = [one for level in itertools.zip_longest(*rounds) for one in level if one is not None]
    if not excerpts:
        raise UserError(f"{folder} has no piece of the split '{split}' of {seconds:.2f} s or more: build more music")
    return excerpts


def _windows(piece: Piece, folder: Path, seconds: float) -> list[Excerpt]:
    labels = (piece.tune, piece.genre, piece.captions[0], folder / piece.file)
    return [
        Excerpt(f"{piece.piece_id}.{k}", *labels, k * seconds, seconds, piece)
        for k in range(int(piece.seconds // seconds))
    ]


def read_excerpts(excerpts: Iterable[Excerpt], n: int) -> Iterator[tuple[Excerpt, Clip]]:
    """The first n that are loud enough, with their waves; an error if there are fewer."""
    found = 0
    for excerpt in excerpts:
        if found == n:
            return
        clip = excerpt.read()
        if clip is not None:
            found += 1
            yield excerpt, clip
    if found < n:
        raise UserError(f"only {found} clips where {n} were asked for: build more music or lower n")


def embed_excerpts(
    excerpts: Iterable[Excerpt], n: int, cache: Path, label: str, embedder: Embedder | None = None
) -> tuple[list[Excerpt], list[np.ndarray]]:
    """The first n clips that are loud enough, and their embeddings [W, D]; a few waves at a time in memory."""
    chosen: list[Excerpt] = []

    def waves() -> Iterator[Clip]:
        for excerpt, clip in read_excerpts(excerpts, n):
            chosen.append(excerpt)
            yield clip

    embedded = embed_clips(waves(), cache, embedder, total=n, label=label)
    return chosen, [embedded[one.clip_id] for one in chosen]
