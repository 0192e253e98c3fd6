"""A tiny rendered corpus for the tests of training: pieces of a rising tone each, the last one in the val split."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

RATE = 22050


def write_music(root: Path, seconds: Sequence[float] = (7.0, 7.0, 7.0, 7.0)) -> None:
    """Write `root`/music with one piece per duration."""
    (root / "music" / "audio").mkdir(parents=True)
    rng, rows = np.random.default_rng(0), []
    for k, length in enumerate(seconds):
        t = np.arange(int(RATE * length)) / RATE
        wave = (0.1 + 0.3 * t / length) * np.sin(2 * np.pi * 330 * 2 ** (k / 4) * t)
        wave += 0.01 * rng.standard_normal(len(t))
        soundfile.write(root / "music" / "audio" / f"p{k}.flac", wave, RATE)
        row = {"piece_id": f"p{k}", "split": "val" if k + 1 == len(seconds) else "train", "file": f"audio/p{k}.flac"}
        rows.append(row | {"captions": json.dumps([f"A calm song number {k}", "a tone"])})
    pd.DataFrame(rows).to_csv(root / "music" / "pieces.csv", index=False)
