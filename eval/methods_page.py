"""results/methods.md: a table a task, and the order of the methods beside the paper's.

The command writes what stands between its two markers; everything else on the page is written by hand and kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from eval.orders import Order, better_is_higher, compare, reported
from eval.page import figure, number, table_lines, write_block
from eval.readme import provenance

SOUND = ("fad_ratio", "text_audio_score", "clap_score")
COST = ("seconds_per_clip", "seconds_per_step", "steps", "model_calls", "peak_memory_gib")
LABELS = {
    "fad_ratio": "FAD, ratio to text-only",
    "text_audio_score": "text score (heads of this repository)",
    "clap_score": "CLAP score",
    "melody_accuracy": "melody accuracy, chroma %",
    "melody_f0_accuracy": "by a pitch tracker %",
    "overlap_mse": "overlap MSE, x_0",
    "overlap_mel_mse": "overlap MSE, log-mel",
    "seam_change": "seam (1: as elsewhere)",
    "seconds_per_clip": "s per clip",
    "seconds_per_step": "s per step (batch)",
    "model_calls": "model calls",
    "peak_memory_gib": "memory, GiB",
}


def write_page(table: pd.DataFrame, options: dict[str, Any], path: Path) -> None:
    """Rewrite the generated part of the page, or begin one."""
    ending = "\n## What the figures mean\n"
    write_block(path, "methods", generated(table, options), "Every method on every task", ending)


def generated(table: pd.DataFrame, options: dict[str, Any]) -> list[str]:
    """The lines between the markers."""
    name = options["name"]
    lines = [
        f"The first {options['n']} prompts of the test split, the same targets and seeds for every method. ↓ lower is "
        "better, ↑ higher; in brackets the 95 % bootstrap interval over clips; bold: the best mean of the methods that "
        "control (another whose interval overlaps may be as good). FAD and text score are of the clip as it was "
        f"generated, before it is stitched to a recording. By `python -m eval.methods` ([{name}.csv]({name}.csv)).",
        f"\nDevice, commits, weights, reference of FAD: {provenance(table)}.\n",
        f"![Control against sound]({name}.png)",
    ]
    for task in [task for task in options["tasks"] if task in set(table["task"])]:
        lines += [f"\n### {task.replace('_', ' + ')}\n", *task_table(table[table["task"] == task], task, options)]
    return [*lines, "\n### The order of the methods, and the paper's\n", *order_table(compare(table, reported()))]


def task_table(rows: pd.DataFrame, task: str, options: dict[str, Any]) -> list[str]:
    """One line a method, in the order of the options."""
    rows = rows.assign(metric=rows["metric"].replace(r"^fad(_pc\d+)?_ratio$", "fad_ratio", regex=True))
    rows = rows.drop_duplicates(["method", "metric"], keep="last").set_index(["method", "metric"])
    columns = [name for name in (*options["controls"][task], *SOUND, *COST) if name in rows.index.levels[1]]
    methods = [name for name in options["methods"] if name in rows.index.levels[0]]
    best = {name: _best(rows, name) for name in columns}
    cells = [[m, *(_cell(rows, m, name, best[name]) for name in columns), _count(rows, m)] for m in methods]
    return table_lines(["method", *map(_heading, columns), "n"], cells)


def order_table(orders: Iterable[Order]) -> list[str]:
    """One line for every metric of a task that both have for two methods or more."""
    said = (
        "Best first, for the methods that both have. Kendall's τ and Spearman's ρ from three methods on. Pairs in the "
        "other order: ours first; in brackets those whose 95 % intervals overlap here.\n"
    )
    lines = []
    for one in orders:
        pairs = [*one.clear, *(f"({pair})" for pair in one.unclear)]
        ranks = [number(one.kendall), number(one.spearman)]
        found = [", ".join(names) for names in (one.paper, one.ours)]
        lines.append([one.task, one.metric, *found, *ranks, ", ".join(pairs) or "none"])
    return [said, *table_lines(["task", "metric", "paper", "here", "τ", "ρ", "pairs in the other order"], lines)]


def _heading(name: str) -> str:
    arrow = "" if name == "steps" else " ↑" if better_is_higher(name) else " ↓"
    return LABELS.get(name, name.replace("_", " ")) + arrow


def _best(rows: pd.DataFrame, name: str) -> float:
    """The best value of the methods that control; NaN for steps, of which fewer is not better as such."""
    values = rows.xs(name, level="metric")["value"].drop("text_only", errors="ignore")
    if name == "steps" or len(values) < 2:
        return math.nan
    return float(values.max() if better_is_higher(name) else values.min())


def _cell(rows: pd.DataFrame, method: str, name: str, best: float) -> str:
    if (method, name) not in rows.index:
        return "1" if (method, name) == ("text_only", "fad_ratio") else ""
    one = rows.loc[(method, name)]
    return figure(one["value"], one["low"], one["high"], best=one["value"] == best and method != "text_only")


def _count(rows: pd.DataFrame, method: str) -> str:
    """Clips in the means, and how many failed."""
    of = rows.loc[method]
    failed = int(of["value"].get("failed", 0))
    return f"{int(of['n'].max())}" + (f" ({failed} failed)" if failed else "")
