"""Figure 3: intensity, melody and structure control of one clip, the prompt alone beside DITTO.

A row a task: two log-mel spectrograms, then target against achieved feature of the same two clips.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from eval.figures import panels, style
from eval.figures.example import Example, with_text_only
from eval.figures.numbers import feature_rows, sound_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(options: dict[str, Any], path: Path, tasks: list[str], methods: list[str]) -> list[Path]:
    """Write the picture and its numbers: of the methods the first that has a run; UserError where none has."""
    pairs = [with_text_only(options, task, methods) for task in tasks]
    with style.paper():
        figure = style.new(1.65 * len(tasks) + 0.5)
        grid = figure.subplots(len(tasks), 4, squeeze=False)
        for letter, axes, pair in zip("abcdefgh", grid, pairs, strict=False):
            _row(list(axes), pair, options)
            style.panel_letter(axes[0], letter)
        panels.time_below(grid)
        panels.level_bar(figure, grid[:, :2])
        if grid[-1, -1].images:
            panels.bar(figure, grid[:, 2:], grid[-1, -1], "self-similarity", [0, 0.5, 1])
        return style.save(figure, pd.concat([_numbers(pair) for pair in pairs]), path)


def _row(axes: list[Axes], pair: list[Example], options: dict[str, Any]) -> None:
    for ax, one in zip(axes[:2], pair, strict=True):
        panels.sound(ax, one.wave_BN, one.control, options["labels"][one.made.method])
    panels.one_scale(axes[:2])
    panels.features(axes[2:], pair, 0, options["metrics"])
    for ax, one in zip(axes[2:], pair, strict=True):
        ax.set_title(f"{options['labels'][one.made.method]}\n{ax.get_title()}")


def _numbers(pair: list[Example]) -> pd.DataFrame:
    return pd.concat([*(sound_rows(one, one.wave_BN) for one in pair), feature_rows(pair, 0)])
