"""What a control draws, taken off matplotlib's axes: every control's own `plot` makes the page's small pictures.

By convention of `ditto.controls` what was asked for is dashed or dotted and what was achieved is a full line.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ditto.controls.base import Control

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from matplotlib.lines import Line2D

LARGEST = 144  # rows and columns of a picture
ACHIEVED = (234, 88, 12)  # RGB, between the --made of style.css for light and for dark pages
SHADES = 32


@dataclass(frozen=True, eq=False)
class Line:
    """x, y: [P], NaN where there is nothing. asked: a target, not a result; steps: y holds until the next point."""

    label: str
    x: np.ndarray
    y: np.ndarray
    asked: bool
    steps: bool


@dataclass(frozen=True)
class Picture:
    """A PNG between x = left..right and y = bottom..top (its first row)."""

    png: bytes
    extent: tuple[float, float, float, float]
    achieved: bool  # in the colour of what was achieved, on nothing; else in its own colours


@dataclass(frozen=True, eq=False)
class Drawing:
    """The content of one pair of axes, in data units."""

    lines: list[Line]
    pictures: list[Picture]
    spans: list[tuple[float, float]]  # shaded, from x to x
    words: list[tuple[float, float, str]]  # written at shares of the width (from the left) and the height (from below)
    x_label: str
    y_label: str
    y_ticks: list[tuple[float, str]]  # [] to choose freely
    square: bool


def drawing(control: Control, position: int, x_0: Tensor, wave_BN: Tensor) -> Drawing:
    """Target and achieved feature of one clip of a batch as its control draws them."""
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    control.plot(axes, position, x_0, wave_BN)
    return Drawing(
        lines=[_line(line) for line in axes.lines],
        pictures=[_picture(image) for image in axes.images],
        spans=_spans(axes),
        words=[(*one.get_position(), one.get_text()) for one in axes.texts if one.get_transform() == axes.transAxes],
        x_label=axes.get_xlabel(),
        y_label=axes.get_ylabel(),
        y_ticks=_ticks(axes),
        square=bool(axes.images) and axes.get_aspect() == 1.0,
    )


def _line(line: Line2D) -> Line:
    style, label = line.get_linestyle(), str(line.get_label())
    x, y = (np.asarray(v, dtype=float) for v in line.get_data())
    dots = style in ("None", "none", " ", "")
    return Line("" if label.startswith("_") else label, x, y, style == "--" or dots, dots)


def _picture(image: AxesImage) -> Picture:
    values = np.ma.filled(np.ma.asarray(image.get_array()), np.nan).astype(float)
    left, right, bottom, top = (float(v) for v in image.get_extent())
    if image.origin == "lower":
        values = values[::-1]
    small = _smaller(_smaller(values).T).T
    grey = image.get_cmap().name == "Greys"
    png = _shades(np.asarray(image.norm(small), dtype=float)) if grey else _colours(image.to_rgba(small, bytes=True))
    return Picture(png, (left, right, bottom, top), grey)


def _colours(rgba_RC4: np.ndarray) -> bytes:
    """A PNG of 64 colours."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgba_RC4[..., :3])).quantize(64).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _shades(share_RC: np.ndarray) -> bytes:
    """A PNG of one colour, as opaque as the share in 0..1: it stands on light and on dark pages."""
    from PIL import Image

    levels = np.nan_to_num(np.clip(share_RC, 0, 1) * (SHADES - 1)).round().astype(np.uint8)
    picture = Image.fromarray(levels).convert("L")
    picture.putpalette(ACHIEVED * SHADES)
    buffer = io.BytesIO()
    opacity = bytes(round(255 * k / (SHADES - 1)) for k in range(SHADES))
    picture.save(buffer, "PNG", optimize=True, transparency=opacity)
    return buffer.getvalue()


def _smaller(values: np.ndarray) -> np.ndarray:
    """Means over blocks of rows, [R, ...] -> at most LARGEST rows."""
    if len(values) <= LARGEST:
        return values
    edges = np.linspace(0, len(values), LARGEST + 1).round().astype(int)
    return np.stack([values[a:b].mean(0) for a, b in pairwise(edges)])


def _spans(axes: Axes) -> list[tuple[float, float]]:
    """Where fill_between and axvspan have shaded."""
    from matplotlib.patches import Rectangle

    filled = [np.asarray(path.vertices)[:, 0] for area in axes.collections for path in area.get_paths()]
    spans = [(float(np.min(x)), float(np.max(x))) for x in filled if len(x)]
    boxes = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    return spans + [(box.get_x(), box.get_x() + box.get_width()) for box in boxes]


def _ticks(axes: Axes) -> list[tuple[float, str]]:
    from matplotlib.ticker import FixedLocator

    if not isinstance(axes.yaxis.get_major_locator(), FixedLocator):
        return []
    texts = [label.get_text() for label in axes.get_yticklabels()]
    return [(float(at), text) for at, text in zip(axes.get_yticks(), texts, strict=True)]
