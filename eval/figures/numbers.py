"""The numbers of a figure as rows: what each panel shows of a clip.

A curve over time has a row a frame. An image (a spectrogram in dB, a chromagram, a self-similarity) is averaged to at
most 16 cells along each axis; a feature of more dimensions is drawn, and listed, as the mean over all but its frames.
Columns: provenance of the clip (empty for the target, which all methods share), feature, series (target or the method),
x (s), y (an image's first row of the cell), value.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from ditto.plots import mel_db
from eval.figures.example import Example

CELLS = 16
AXES = ["feature", "series", "x", "y", "value"]


def feature_rows(row: Sequence[Example], part: int) -> pd.DataFrame:
    """Target, and achieved feature of each example, of one part of the control."""
    first = row[0].control.parts()[part]
    feature, rate = first.metric.rsplit("_", 1)[0], first.clip.frame_rate
    shared = {name: row[0].provenance[name] for name in ("task", "clip")}
    frames = [grid_rows(first.target[0].numpy(), rate).assign(**shared, feature=feature, series="target")]
    for one in row:
        achieved = one.achieved(one.control.parts()[part]).numpy()
        frames.append(grid_rows(achieved, rate).assign(**one.provenance, feature=feature, series=one.made.method))
    return pd.concat(frames)[[*row[0].provenance, *AXES]]


def sound_rows(one: Example, wave_BN: Tensor, window: tuple[float, float] | None = None) -> pd.DataFrame:
    """The spectrogram in dB re its loudest value; of a window in s, where only that is shown."""
    rate = one.control.clip.frame_rate
    level_FT = mel_db(wave_BN[0].numpy(), one.control.clip)
    first, end = (round(min(max(0.0, time) * rate, level_FT.shape[1])) for time in window or (0.0, np.inf))
    rows = grid_rows(level_FT[:, first:end], rate)
    rows["x"] += first / rate
    about = {**one.provenance, "feature": "level_db", "series": one.made.method}
    return rows.assign(**about)[[*one.provenance, *AXES]]


def grid_rows(values: np.ndarray, rate: float) -> pd.DataFrame:
    """[T], [D, T] or [C, F, T] at `rate` frames a second as rows x (s), y, value: where a cell begins, and its mean."""
    array = values.astype(float)
    array = array.mean((0, 1)) if array.ndim > 2 else array
    if array.ndim == 1:
        return pd.DataFrame({"x": np.arange(len(array)) / rate, "y": np.nan, "value": array})
    y, x = np.meshgrid(*(_edges(length)[:-1] for length in array.shape), indexing="ij")
    return pd.DataFrame({"x": x.ravel() / rate, "y": y.ravel(), "value": blocks(array).ravel()})


def blocks(array: np.ndarray) -> np.ndarray:
    """[D, T] averaged over blocks of nearly equal size, at most `CELLS` along each axis."""
    for axis, length in enumerate(array.shape):
        edges = _edges(length)
        sums = np.add.reduceat(array, edges[:-1], axis=axis)
        array = sums / np.expand_dims(np.diff(edges), 1 - axis)
    return array


def _edges(length: int) -> np.ndarray:
    cells = min(length, CELLS)
    return np.arange(cells + 1) * length // cells
