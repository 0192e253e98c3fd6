"""Figure 7: structure transfer. A recording, and clips that should have its form but not its sound.

Columns: the recording, the prompt alone, DITTO; log-mel spectrogram above, self-similarity (not smoothed) below.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from torch import Tensor

from ditto.controls.reference import reference_waves
from eval.figures import panels, style
from eval.figures.example import Example, with_text_only
from eval.figures.numbers import feature_rows, sound_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TASK = "structure_transfer"


def draw(options: dict[str, Any], path: Path, methods: list[str]) -> list[Path]:
    """Write the picture and its numbers: of the methods the first that has a run; UserError where none has."""
    pair = with_text_only(options, TASK, methods)
    with style.paper():
        figure = style.new(4.1)
        grid = figure.subplots(2, 3, height_ratios=[1, 1.45])
        _column(grid[:, 0], pair[0], recording(pair[0]), pair[0].control.target[0], "recording")
        for axes, one in zip(grid[:, 1:].T, pair, strict=True):
            value = options["metrics"]["structure_mse"].format(one.value("structure_mse"))
            title = f"{options['labels'][one.made.method]}, {value}"
            _column(axes, one, one.wave_BN, one.achieved(one.control), title)
        for row in grid:
            panels.one_scale(list(row))
        panels.time_below(grid)
        panels.level_bar(figure, grid[0], "right")
        panels.bar(figure, grid[1], grid[1, 0], "self-similarity", [0, 0.5, 1], "right")
        numbers = [*(sound_rows(one, one.wave_BN) for one in pair), feature_rows(pair, 0)]
        return style.save(figure, pd.concat(numbers), path)


def recording(one: Example) -> Tensor:
    """The recording whose form is the clip's target, [1, N]."""
    control: Any = one.control
    return reference_waves(control.reference, control.start_s, control.clip, control.clips)


def _column(axes: list[Axes], one: Example, wave_BN: Tensor, similarity_TT: Tensor, title: str) -> None:
    panels.sound(axes[0], wave_BN, one.control, title)
    end = one.control.clip.seconds
    axes[1].imshow(similarity_TT.numpy(), vmin=0, vmax=1, extent=(0, end, end, 0), cmap="magma")
    axes[1].set(xlabel="time (s)", ylabel="time (s)")
    axes[1].spines[:].set_visible(True)
