"""Log-mel cache of the rendered music: one flat float16 file a split, appended piece by piece, resumable after a kill.

Training builds it by itself; `python -m ditto.training.mels --workers 16` does so beforehand on many cores.

`mels/<split>.f16` holds frames one after another, [frames, F]; `mels/<split>.csv` has a row a piece (piece_id, first
frame, frames). The row is written after the frames, so a row always describes complete data.
"""

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from tqdm import tqdm

from ditto.audio.mel import LogMel
from ditto.training.workers import ordered_map, prepare_splits
from ditto.types import UserError

MEL_BINS = 160


@dataclass(frozen=True)
class MelCache:
    """frames_TF: float16 memory map of all frames; index: piece_id, first, frames (one row a piece)."""

    frames_TF: np.ndarray
    index: pd.DataFrame


def build_mels(data_root: Path, split: str, workers: int = 1) -> MelCache:
    """Append the pieces of `split` that are rendered but not cached yet, then open the cache."""
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
    _append(missing, folder, store, rows, first, workers)
    index = pd.read_csv(rows)
    index = index[index["piece_id"].isin(pieces["piece_id"])].reset_index(drop=True)
    frames_TF = np.memmap(store, np.float16, "r").reshape(-1, MEL_BINS)
    return MelCache(frames_TF, index)


@cache
def _mel() -> LogMel:
    return LogMel(mel_bins=MEL_BINS)


def _frames(path: Path) -> np.ndarray:
    """Log-mel of a file, float16 [frames, F]."""
    wave, _ = soundfile.read(path, dtype="float32")
    with torch.no_grad():
        return _mel()(torch.from_numpy(wave)[None])[0].T.contiguous().to(torch.float16).numpy()


def _append(missing: pd.DataFrame, folder: Path, store: Path, rows: Path, first: int, workers: int) -> None:
    if missing.empty:
        return
    store.touch()
    made = ordered_map(_frames, [folder / str(name) for name in missing["file"]], workers)
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

    def build(data_root: Path, split: str, workers: int) -> str:
        cache = build_mels(data_root, split, workers)
        return f"{len(cache.index)} pieces, {len(cache.frames_TF)} frames"

    return prepare_splits("ditto.training.mels", (__doc__ or "").splitlines()[0], build)


if __name__ == "__main__":
    sys.exit(main())
