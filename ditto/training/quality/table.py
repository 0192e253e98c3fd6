"""The table of the quality command: rows of several models, each known by the hash of its weights.

Columns: set, T (sampling steps) and guidance_scale (both empty for sets that no sampler makes), metric, value, low,
high (95 %), n (clips), prompts (different ones), reference (what FAD is against, or which judge), commit, weights,
waves (the folder of the sound), device.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ditto.environment import commit, device_name
from ditto.models.base import MusicModel
from eval.sets import Row

COLUMNS = ["set", "T", "guidance_scale", "metric", "value", "low", "high", "n", "prompts", "reference", "commit",
           "weights", "waves", "device"]  # fmt: skip
TYPES = {"T": "Int64", "guidance_scale": float, "prompts": "Int64"}


def table(rows: Sequence[Row], model: MusicModel) -> pd.DataFrame:
    """Rows of one model with where they come from."""
    same = {"commit": commit(), "weights": model.weights_hash, "device": device_name(model.device)}
    made = pd.DataFrame([{**one, **same} for one in rows]).reindex(columns=COLUMNS)
    return made.astype(TYPES)


def merged(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """`old` with the sets of `new` in place of the same weights' sets at the same T and guidance; other rows stay.

    Sets that differ in their prompts are two (n and n_large): measuring the small one again keeps the large one's rows.
    A table from before there were these columns says too little about its sets: all rows of these weights go.
    """
    if not {"T", "guidance_scale"} <= set(old):
        stale = old["weights"].isin(new["weights"])
    else:
        stale = pd.Series(_keys(old), index=old.index).isin(set(_keys(new)))
    kept = old[~stale].reindex(columns=COLUMNS).astype(TYPES)
    return pd.concat([one for one in (kept, new) if len(one)], ignore_index=True)


def _keys(rows: pd.DataFrame) -> list[tuple[str, str, float, float, float]]:
    told = [pd.to_numeric(rows[name]).astype(float).fillna(-1.0) for name in TYPES]
    return list(zip(rows["weights"], rows["set"], *told, strict=True))


def write(path: Path, new: pd.DataFrame) -> pd.DataFrame:
    """Merge into the file, whole or not at all; returns what the file now holds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = {"weights": str, "waves": str, "commit": str}  # hexadecimal digits that may look like a number
    whole = merged(pd.read_csv(path, dtype=text), new) if path.exists() else new
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    whole.to_csv(partial, index=False, float_format="%.6g")
    partial.replace(path)
    return whole
