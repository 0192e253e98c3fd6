"""Log-mel cache of the rendered music: one flat float16 file a split, appended piece by piece, resumable after a kill.

Training builds it by itself; `python -m ditto.training.mels --workers 16` does so beforehand on many cores, and on a
GPU where there is one.

`mels/<split>.f16` holds frames one after another, [frames, F]; `mels/<split>.csv` has a row a piece (piece_id, first
frame, frames). The row is written after the frames, so a row always describes complete data.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from ditto.audio.mel import LogMel
from ditto.training.workers import map_waves, prepare_splits
from ditto.types import UserError

MEL_BINS = 160
FRAMES = 512  # of a window: a clip of the embedded model


@dataclass(frozen=True)
class MelCache:
    """frames_TF: float16 memory map of all frames; index: piece_id, first, frames (one row a piece)."""

    frames_TF: np.ndarray
    index: pd.DataFrame

    def windows(self, firsts: list[int], gains_db: list[float]) -> Tensor:
        """The windows that begin at these rows, each with its gain: mel_BFT float32."""
        drawn = zip(firsts, gains_db, strict=True)
        return torch.from_numpy(np.stack([self._window(first, gain_db) for first, gain_db in drawn])).transpose(1, 2)

    def _window(self, first: int, gain_db: float) -> np.ndarray:
        window = self.frames_TF[first : first + FRAMES].astype(np.float32)
        gain = gain_db * np.log(10) / 20
        return np.maximum(window + gain, np.log(1e-5)).astype(np.float32)


def build_mels(data_root: Path, split: str, workers: int = 1, device: str = "cpu") -> MelCache:
    """Append the pieces of `split` that are rendered but not cached yet, then open the cache.

    `device` computes; on a CPU that is `workers` processes, otherwise as many threads read the files for it.
    """
    folder = data_root / "music"
    table = folder / "pieces.csv"
    if not table.exists():
        raise UserError(f"no music under {folder}: run `python -m ditto.data.build` first")
    pieces = pd.read_csv(table)
    pieces = pieces[pieces["split"] == split]
    if pieces.empty:
        raise UserError(f"{table} has no rendered piece of the split {split!r}: run `python -m ditto.data.build`")
    store, rows = folder / "mels" / f"{split}.f16", folder / "mels" / f"{split}.csv"
    store.parent.mkdir(parents=True, exist_ok=True)
    if not rows.exists():
        rows.write_text("piece_id,first,frames\n")
    done = pd.read_csv(rows)
    missing = pieces[~pieces["piece_id"].isin(done["piece_id"])]
    first = int((done["first"] + done["frames"]).max()) if len(done) else 0
    made = map_waves(log_mel, [folder / str(name) for name in missing["file"]], workers, device)
    _append(missing, made, store, rows, first)
    index = pd.read_csv(rows)
    index = index[index["piece_id"].isin(pieces["piece_id"])].reset_index(drop=True)
    frames_TF = np.memmap(store, np.float16, "r").reshape(-1, MEL_BINS)
    return MelCache(frames_TF, index)


@cache
def _mel(device: torch.device) -> LogMel:
    return LogMel(mel_bins=MEL_BINS).to(device)


def log_mel(wave_N: Tensor) -> Tensor:
    """Of a piece: [frames, F]."""
    return _mel(wave_N.device)(wave_N[None])[0].T


def _append(missing: pd.DataFrame, made: Iterator[np.ndarray], store: Path, rows: Path, first: int) -> None:
    if missing.empty:
        return
    store.touch()
    with open(store, "r+b") as frames_file, open(rows, "a") as rows_file:
        frames_file.truncate(first * MEL_BINS * 2)  # a kill may have left frames without a row
        frames_file.seek(0, 2)
        bar = tqdm(zip(missing["piece_id"], made, strict=True), total=len(missing), desc="log-mels", unit="piece")
        for piece_id, frames_TF in bar:
            frames_file.write(frames_TF.tobytes())
            frames_file.flush()
            rows_file.write(f"{piece_id},{first},{len(frames_TF)}\n")
            rows_file.flush()
            first += len(frames_TF)


def main() -> int:
    """Build the caches of train and val."""

    def build(data_root: Path, split: str, workers: int, device: str) -> str:
        cache = build_mels(data_root, split, workers, device)
        return f"{len(cache.index)} pieces, {len(cache.frames_TF)} frames"

    return prepare_splits("ditto.training.mels", (__doc__ or "").splitlines()[0], build)


if __name__ == "__main__":
    sys.exit(main())
