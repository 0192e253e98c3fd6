"""Figure 4: the seams of outpainting, inpainting and looping, by method.

A row a task, a column a method: the log-mel spectrogram of the stitched piece around its crossfades. A loop is shown
from the middle of its recording on, so that both of its crossfades are inside.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from eval.control.joins import joins
from eval.figures import panels, stitched, style
from eval.figures.example import Example, examples
from eval.figures.numbers import sound_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AROUND_S = 2.0  # of the piece, before the first crossfade and after the last


def draw(options: dict[str, Any], path: Path, tasks: list[str], methods: list[str]) -> list[Path]:
    """Write the picture and its numbers; UserError where a run is missing."""
    rows = [examples(options, task, methods) for task in tasks]
    numbers = []
    with style.paper():
        figure = style.new(1.5 * len(tasks) + 0.9)
        grid = figure.subplots(len(tasks), len(methods), squeeze=False)
        for axes, row in zip(grid, rows, strict=True):
            numbers += [_panel(ax, one) for ax, one in zip(axes, row, strict=True)]
            panels.one_scale(list(axes))
            axes[0].set_ylabel(f"{row[0].made.task}\nfrequency (Hz)")
        for ax, method in zip(grid[0], methods, strict=True):
            ax.set_title(options["labels"][method], pad=9)
        panels.time_below(grid)
        stitched.key(figure)
        panels.level_bar(figure, grid)
        return style.save(figure, pd.concat(numbers), path)


def _panel(ax: Axes, one: Example) -> pd.DataFrame:
    """Draw it; its numbers."""
    rate = one.control.clip.sample_rate
    first = turned_by(one)
    turned_BN = torch.roll(one.heard_BN, -first, 1)
    seconds = turned_BN.shape[1] / rate
    places = [((start - first) % turned_BN.shape[1] / rate, (end - start) / rate) for start, end in joins(one.control)]
    marks = [(start, start + length) for start, length in places]
    panels.sound(ax, turned_BN, one.control)
    stitched.mark(ax, marks)
    window = max(0, min(a for a, _ in marks) - AROUND_S), min(seconds, max(b for _, b in marks) + AROUND_S)
    ax.set_xlim(window)
    stitched.strip(ax, np.roll(stitched.share_of_new(one.control), -first), (0, seconds))
    panels.boxed(ax, f"seam {stitched.seam(one).get('seam_ratio', float('nan')):.2f}")
    return pd.concat([sound_rows(one, turned_BN, window), stitched.join_rows(one, marks)])


def turned_by(one: Example) -> int:
    """First sample shown: 0, or, of a loop (which has a crossfade at its start), half-way to the next crossfade."""
    spans = sorted(joins(one.control))
    if not stitched.circular(one.control):
        return 0
    following = spans[1][0] if len(spans) > 1 else one.heard_BN.shape[1]
    return (spans[0][1] + following) // 2
