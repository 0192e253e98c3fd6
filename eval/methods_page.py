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
from eval.readme import provenance

BEGIN, END = "<!-- methods:begin -->", "<!-- methods:end -->"
NEW_PAGE = f"# Every method on every task\n\n{BEGIN}\n{END}\n\n## What the figures mean\n"
SOUND = ("fad_ratio", "tag_score")
COST = ("seconds_per_clip", "seconds_per_step", "steps", "model_calls", "peak_memory_gib")
LABELS = {
    "fad_ratio": "FAD, ratio to text-only",
    "tag_score": "tag score",
    "seconds_per_clip": "s per clip",
    "seconds_per_step": "s per step (batch)",
    "model_calls": "model calls",
    "peak_memory_gib": "memory, GiB",
}


def write_page(table: pd.DataFrame, options: dict[str, Any], path: Path) -> None:
    """Rewrite the generated part of the page, or begin one."""
    text = path.read_text() if path.exists() else NEW_PAGE
    if BEGIN not in text or END not in text:
        text += f"\n{BEGIN}\n{END}\n"
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    path.write_text(head + BEGIN + "\n" + "\n".join(generated(table, options)) + "\n" + END + tail)


def generated(table: pd.DataFrame, options: dict[str, Any]) -> list[str]:
    """The lines between the markers."""
    name = options["name"]
    lines = [
        f"The first {options['n']} prompts of the test split, the same targets and seeds for every method. ↓ lower is "
        "better, ↑ higher; in brackets the 95 % bootstrap interval over clips; bold: the best mean of the methods that "
        "control (another whose interval overlaps may be as good). FAD and tag score are of the clip as it was "
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
    lines = ["| method | " + " | ".join(map(_heading, columns)) + " | n |", "|---|" + "---|" * (len(columns) + 1)]
    for method in methods:
        cells = [_cell(rows, method, name, best[name]) for name in columns]
        lines.append(f"| {method} | " + " | ".join(cells) + f" | {_count(rows, method)} |")
    return lines


def order_table(orders: Iterable[Order]) -> list[str]:
    """One line for every metric of a task that both have for two methods or more."""
    lines = [
        "Best first, for the methods that both have. Kendall's τ and Spearman's ρ from three methods on. Pairs in the "
        "other order: ours first; in brackets those whose 95 % intervals overlap here.\n",
        "| task | metric | paper | here | τ | ρ | pairs in the other order |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in orders:
        pairs = [*one.clear, *(f"({pair})" for pair in one.unclear)]
        ranks = [_number(one.kendall), _number(one.spearman)]
        cells = [one.task, one.metric, ", ".join(one.paper), ", ".join(one.ours), *ranks, ", ".join(pairs) or "none"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


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
    shown = f"**{_number(one['value'])}**" if one["value"] == best and method != "text_only" else _number(one["value"])
    return shown if math.isnan(one["low"]) else f"{shown} [{_number(one['low'])}, {_number(one['high'])}]"


def _count(rows: pd.DataFrame, method: str) -> str:
    """Clips in the means, and how many failed."""
    of = rows.loc[method]
    failed = int(of["value"].get("failed", 0))
    return f"{int(of['n'].max())}" + (f" ({failed} failed)" if failed else "")


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
