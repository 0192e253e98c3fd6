"""results/reuse.md: the loss of samples from an optimised x_T* and from fresh noise, beside the paper's table 10."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from eval.methods_page import order_table
from eval.orders import Order, compare, printed
from eval.page import figure, number, table_lines, write_block
from eval.readme import provenance

METHODS = {"ddpm from x_T*": "reuse", "ddpm+freedom from x_T*": "reuse_freedom"}
PROMPTS = {"fixed prompt": "fixed", "random prompt": "random"}
HEAD = ("method", "prompts", "from x_T*", "from fresh noise", "ratio", "paper, from x_T*")


def write_page(table: pd.DataFrame, name: str, path: Path) -> None:
    """Rewrite the generated part of the page, or begin one."""
    write_block(path, "reuse", generated(table, name), "Reuse of an optimised x_T*", "\n## What the figures mean\n")


def generated(table: pd.DataFrame, name: str) -> list[str]:
    """The lines between the markers."""
    theirs = paper()
    lines = [
        "Loss of stochastic samples (lower is better): mean over the samples of a clip, then over clips; in brackets "
        "the 95 % bootstrap interval over clips, which for 2 clips reaches from one to the other. Bold: the best of "
        "the column. Targets and model are not the paper's, so orders compare, values do not. "
        f"By `python -m eval.reuse` ([{name}.csv]({name}.csv)).",
        f"\nDevice, commits, weights: {provenance(table)}.",
    ]
    for task, rows in table.groupby("task", sort=False):
        counts = [" or ".join(str(int(n)) for n in sorted(rows[name].unique())) for name in ("n", "samples")]
        source = ", ".join(sorted({str(run) for run in rows["source"] if run}))
        lines += [
            "",
            f"### {task}",
            "",
            f"n = {counts[0]} clips, {counts[1]} samples of each; x_T* of run {source}.",
            "",
        ]
        lines += task_table(rows, theirs[theirs["task"] == task])
    return [*lines, "", "### The order of the settings, and the paper's", "", *order_table(orders(table))]


def task_table(rows: pd.DataFrame, theirs: pd.DataFrame) -> list[str]:
    """One line a method and kind of prompts; the ratio is x_T* to fresh noise."""
    columns = [rows[rows["noise"] == noise] for noise in ("optimised", "fresh")]
    lines = []
    for method, prompts in dict.fromkeys(zip(rows["method"], rows["prompts"], strict=True)):
        values, cells = [], []
        for column in (*columns, theirs):
            own = column[(column["method"] == method) & (column["prompts"] == prompts)]
            values.append(float(own["value"].iloc[0]) if len(own) else math.nan)
            ends = [float(own[name].iloc[0]) for name in ("low", "high")] if len(own) and "low" in own else []
            best = len(column) > 1 and values[-1] == column["value"].min()
            cells.append(figure(values[-1], *ends, best=best))
        lines.append([method, prompts, *cells[:2], number(values[0] / values[1]), cells[2]])
    return table_lines(HEAD, lines)


def paper() -> pd.DataFrame:
    """The paper's table 10 under our names: task, method, prompts, metric, value."""
    rows = printed([10]).replace({"method": METHODS})
    return rows.assign(prompts=rows["setting"].map(PROMPTS))[["task", "method", "prompts", "metric", "value"]]


def orders(table: pd.DataFrame) -> Iterator[Order]:
    """The order of method and prompts, from x_T* alone, beside the paper's."""
    ours = table[table["noise"] == "optimised"]
    named = [rows.assign(method=rows["method"] + " " + rows["prompts"]) for rows in (ours, paper())]
    return compare(*named)
