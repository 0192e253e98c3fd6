"""Figure 6: reference-free loops. The loop played three times, the prompt alone against DITTO, joins marked.

Text-only is closed into a loop in the same way: the same windows, the same crossfade.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from eval.control.joins import joins
from eval.figures import panels, stitched, style
from eval.figures.example import Example, with_text_only
from eval.figures.numbers import sound_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TASK = "loop_free"
TURNS = 3
AROUND_S = 0.75


def draw(options: dict[str, Any], path: Path, methods: list[str]) -> list[Path]:
    """Write the picture and its numbers; UserError where the run is missing."""
    pair = with_text_only(options, TASK, methods)
    with style.paper():
        figure = style.new(4.2)
        grid = figure.subplots(2, 2, width_ratios=[3, 1])
        for axes, one in zip(grid, pair, strict=True):
            _row(list(axes), one, options)
        panels.time_below(grid)
        panels.level_bar(figure, grid)
        numbers = [_numbers(one) for one in pair]
        return style.save(figure, pd.concat(numbers), path)


def _row(axes: list[Axes], one: Example, options: dict[str, Any]) -> None:
    """Three turns, and the first join enlarged."""
    value = options["metrics"]["overlap_mse"].format(one.value("overlap_mse"))
    seam = f"seam {stitched.seam(one).get('seam_ratio', float('nan')):.2f}"
    titles = f"{options['labels'][one.made.method]}, {value}", seam
    spans = _joins(one)
    for ax, title in zip(axes, titles, strict=True):
        panels.sound(ax, one.heard_BN.repeat(1, TURNS), one.control, title)
        stitched.mark(ax, spans)
    axes[1].set_xlim(spans[0][0] - AROUND_S, spans[0][1] + AROUND_S)
    panels.one_scale(axes)


def _joins(one: Example) -> list[tuple[float, float]]:
    """Start and end, in s, of each crossfade from one turn to the next."""
    rate, turn = one.control.clip.sample_rate, one.heard_BN.shape[1]
    return [
        ((k * turn + start) / rate, (k * turn + end) / rate)
        for k in range(1, TURNS)
        for start, end in joins(one.control)
    ]


def _numbers(one: Example) -> pd.DataFrame:
    return pd.concat([sound_rows(one, one.heard_BN.repeat(1, TURNS)), stitched.join_rows(one, _joins(one))])
