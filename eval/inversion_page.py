"""results/inversion.md: methods x guidance scales for each length, the paper's table 7 beside them, and the orders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from eval.methods_page import order_table
from eval.orders import Order, compare, reported
from eval.page import figure, number, table_lines, write_block
from eval.readme import provenance

UNITS = {
    "reconstruction_mse": "mean squared error, in units of x_0",
    "reconstruction_db": "mean difference of the mel spectra, dB",
}


def write_page(
    table: pd.DataFrame, settings: Mapping[int, Mapping[str, Any]], options: Mapping[str, Any], path: Path
) -> None:
    """Rewrite the generated part of the page, or begin one. `settings`: length -> options of one of its runs."""
    lines = generated(table, settings, options)
    write_block(path, "inversion", lines, "Inversion of recordings", "\n## What the figures mean\n")


def generated(table: pd.DataFrame, settings: Mapping[int, Mapping[str, Any]], options: Mapping[str, Any]) -> list[str]:
    """The lines between the markers."""
    name = options["name"]
    lines = [
        "What each method gives back of a recording, by guidance scale w; ↓ lower is better; in brackets the 95 % "
        "bootstrap interval over clips; bold: the best mean of the column. The paper's figures are in units of its own "
        f"spectrograms, so orders compare, values do not. By `python -m eval.inversion` ([{name}.csv]({name}.csv)).",
        f"\nDevice, commits, weights: {provenance(table)}.",
    ]
    for length, rows in table.groupby("length_s"):
        lines += ["", f"### {length} s", "", _setting(rows, settings[length])]
        for metric in options["metrics"]:
            ours = rows[rows["metric"] == metric]
            lines += ["", f"{UNITS.get(metric, metric)} ↓", "", *pivot(ours, paper(ours))]
        lines += ["", "Cost, over the scales", "", *costs(rows)]
    return [*lines, "", "### The order of the methods, and the paper's", "", *order_table(orders(table))]


def pivot(ours: pd.DataFrame, theirs: pd.DataFrame) -> list[str]:
    """One line a method, one column a guidance scale; the paper's columns behind, where it has this metric."""
    scales = sorted(ours["guidance_scale"].unique())
    blocks = [(ours, "w = {}")] + ([(theirs, "paper, w = {}")] if len(theirs) else [])
    head = [label.format(f"{w:g}") for _, label in blocks for w in scales]
    lines = [
        [method, *(_cell(rows[rows["guidance_scale"] == w], method) for rows, _ in blocks for w in scales)]
        for method in ours["method"].unique()
    ]
    return table_lines(["method", *head], lines)


def paper(ours: pd.DataFrame) -> pd.DataFrame:
    """The paper's table 7 at the lengths, scales and metric of these rows, with both as columns."""
    found = []
    for length, w in sorted({*zip(ours["length_s"], ours["guidance_scale"], strict=True)}):
        rows = reported([7], [f"{length}s w={w:g}"]).replace({"method": {"ditto": "ditto_from_inversion"}})
        found.append(rows[rows["metric"].isin(ours["metric"])].assign(length_s=length, guidance_scale=w))
    return pd.concat(found) if found else ours.head(0)


def orders(table: pd.DataFrame) -> Iterator[Order]:
    """The order of the methods in every column that the paper has, ours beside it."""
    labels = [data.assign(task=_column(data)) for data in (table, paper(table))]
    return compare(*labels)


def costs(rows: pd.DataFrame) -> list[str]:
    """Optimisation steps, network calls and seconds of each method: the least and the most over the scales."""
    names = {"steps": "optimisation steps", "model_calls": "model calls", "seconds_per_clip": "s per clip"}
    lines = []
    for method, own in rows.groupby("method", sort=False):
        ends = [dict.fromkeys([number(own[name].min()), number(own[name].max())]) for name in names]
        lines.append([str(method), *(" to ".join(pair) for pair in ends)])
    return table_lines(["method", *names.values()], lines)


def _setting(rows: pd.DataFrame, config: Mapping[str, Any]) -> str:
    """What the runs of this length have in common, in words."""
    n = sorted({int(count) for count in rows["n"]})
    clips = f"n = {n[-1]} clips" + (f" ({n[0]} in some runs: the others failed)" if len(n) > 1 else "")
    return (
        f"{clips}, K = {config.get('task.steps')} steps of DITTO, T = {config.get('sampler.steps')} "
        f"with {config.get('sampler.spacing')} spacing."
    )


def _cell(column: pd.DataFrame, method: str) -> str:
    own = column[column["method"] == method]
    if own.empty:
        return ""
    one = own.iloc[0]
    ends = [float(one[name]) if name in one.index else float("nan") for name in ("low", "high")]
    return figure(float(one["value"]), *ends, best=len(column) > 1 and one["value"] == column["value"].min())


def _column(data: pd.DataFrame) -> pd.Series:
    scales = data["guidance_scale"].map("{:g}".format)
    return data["length_s"].astype(str) + " s, w = " + scales
