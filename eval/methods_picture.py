"""results/methods.png: how well each method controls against how its clips sound, a panel a task, a point a method."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from eval.orders import better_is_higher

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "osD^vP"
COLUMNS = 4


def save_picture(table: pd.DataFrame, options: dict[str, Any], path: Path) -> None:
    """Control metric (better to the left) against FAD (better below), with 95 % intervals over clips."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    tasks = [task for task in options["tasks"] if task in set(table["task"])]
    styles = {
        method: {"color": colormaps["tab20"](i % 20), "marker": MARKERS[i % len(MARKERS)]}
        for i, method in enumerate(name for name in options["methods"] if name != "text_only")
    } | {"text_only": {"color": "black", "marker": "*", "markersize": 12}}
    lines = -(-len(tasks) // COLUMNS)
    columns = min(COLUMNS, len(tasks))
    figure = Figure(figsize=(4.2 * columns, 3.6 * lines + 1.0), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).flat
    handles: dict[str, Any] = {}
    for ax, task in zip(axes, tasks, strict=False):
        handles |= panel(ax, points(table, task, options["controls"][task][0]), styles)
        ax.set_title(task.replace("_", " + "), fontsize=11)
        _label(ax, options["controls"][task][0])
    for ax in list(axes)[len(tasks) :]:
        ax.axis("off")
    names = [method for method in options["methods"] if method in handles]
    figure.legend([handles[name] for name in names], names, loc="outside lower center", ncols=8, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def points(table: pd.DataFrame, task: str, metric: str) -> pd.DataFrame:
    """One row a method: value, low and high of the control metric and of FAD (`_fad`)."""
    rows = table[table["task"] == task].set_index("method")[["metric", "value", "low", "high"]]
    fad = rows[rows["metric"].str.fullmatch(r"fad(_pc\d+)?")]
    fad = fad[~fad.index.duplicated()]  # in principal components where there is both: that is in every run
    return rows[rows["metric"] == metric].join(fad, rsuffix="_fad", how="inner")


def panel(ax: Axes, found: pd.DataFrame, styles: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Draw the points; a handle of each method for the legend."""
    handles = {}
    for one in found.itertuples():
        bars = [
            [[max(value - low, 0)], [max(high - value, 0)]]
            for value, low, high in ((one.value, one.low, one.high), (one.value_fad, one.low_fad, one.high_fad))
        ]
        style = {"linestyle": "none", "elinewidth": 0.8, "markersize": 7, **styles[str(one.Index)]}
        handles[str(one.Index)] = ax.errorbar([one.value], [one.value_fad], xerr=bars[0], yerr=bars[1], **style)
    return handles


def _label(ax: Axes, metric: str) -> None:
    """Axes that point the same way in every panel: better is left and below."""
    name = metric.replace("_", " ")
    if better_is_higher(metric):
        ax.invert_xaxis()
        ax.set_xlabel(f"← {name} (higher is better)")
    else:
        ax.set_xscale("log")
        ax.set_xlabel(f"← {name} (lower is better)")
    ax.set_ylabel("FAD (lower is better)")
    ax.grid(alpha=0.25)
