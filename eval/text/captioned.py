"""Clips of the rendered music with their captions, heard once: what the text judge is trained and tested on.

Order and windows are those of `eval.real`: the first window of every piece, then every second one, and so on.

Legend: n clips, F features of a clip.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ditto.data.labels import Piece, read_pieces
from eval.real import data_root, load_excerpts
from eval.text import heard, words
from eval.text.pairs import atomic_save, kept


@dataclass(frozen=True)
class Captioned:
    """Features [n, F] of clips and the piece that each is cut from."""

    features: Tensor
    pieces: tuple[Piece, ...]

    def distinct(self, wording: int = 0) -> tuple[Tensor, tuple[Piece, ...]]:
        """The first clip of each caption: no two captions of this wording are equal."""
        first: dict[str, int] = {}
        for row, piece in enumerate(self.pieces):
            first.setdefault(piece.captions[wording], row)
        rows = list(first.values())
        return self.features[rows], tuple(self.pieces[row] for row in rows)


def hear_split(split: str, n: int, seconds: float, cache: Path) -> Captioned:
    """The first n clips of a split that are loud enough (all where there are fewer), heard or from the cache."""
    labels = {piece.piece_id: piece for piece in read_pieces(data_root() / "music", split)}
    excerpts = load_excerpts(split, seconds)
    folder = cache / f"heard-{heard.fingerprint()}"
    rows: list[np.ndarray] = []
    pieces: list[Piece] = []
    for excerpt in tqdm(excerpts, f"hear {split}", unit="clip", total=min(n, len(excerpts)), leave=False):
        if len(rows) == n:
            break
        if clip := excerpt.read():
            rows.append(kept(folder, clip, heard.hear))
            pieces.append(labels[excerpt.clip_id.rsplit(".", 1)[0]])
    return Captioned(torch.from_numpy(np.stack(rows)), tuple(pieces))


@dataclass(frozen=True)
class Captions:
    """Every distinct caption of some clips, read once: features [m, F], and the row of each text."""

    features: Tensor
    row: dict[str, int]

    def of(self, texts: Sequence[str]) -> Tensor:
        return self.features[[self.row[text] for text in texts]]


def read_captions(data: Captioned, wordings: Sequence[int] | None = None, cache: Path | None = None) -> Captions:
    """Read the captions of the pieces (of these wordings, by default all), or take them from the cache."""
    chosen = range(len(data.pieces[0].captions)) if wordings is None else wordings
    texts = sorted({piece.captions[wording] for piece in data.pieces for wording in chosen})
    name = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    path = cache / f"words-v{words.VERSION}" / f"{name}.npy" if cache else None
    if path is None or not path.exists():
        features = words.read(texts)
        if path:
            atomic_save(path, features.numpy())
    else:
        features = torch.from_numpy(np.load(path))
    return Captions(features, {text: row for row, text in enumerate(texts)})
