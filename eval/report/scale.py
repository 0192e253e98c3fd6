"""Axes of the small pictures: from data to the SVG's units, and round numbers for ticks.

Labels of y stand inside a plot over time, so that its axis is as wide as the spectrogram above it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT, FOOT = 200.0, 90.0, 12.0  # in the SVG's units; FOOT: the line of x labels
SQUARE = 132.0  # height of a matrix
WIDE, MARGIN = (420.0, 150.0), 26.0  # width and height of a plot in two columns; room for its y labels


@dataclass(frozen=True)
class Scale:
    """From data to the SVG: x and y are (first, last) of the axes, y[0] at the bottom. log: y are logarithms."""

    x: tuple[float, float]
    y: tuple[float, float]
    log: bool = False
    left: float = 0.0
    width: float = WIDTH
    height: float = HEIGHT - FOOT

    def across(self, x: float) -> float:
        return self.left + self.width * (x - self.x[0]) / (self.x[1] - self.x[0] or 1)

    def up(self, y: float) -> float:
        y = math.log10(max(y, 1e-30)) if self.log else y
        return self.height * (1 - (y - self.y[0]) / (self.y[1] - self.y[0] or 1))


def span(values: Iterable[np.ndarray]) -> tuple[float, float]:
    """Least and greatest of the finite values; (0, 0) where there are none."""
    arrays = [np.asarray(v)[np.isfinite(v)] for v in values]
    joined = np.concatenate(arrays) if arrays else np.zeros(0)
    return (float(joined.min()), float(joined.max())) if joined.size else (0.0, 0.0)


def ticks(low: float, high: float, most: int = 4) -> list[tuple[float, str]]:
    """Round numbers within an axis, at most `most` + 1 of them."""
    low, high = min(low, high), max(low, high)
    raw = (high - low) / most or 1.0
    base = 10.0 ** math.floor(math.log10(raw))
    step = next(base * m for m in (1, 2, 5, 10) if base * m >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [(k * step, f"{k * step:.6g}".replace("-", "−")) for k in range(first, last + 1)]
