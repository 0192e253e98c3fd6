"""Panels that several figures share: a spectrogram, and target against achieved as the control itself draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
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
    ax.set(xlabel="time (s)", ylabel="frequency (Hz)", title=title)
    _thin_out(ax, ax.get_ylim()[1] / 8)
    ax.spines[:].set_visible(True)
    return image


def _thin_out(ax: Axes, gap: float) -> None:
    """Keep the frequencies whose numbers have room beside each other, from the highest down."""
    kept: list[Any] = []
    for place, words in sorted(zip(ax.get_yticks(), ax.get_yticklabels(), strict=True), key=lambda tick: -tick[0]):
        if not kept or kept[-1][0] - place >= gap:
            kept.append((place, words.get_text()))
    ax.set_yticks([place for place, _ in kept], [words for _, words in kept])


def features(axes: Sequence[Axes], row: Sequence[Example], part: int, metrics: Mapping[str, str]) -> None:
    """Target against achieved of one part of the control, a panel a clip, on one scale; its metric as title."""
    for ax, one in zip(axes, row, strict=True):
        control = one.control.parts()[part]
        control.plot(ax, 0, one.x_0, one.wave_BN)
        form = metrics.get(control.metric, f"{control.metric.replace('_', ' ')} {{:.3g}}")
        ax.set_title(form.format(one.value(control.metric)))
        ax.spines[["top", "right"]].set_visible(bool(ax.images))
        ax.margins(x=0)
        legend = ax.get_legend()
        if legend is not None and (ax.images or ax is not axes[0]):
            legend.remove()
    one_scale(axes)


def one_scale(axes: Sequence[Axes]) -> None:
    """The panels of a row have the limits that hold all of them; the first one keeps the labels and the legend."""
    limits = np.array([sorted(ax.get_ylim()) for ax in axes])
    for ax in axes:
        if not ax.yaxis_inverted():
            ax.set_ylim(limits[:, 0].min(), limits[:, 1].max())
    for ax in axes[1:]:
        ax.set_ylabel("")
        ax.tick_params(labelleft=False)


def time_below(grid: Any) -> None:
    """Only the last row says what the x axis is."""
    for ax in grid[:-1].flat:
        ax.set_xlabel("")


def level_bar(figure: FigureBase, axes: Any, location: str = "bottom") -> None:
    """The scale of the spectrograms (the first panel is one), beside the block of panels."""
    label = "level (dB re the loudest value)" if location == "bottom" else "level (dB)"
    bar(figure, axes, np.ravel(axes)[0], label, [-RANGE_DB, -RANGE_DB / 2, 0], location)


def bar(figure: FigureBase, axes: Any, of: Axes, label: str, ticks: Sequence[float], location: str = "bottom") -> None:
    """A colour scale under a block of panels, or to the right of it, of the image in one of them."""
    shape: dict[str, Any] = {
        "bottom": {"aspect": 40, "shrink": 0.7, "pad": 0.02},
        "right": {"aspect": 20, "pad": 0.01},
    }[location]
    drawn = figure.colorbar(of.images[0], ax=list(np.ravel(axes)), location=location, **shape)
    drawn.set_label(label, labelpad=1)
    drawn.set_ticks(list(ticks))


def boxed(ax: Axes, words: str) -> None:
    """A few words in the panel's lower left corner."""
    box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5}
    ax.text(0.03, 0.05, words, transform=ax.transAxes, ha="left", va="bottom", size=7, bbox=box)
