"""The numbers of a figure as rows: target and achieved feature of a clip.

A feature over time has a row a frame; one of two dimensions (a chromagram, a self-similarity) is averaged to at most 24
cells along each axis. Columns: provenance of the clip, feature, series (target or the method), x and y (time in s, or
the index of a row), value.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from torch import Tensor

from ditto.controls.base import Control
from eval.figures.example import Example

CELLS = 24


def feature_rows(example: Example, part: Control) -> pd.DataFrame:
    """Target and achieved feature of one part of the control of a clip."""
    series = {"target": part.target[0], "achieved": example.achieved(part)}
    frames = [grid_rows(values, part).assign(series=name) for name, values in series.items()]
    about = {**example.provenance, "feature": type(part).__name__}
    return pd.concat(frames).assign(**about)[[*about, "series", "x", "y", "value"]]


def grid_rows(values: Tensor, part: Control) -> pd.DataFrame:
    """[T] or [D, T] as rows x (s, the cell's first frame), y (first row of the cell; empty for a curve), value."""
    array = values.float().numpy()
    rate = part.clip.frame_rate
    if array.ndim == 1:
        return pd.DataFrame({"x": np.arange(len(array)) / rate, "y": np.nan, "value": array})
    cells = blocks(array)
    starts = [np.unique(_edges(length)[:-1]) for length in array.shape]
    y, x = np.meshgrid(*starts, indexing="ij")
    return pd.DataFrame({"x": x.ravel() / rate, "y": y.ravel(), "value": cells.ravel()})


def blocks(array: np.ndarray) -> np.ndarray:
    """[D, T] averaged over blocks of nearly equal size, at most `CELLS` along each axis."""
    for axis, length in enumerate(array.shape):
        edges = _edges(length)
        sums = np.add.reduceat(array, edges[:-1], axis=axis)
        array = sums / np.expand_dims(np.diff(edges), tuple(a for a in range(array.ndim) if a != axis))
    return array


def _edges(length: int) -> np.ndarray:
    cells = min(length, CELLS)
    return np.arange(cells + 1) * length // cells
