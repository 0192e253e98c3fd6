"""How the figures look: one width, readable at a page's width, perceptual and colour-blind-safe colours.

Lines and marks have the colours of Okabe and Ito (2008), images a colour map of even lightness steps. Settings hold
inside `paper()` only; the process's own are left as they were.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ditto.run_directory import write_bytes
from ditto.small_png import write_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_IN = 7.0  # of a page of two columns
GREY = "#999999"
DPI = 200
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PINK = COLOURS = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
_SETTINGS = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 3,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
}


@contextlib.contextmanager
def paper() -> Iterator[None]:
    """The settings of every figure, whatever the user's own are; ends with the block."""
    import matplotlib.style
    from cycler import cycler

    colours = cycler(color=[BLUE, RED, GREEN, ORANGE, PINK, SKY])
    with matplotlib.style.context(["default", {**_SETTINGS, "axes.prop_cycle": colours}]):
        yield


def new(height_in: float) -> Figure:
    """An empty figure of a page's width, without pyplot's global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH_IN, height_in))


def panel_letter(ax: Axes, letter: str) -> None:
    """(a), (b), ... outside the upper left corner."""
    ax.annotate(
        f"({letter})",
        (0, 1),
        xycoords="axes fraction",
        xytext=(-2, 3),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontweight="bold",
    )


def save(figure: Figure, numbers: pd.DataFrame, path: Path) -> list[Path]:
    """Write the picture and, beside it, its numbers; each whole or not at all. Call it inside `paper()`."""
    write_png(figure, path, DPI)
    table = path.with_suffix(".csv")
    write_bytes(table, numbers.to_csv(index=False, float_format="%.6g").encode())
    return [path, table]
