"""Target curves over time: hand-made shapes and the user's own csv."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ditto.controls.base import ControlError

Curve = np.ndarray

# Each shape maps time in [0, 1] to [0, 1]: 0 is the quiet level, 1 the loud one.
SHAPES: dict[str, Callable[[Curve], Curve]] = {
    "crescendo": lambda t: t,
    "decrescendo": lambda t: 1 - t,
    "arch": lambda t: np.sin(np.pi * t),
    "valley": lambda t: 1 - np.sin(np.pi * t),
    "step_up": lambda t: (t >= 0.5).astype(float),
    "step_down": lambda t: (t < 0.5).astype(float),
    "sine": lambda t: (1 - np.cos(4 * np.pi * t)) / 2,
    "flat": lambda t: np.full_like(t, 0.5),
}


def shape_curve(name: str, frames: int, low: float, high: float) -> Curve:
    """A shape of SHAPES between two levels, [T]."""
    if name not in SHAPES:
        raise ControlError(f"unknown curve '{name}': choose auto, {', '.join(SHAPES)}, a list of levels or a .csv file")
    return low + (high - low) * SHAPES[name](np.linspace(0, 1, frames))


def points_curve(levels: list[float], frames: int) -> Curve:
    """Levels evenly spaced over the clip, joined by straight lines, [T]."""
    if len(levels) < 2 or not all(math.isfinite(level) for level in levels):
        raise ControlError(f"a curve needs at least two levels in dB, all finite; got {levels}")
    return np.interp(np.linspace(0, 1, frames), np.linspace(0, 1, len(levels)), levels)


def csv_curve(path: str | Path, times: Curve, seconds: float) -> Curve:
    """Columns time in seconds and level (a header line is allowed), interpolated at `times`, [T]."""
    points = np.array(_read_points(path))
    time, level = points.T
    if (np.diff(time) <= 0).any():
        raise ControlError(f"the times in '{path}' must increase from line to line")
    if time[0] > 0.1 or time[-1] < 0.95 * seconds:
        raise ControlError(
            f"the curve in '{path}' covers {time[0]:g} to {time[-1]:g} s, the clip lasts {seconds:.2f} s: "
            f"give points from 0 to {seconds:.2f} s"
        )
    return np.interp(times, time, level)


def _read_points(path: str | Path) -> list[tuple[float, float]]:
    if not Path(path).is_file():
        raise ControlError(f"no curve at '{path}': give a .csv file with the columns time_s, dB")
    try:
        rows = [row for row in csv.reader(Path(path).read_text().splitlines()) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ControlError(f"cannot read the curve '{path}' as text: {error}") from error
    points = []
    for number, row in enumerate(rows, 1):
        try:
            time, level = map(float, row)
        except ValueError:
            if number == 1:
                continue  # a header
            raise ControlError(f"'{path}', row {number}: expected a time in s and a level in dB, got {row}") from None
        if not (math.isfinite(time) and math.isfinite(level)):
            raise ControlError(f"'{path}', row {number}: time and level must be finite, got {row}")
        points.append((time, level))
    if len(points) < 2:
        raise ControlError(f"the curve '{path}' needs at least two rows of time_s, dB")
    return points
