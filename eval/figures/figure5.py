"""Figure 5: network calls, counted: (a) of one optimisation step; (b) of a clip, to the threshold τ and with all K.

From <results>/efficiency.csv (`python -m eval.efficiency`); steps to τ are those of finished runs, a mean over the
clips that reached it. One batched call of guidance is one call.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eval.efficiency.table import figure as row_of
from eval.efficiency.table import read
from eval.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEP = "calls_per_step"
CLIP = {"calls_per_clip": 1.0, "calls_full": 0.35, "calls_to_threshold": 1.0}  # metric -> how solid its bar is
WIDTH = 0.38


def draw(options: dict[str, Any], path: Path) -> list[Path]:
    """Write the picture and its numbers; UserError where they are not measured yet."""
    table = read(Path(options["results"]) / "efficiency.csv", "python -m eval.efficiency")
    table = table[table["memory"] == table["memory"].iloc[0]]
    shown = table[table["metric"].isin([STEP, *CLIP])]
    labels = options.get("labels", {})
    with style.paper():
        figure = style.new(0.3 * shown["method"].nunique() + 1.0)
        step, clip = figure.subplots(1, 2)
        _bars(step, shown[shown["metric"] == STEP], {STEP: 1.0}, labels, lambda calls, T: f"{calls / T:g} T")
        _bars(clip, shown[shown["metric"] != STEP], CLIP, labels, lambda calls, T: f"{calls:,.0f}")
        step.set(xlabel="network calls of an optimisation step")
        clip.set(xlabel="network calls of a clip\n(solid: to τ; pale: all K steps)", xscale="log", xlim=(10, None))
        for letter, ax in zip("ab", (step, clip), strict=True):
            style.panel_letter(ax, letter)
        step.legend(loc="upper right")
        return style.save(figure, shown, path)


def _bars(
    ax: Axes, rows: pd.DataFrame, solid: dict[str, float], labels: dict[str, str], words: Callable[[float, int], str]
) -> None:
    """A group a method, in it a bar for each T."""
    methods, steps = list(dict.fromkeys(rows["method"])), sorted(rows["sampler_steps"].unique())
    for k, T in enumerate(steps):
        places = np.arange(len(methods)) + WIDTH * (k - (len(steps) - 1) / 2)
        for metric, alpha in solid.items():
            for place, method in zip(places, methods, strict=True):
                one = row_of(rows, metric, method=method, sampler_steps=T)
                if one is not None:
                    value = float(one["value"])  # type: ignore[arg-type]
                    ax.barh(place, value, WIDTH, color=(style.BLUE, style.ORANGE)[k % 2], alpha=alpha, lw=0)
                    ax.annotate(words(value, T), (value, place), (2, 0), textcoords="offset points", va="center")
        ax.barh(np.nan, 0, color=(style.BLUE, style.ORANGE)[k % 2], label=f"T = {T}")
    ax.set_yticks(range(len(methods)), [labels.get(name, name) for name in methods])
    ax.invert_yaxis()
    ax.margins(x=0.15)
