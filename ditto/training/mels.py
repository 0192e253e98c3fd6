"""Log-mel cache of the rendered music: one flat float16 file a split, appended piece by piece, resumable after a kill.

`mels/<split>.f16` holds frames one after another, [frames, F]; `mels/<split>.csv` has a row a piece (piece_id, first
frame, frames). The row is written after the frames, so a row always describes complete data.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from tqdm import tqdm

from ditto.audio.mel import LogMel
from ditto.types import UserError

MEL_BINS = 160


@dataclass(frozen=True)
class MelCache:
    """frames_TF: float16 memory map of all frames; index: piece_id, first, frames (one row a piece)."""

    frames_TF: np.ndarray
    index: pd.DataFrame


def build_mels(data_root: Path, split: str) -> MelCache:
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
    _append(missing, folder, store, rows, int((done["first"] + done["frames"]).max()) if len(done) else 0)
    index = pd.read_csv(rows)
    index = index[index["piece_id"].isin(pieces["piece_id"])].reset_index(drop=True)
    frames_TF = np.memmap(store, np.float16, "r").reshape(-1, MEL_BINS)
    return MelCache(frames_TF, index)


def _append(missing: pd.DataFrame, folder: Path, store: Path, rows: Path, first: int) -> None:
    mel = LogMel(mel_bins=MEL_BINS)
    store.touch()
    with open(store, "r+b") as frames_file, open(rows, "a") as rows_file:
        frames_file.truncate(first * MEL_BINS * 2)  # a kill may have left frames without a row
        frames_file.seek(0, 2)
        for piece in tqdm(
            missing.itertuples(), total=len(missing), desc="log-mels", unit="piece", disable=missing.empty
        ):
            wave, _ = soundfile.read(folder / str(piece.file), dtype="float32")
            with torch.no_grad():
                frames_TF = mel(torch.from_numpy(wave)[None])[0].T.contiguous().to(torch.float16).numpy()
            frames_file.write(frames_TF.tobytes())
            frames_file.flush()
            rows_file.write(f"{piece.piece_id},{first},{len(frames_TF)}\n")
            rows_file.flush()
            first += len(frames_TF)
