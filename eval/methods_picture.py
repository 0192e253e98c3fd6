"""results/methods.png: how well each method controls against how its clips sound, a panel a task, a point a method."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ditto.small_png import write_png
from eval.orders import better_is_higher

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "osD^vP"
COLUMNS = 4


def save_picture(table: pd.DataFrame, options: dict[str, Any], path: Path) -> None:
    """Control metric (better to the left) against FAD (better below), with 95 % intervals over clips."""
    from matplotlib.figure import Figure

    tasks = [task for task in options["tasks"] if task in set(table["task"])]
    styles = _styles(options["methods"])
    lines = -(-len(tasks) // COLUMNS)
    columns = min(COLUMNS, len(tasks))
    figure = Figure(figsize=(4.2 * columns, 3.6 * lines + 1.0), layout="constrained")
    axes = list(figure.subplots(lines, columns, squeeze=False, sharey=True).flat)
    handles: dict[str, Any] = {}
    for ax, task in zip(axes, tasks, strict=False):
        metric = options["controls"][task][0]
        handles |= panel(ax, floored(points(table, task, metric), metric), styles)
        ax.set_title(task.replace("_", " + "), fontsize=11)
        _label(ax, metric)
    for ax in axes[len(tasks) :]:
        ax.axis("off")
    names = [method for method in options["methods"] if method in handles]
    figure.legend([handles[name] for name in names], names, loc="outside lower center", ncols=8, frameon=False)
    write_png(figure, path, dpi=110)


def _styles(methods: list[str]) -> dict[str, dict[str, Any]]:
    """Colour and marker of each method; an early-stopped variant has those of its method, hollow."""
    from matplotlib import colormaps

    own = [name for name in methods if name != "text_only" and not name.endswith("_stop")]
    own.sort(key=lambda name: name != "ditto")  # the first colour is red
    styles = {
        name: {"color": colormaps["tab10"]((i + 3) % 10), "marker": MARKERS[(i + i // 10) % len(MARKERS)]}
        for i, name in enumerate(own)
    }
    stopped = {name: styles.get(name.removesuffix("_stop"), {}) | {"fillstyle": "none"} for name in methods}
    return stopped | styles | {"text_only": {"color": "black", "marker": "*", "markersize": 12}}


def points(table: pd.DataFrame, task: str, metric: str) -> pd.DataFrame:
    """One row a method: value, low and high of the control metric and of FAD (`_fad`)."""
    rows = table[table["task"] == task].set_index("method")[["metric", "value", "low", "high"]]
    fad = rows[rows["metric"].str.fullmatch(r"fad(_pc\d+)?")]
    fad = fad[~fad.index.duplicated()]  # in principal components where there is both: that is in every run
    return rows[rows["metric"] == metric].join(fad, rsuffix="_fad", how="inner")


def floored(found: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Errors under a thousandth of the largest drawn there: masking's is 0, which a logarithmic axis does not have."""
    if better_is_higher(metric):
        return found
    columns = ["value", "low", "high"]
    return found.assign(**found[columns].clip(lower=found["value"].max() / 1000))


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
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    name = metric.replace("_", " ")
    if better_is_higher(metric):
        ax.invert_xaxis()
        ax.set_xlabel(f"← {name} (higher is better)")
    else:
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_xlabel(f"← {name} (lower is better; 0 at the left)")
    ax.set_ylabel("FAD (lower is better)")
    ax.grid(alpha=0.25)
