"""Control features of the rendered music, a row for every frame of the log-mel cache; resumable after a kill.

`features/<split>.f16` is flat float16 [frames, D]; row k describes the same frame as row k of `mels/<split>.f16`. The
values come from the wave of each piece by the functions and parameters of the controls themselves, so that what is
learnt is what the controls measure: level in dB (not smoothed), chroma (Melody) and MFCCs (Structure). Pieces are
measured in excerpts of a clip's length, as in a clip, with enough context that no frame sees their edges.

Training builds the file by itself (minutes a CPU core for ten hours of music); `python -m ditto.training.features` does
so beforehand. Shapes: N samples, T frames, D columns, K excerpts.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from ditto.audio.features import chroma, mfcc, rms_db
from ditto.controls.melody import Melody
from ditto.controls.structure import Structure
from ditto.training.mels import MelCache, build_mels
from ditto.training.workers import map_waves, prepare_splits
from ditto.types import UserError

SAMPLE_RATE, HOP = 22050, 256
EXCERPT = 512  # frames: a clip of the embedded model
CONTEXT = 8  # frames on each side: half a window of 2048 samples, and half of the chroma's smoothing
RMS_DB = slice(0, 1)
CHROMA = slice(1, 13)  # shares of the 12 pitch classes, as Melody measures them
MFCC = slice(13, 13 + Structure.n_mfcc - 1)
COLUMNS = MFCC.stop


def build_features(data_root: Path, split: str, workers: int = 1, device: str = "cpu") -> np.ndarray:
    """Append the pieces of `split` that are missing, then open the features: float16 memory map [frames, D].

    `workers` and `device` are those of :func:`build_mels`.
    UserError where there is no music, or where a piece is no longer as the log-mel cache has it.
    """
    cache = build_mels(data_root, split, workers, device)
    folder = data_root / "music"
    store = folder / "features" / f"{split}.f16"
    store.parent.mkdir(parents=True, exist_ok=True)
    _append(cache, folder, store, workers, device)
    return np.memmap(store, np.float16, "r").reshape(-1, COLUMNS)


def measure(wave_N: Tensor) -> Tensor:
    """The features of a piece, [N] -> [T, D] with T = N // HOP."""
    frames = len(wave_N) // HOP
    excerpts = -(-frames // EXCERPT)
    after = (excerpts * EXCERPT + CONTEXT) * HOP - len(wave_N)
    padded = torch.nn.functional.pad(wave_N, (CONTEXT * HOP, after))
    wave_KN = padded.unfold(0, (EXCERPT + 2 * CONTEXT) * HOP, EXCERPT * HOP)
    window = round(Melody.smoothing_s * SAMPLE_RATE / HOP)
    columns = [
        rms_db(wave_KN, HOP)[:, None],
        chroma(wave_KN, SAMPLE_RATE, HOP, Melody.n_fft, Melody.cutoff_hz, window),
        mfcc(wave_KN, SAMPLE_RATE, HOP, Structure.n_mfcc),
    ]
    features_KDT = torch.cat(columns, 1)[..., CONTEXT:-CONTEXT]
    return features_KDT.transpose(1, 2).flatten(0, 1)[:frames]


def _append(cache: MelCache, folder: Path, store: Path, workers: int, device: str) -> None:
    """Write what lies beyond the last complete piece. Rows of pieces that left the corpus stay in place, as zeros."""
    store.touch()
    ends = (cache.index["first"] + cache.index["frames"]).to_numpy()
    made = store.stat().st_size // (2 * COLUMNS)
    missing = cache.index[ends > made].reset_index(drop=True)
    if missing.empty and made == len(cache.frames_TF):
        return
    files = pd.read_csv(folder / "pieces.csv").set_index("piece_id")["file"]
    paths = [folder / str(files[name]) for name in missing["piece_id"]]
    measured = map_waves(measure, paths, workers, device)
    with open(store, "r+b") as file:
        file.truncate(int(ends[ends <= made].max(initial=0)) * COLUMNS * 2)  # a kill may have left part of a piece
        _write(file, missing, measured)
        file.truncate(len(cache.frames_TF) * COLUMNS * 2)


def _write(file: BinaryIO, missing: pd.DataFrame, measured: Iterator[np.ndarray]) -> None:
    rows = zip(missing.itertuples(), measured, strict=True)
    for row, features_TD in tqdm(rows, total=len(missing), desc="control features", unit="piece"):
        if len(features_TD) != row.frames:
            raise UserError(
                f"{row.piece_id} has {len(features_TD)} frames, its log-mels {row.frames}: remove mels and features, "
                f"both are made again"
            )
        file.seek(row.first * COLUMNS * 2)  # beyond the end: the gap reads as zeros
        file.write(features_TD.tobytes())
        file.flush()


def main() -> int:
    """Build the features of train and val."""

    def build(data_root: Path, split: str, workers: int, device: str) -> str:
        return f"{len(build_features(data_root, split, workers, device))} frames"

    return prepare_splits("ditto.training.features", (__doc__ or "").splitlines()[0], build)


if __name__ == "__main__":
    sys.exit(main())
