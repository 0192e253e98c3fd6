"""Figure 3: intensity, melody and structure control of one clip, the prompt alone beside DITTO.

A row a task: two log-mel spectrograms, then target against achieved feature of the same two clips.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from eval.figures import panels, style
from eval.figures.example import Example, with_text_only
from eval.figures.numbers import feature_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(options: dict[str, Any], path: Path, tasks: list[str], methods: list[str]) -> list[Path]:
    """Write the picture and its numbers: of the methods the first that has a run; UserError where none has."""
    pairs = [with_text_only(options, task, methods) for task in tasks]
    with style.paper():
        figure = style.new(1.75 * len(tasks) + 0.2)
        grid = figure.subplots(len(tasks), 4, squeeze=False)
        for letter, axes, pair in zip("abcdefgh", grid, pairs, strict=False):
            image = _row(axes, pair, options["labels"])
            style.panel_letter(axes[0], letter)
        panels.level_bar(figure, image, grid[:, 1])
        numbers = pd.concat([feature_rows(one, one.control) for pair in pairs for one in pair])
        return style.save(figure, numbers, path)


def _row(axes: list[Axes], pair: list[Example], labels: dict[str, str]) -> Any:
    for ax, one in zip(axes[:2], pair, strict=True):
        image = panels.sound(ax, one.wave_BN, one.control, labels[one.made.method])
    for ax, one in zip(axes[2:], pair, strict=True):
        panels.feature(ax, one, one.control)
    return image
