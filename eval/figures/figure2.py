"""Figure 2: memory and network calls of one DITTO step under the memory policies, against the sampling steps T.

From <results>/memory.csv (`python -m eval.memory`): (a) the most memory that is allocated at once, without the model's
weights, and what is held for the backward pass when the loss is known; (b) network calls, recomputation included.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from eval.efficiency.table import read
from eval.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEMORY = {"peak_gib": ("-", "peak"), "saved_gib": (":", "held for backward")}
MIB_OF_GIB = 1024


def draw(options: dict[str, Any], path: Path) -> list[Path]:
    """Write the picture and its numbers; UserError where they are not measured yet."""
    table = read(Path(options["results"]) / "memory.csv", "python -m eval.memory")
    shown = table[table["metric"].isin([*MEMORY, "calls_per_step"])]
    with style.paper():
        from matplotlib.ticker import LogLocator, NullFormatter

        figure = style.new(2.4)
        memory, calls = figure.subplots(1, 2)
        for policy, rows in shown.groupby("memory", sort=False):
            colour = memory._get_lines.get_next_color()
            for metric, (line, _) in MEMORY.items():
                _line(memory, rows, metric, MIB_OF_GIB, color=colour, ls=line)
            _line(calls, rows, "calls_per_step", 1, color=colour, label=str(policy))
        for line, words in MEMORY.values():
            memory.plot([], [], color=style.BLACK, ls=line, label=words)
        memory.set(ylabel="memory (MiB)", yscale="log")
        memory.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        memory.yaxis.set_major_formatter("{x:g}")
        memory.yaxis.set_minor_formatter(NullFormatter())
        calls.set(ylabel="network calls a step", ylim=(0, None))
        for letter, ax in zip("ab", (memory, calls), strict=True):
            ax.set(xlabel="sampling steps T", xticks=sorted(shown["sampler_steps"].unique()))
            ax.legend()
            style.panel_letter(ax, letter)
        return style.save(figure, shown, path)


def _line(ax: Axes, rows: pd.DataFrame, metric: str, scale: float, **look: Any) -> None:
    points = rows[rows["metric"] == metric].sort_values("sampler_steps")
    ax.plot(points["sampler_steps"], scale * points["value"], marker="o", **look)
