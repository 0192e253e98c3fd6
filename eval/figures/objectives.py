"""Figures 8 and 9: several objectives at once, one clip, the prompt alone beside DITTO.

Two columns a task: the log-mel spectrogram of what is heard, then target against achieved of each objective. Time is
that of the new clip; what comes before 0 is the recording that it continues.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from eval.control.joins import joins
from eval.figures import panels, stitched, style
from eval.figures.example import Example, with_text_only
from eval.figures.numbers import feature_rows, sound_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BEFORE_S = 2.0  # of the recording


def draw(options: dict[str, Any], path: Path, tasks: list[str], methods: list[str]) -> list[Path]:
    """Write the picture and its numbers: of the methods the first that has a run; UserError where none has."""
    pairs = [with_text_only(options, task, methods) for task in tasks]
    parts = len(pairs[0][0].control.parts())
    with style.paper():
        figure = style.new(1.5 * (1 + parts) + 0.6)
        grid = figure.subplots(1 + parts, 2 * len(tasks), squeeze=False)
        for k, pair in enumerate(pairs):
            _block(grid[:, 2 * k : 2 * k + 2], pair, options)
            if len(pairs) > 1:
                style.panel_letter(grid[0, 2 * k], "abcdefgh"[k])
        panels.time_below(grid)
        panels.level_bar(figure, grid)
        if any(_spans(pair[0]) for pair in pairs):
            stitched.key(figure)
        return style.save(figure, pd.concat([_numbers(pair, parts) for pair in pairs]), path)


def _block(grid: Any, pair: list[Example], options: dict[str, Any]) -> None:
    for ax, one in zip(grid[0], pair, strict=True):
        _heard(ax, one, options["labels"][one.made.method])
    panels.one_scale(list(grid[0]))
    for k, axes in enumerate(grid[1:]):
        panels.features(list(axes), pair, k, options["metrics"])
        for ax in axes:
            if ax.get_aspect() == "auto":
                ax.set_xlim(grid[0, 0].get_xlim())


def _heard(ax: Axes, one: Example, title: str) -> None:
    """What is heard, the start of the new clip at 0, crossfades marked."""
    seconds, before = one.control.clip.seconds, _before(one)
    image = panels.sound(ax, one.heard_BN, one.control, title)
    image.set_extent((-before, seconds, *image.get_extent()[2:]))
    ax.set_xlim(-min(before, BEFORE_S), seconds)
    if _spans(one):
        stitched.mark(ax, _spans(one))
        (part,) = (part for part in one.control.parts() if joins(part))
        stitched.strip(ax, stitched.share_of_new(part), (-before, seconds))


def _before(one: Example) -> float:
    """How much is heard, in s, before the new clip begins."""
    return one.heard_BN.shape[1] / one.control.clip.sample_rate - one.control.clip.seconds


def _spans(one: Example) -> list[tuple[float, float]]:
    """Start and end of each crossfade in s of the new clip."""
    rate, before = one.control.clip.sample_rate, _before(one)
    return [(a / rate - before, b / rate - before) for part in one.control.parts() for a, b in joins(part)]


def _numbers(pair: list[Example], parts: int) -> pd.DataFrame:
    heard = [sound_rows(one, one.heard_BN, (_before(one) - BEFORE_S, float("inf"))) for one in pair]
    for one, rows in zip(pair, heard, strict=True):
        rows["x"] -= _before(one)
    return pd.concat([*heard, *(feature_rows(pair, k) for k in range(parts))])
