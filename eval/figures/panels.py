"""Panels that several figures share: a spectrogram, and target against achieved as the control itself draws it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from ditto.controls.base import Control
from ditto.plots import RANGE_DB, spectrogram
from eval.figures.example import Example

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase
    from matplotlib.image import AxesImage


def sound(ax: Axes, wave_BN: Tensor, control: Control, title: str = "") -> AxesImage:
    """Log-mel spectrogram of the first wave, over seconds and hertz."""
    image = spectrogram(ax, wave_BN[0].numpy(), control.clip)
    image.set_rasterized(True)
    ax.set(xlabel="time (s)", ylabel="frequency (Hz)")
    ax.set_title(title)
    ax.spines[:].set_visible(True)
    return image


def feature(ax: Axes, example: Example, part: Control) -> None:
    """Target against achieved of one part of the control; the part's metric of this clip as title."""
    part.plot(ax, 0, example.x_0, example.wave_BN)
    name = part.metric.replace("_", " ").replace("mse", "MSE")
    ax.set_title(f"{name} {example.value(part.metric):.3g}")
    if not ax.images:
        ax.margins(x=0)
    legend = ax.get_legend()
    if legend is not None:
        legend.set_frame_on(bool(ax.images))


def level_bar(figure: FigureBase, image: AxesImage, axes: Sequence[Axes]) -> None:
    """The scale of the spectrograms."""
    bar = figure.colorbar(image, ax=list(axes), pad=0.01, aspect=30, shrink=0.6)
    bar.set_label("dB below the loudest")
    bar.set_ticks([0, -RANGE_DB / 2, -RANGE_DB])
    bar.outline.set_linewidth(0.6)  # type: ignore[operator]


def outer_labels(axes: Sequence[Axes]) -> None:
    """Only the first panel of a row keeps the label and the numbers of its y axis."""
    for ax in axes[1:]:
        ax.set_ylabel("")
        ax.tick_params(labelleft=False)
