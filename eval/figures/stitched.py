"""Stitched pieces: which part is recorded, where the crossfades lie, and how a figure marks both."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from ditto.controls.base import Control
from ditto.types import UserError
from eval.control.joins import joins
from eval.control.seam import evaluate, measurable
from eval.figures.example import Example
from eval.figures.style import GREY, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Spans = Sequence[tuple[float, float]]  # seconds


def share_of_new(control: Control) -> np.ndarray:
    """How much of each sample of the stitched piece is generated, [N'] in 0..1: 1 against a silent recording."""
    silent = copy.copy(control)
    for name in ("reference_BN", "before_BN"):
        if hasattr(silent, name):
            setattr(silent, name, torch.zeros_like(getattr(silent, name)))
    x_0 = torch.zeros(1, *control.model.shape)
    return silent.finish(x_0, torch.ones(1, control.clip.samples))[0].numpy()


def circular(control: Control) -> bool:
    """Does the piece go on at its start? Then its start is a crossfade."""
    return any(start == 0 for start, _ in joins(control))


def seam(one: Example) -> dict[str, float]:
    """`eval.control.seam` of the piece as it is heard; {} where its joins have too little sound around them."""
    wave_N, rate, loop = one.heard_BN[0].numpy(), one.control.clip.sample_rate, circular(one.control)
    spans = measurable(wave_N, rate, joins(one.control), loop)
    try:
        return evaluate(wave_N, rate, spans, loop)
    except UserError:
        return {}


def strip(ax: Axes, share_N: np.ndarray, seconds: tuple[float, float]) -> None:
    """A band over the panel between two times: grey where the sound is recorded, red where it is new."""
    from matplotlib.colors import LinearSegmentedColormap

    band = ax.inset_axes((0, 1.02, 1, 0.05), transform=ax.transAxes)
    colours = LinearSegmentedColormap.from_list("recorded to new", [GREY, RED])
    thinned = share_N[:: max(1, len(share_N) // 1000)][None]
    band.imshow(thinned, aspect="auto", cmap=colours, vmin=0, vmax=1, extent=(*seconds, 0, 1))
    band.set(xlim=ax.get_xlim(), xticks=[], yticks=[])
    band.spines[:].set_visible(False)


def mark(ax: Axes, spans: Spans) -> None:
    """Dashed lines where each crossfade begins and ends."""
    for span in spans:
        for time in span:
            ax.axvline(time, color="white", linestyle=(0, (3, 2)), linewidth=0.9)


def join_rows(one: Example, spans: Spans) -> pd.DataFrame:
    """Where each crossfade begins and ends (s), as rows of a figure's numbers; then the clip's metrics."""
    values = {name: float(value[0]) for name, value in one.control.metrics(one.x_0, one.wave_BN).items()}
    times = [("join_s", time) for span in spans for time in span]
    rows = pd.DataFrame([*times, *values.items(), *seam(one).items()])
    return rows.set_axis(["feature", "value"], axis=1).assign(**one.provenance, series=one.made.method)


def key(figure: Figure) -> None:
    """What the band and the lines mean."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    lines = Line2D([], [], color="black", linestyle=(0, (3, 2)), linewidth=0.9, label="crossfade begins, ends")
    parts = [Patch(color=GREY, label="recording"), Patch(color=RED, label="generated"), lines]
    figure.legend(handles=parts, loc="outside upper center", ncols=3)
