"""Captions of the training pieces, encoded once by the frozen text encoder and kept as float16 on disk."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ditto.models.text import LENGTH, WIDTH, shared_text_encoder


@dataclass(frozen=True)
class CaptionBank:
    """Encoded captions. tokens [n, L, D] float16, lengths [n] int16; row 0 is the empty prompt (CFG's null)."""

    tokens: np.ndarray
    lengths: np.ndarray
    row_of: dict[str, int]

    def batch(self, rows: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """-> tokens_BLD, mask_BL, pooled_BD, all float32."""
        tokens_BLD = torch.from_numpy(self.tokens[rows].astype(np.float32))
        lengths = torch.from_numpy(self.lengths[rows].astype(np.int64))
        mask_BL = (torch.arange(LENGTH)[None] < lengths[:, None]).float()
        return tokens_BLD, mask_BL, (tokens_BLD * mask_BL[..., None]).sum(1) / lengths[:, None]


def build_captions(folder: Path, captions: list[str], batch: int = 64) -> CaptionBank:
    """Encode the distinct captions (and the empty one), or reuse the bank on disk made from the same list."""
    texts = ["", *sorted(set(captions) - {""})]
    name = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    tokens_path, lengths_path = folder / f"{name}.tokens.f16", folder / f"{name}.lengths.npy"
    if not lengths_path.exists():
        _encode(texts, tokens_path, lengths_path, batch)
    tokens = np.memmap(tokens_path, np.float16, "r").reshape(len(texts), LENGTH, WIDTH)
    return CaptionBank(tokens, np.load(lengths_path), {text: row for row, text in enumerate(texts)})


def _encode(texts: list[str], tokens_path: Path, lengths_path: Path, batch: int) -> None:
    encoder = shared_text_encoder()
    tokens = np.memmap(tokens_path, np.float16, "w+", shape=(len(texts), LENGTH, WIDTH))
    lengths = np.zeros(len(texts), np.int16)
    # Captions of like length share a batch, so that little is spent on padding.
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    for start in tqdm(range(0, len(order), batch), desc="captions", unit="batch"):
        rows = order[start : start + batch]
        encoded = encoder([texts[row] for row in rows])
        tokens[rows] = (encoded.tokens_BLD * encoded.mask_BL[..., None]).half().numpy()
        lengths[rows] = encoded.mask_BL.sum(1).to(torch.int16).numpy()
    tokens.flush()
    np.save(lengths_path, lengths)  # written last: its presence says that the bank is whole
