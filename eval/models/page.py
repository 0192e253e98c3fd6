"""The generated part of docs/models.md on what a model costs. No figure is typed by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from eval.page import figure, number, table_lines, write_block

TITLE = "The models"
Figure = Callable[[str], str]  # metric -> what the table shows of it


def write_costs(frame: pd.DataFrame, path: Path) -> None:
    """Rewrite the cost tables of the page."""
    write_block(path, "costs", cost_lines(frame), TITLE)


def cost_lines(frame: pd.DataFrame) -> list[str]:
    """Clip and size, counted cost, measured cost; each with where it comes from."""
    counted, measured = (frame[frame["how"] == how] for how in ("counted", "measured"))
    lines = ["### Clips and sizes\n", *_grid(counted), "\n### Counted\n", *_counted(counted)]
    lines += ["\n### Measured\n", *(_measured(measured) if len(measured) else [_not_measured()])]
    failed = [
        f"- {r.model}, recompute {r.recompute}, {r.how}: {r.note}" for r in frame[frame["note"] != ""].itertuples()
    ]
    return [*lines, *(["\nNot to be had:\n", *failed] if failed else [])]


def _grid(frame: pd.DataFrame) -> list[str]:
    head = ["model", "clip, s", "Hz", "analysis frames / s", "x_T: C x F x T", "columns / s", "parameters, millions"]
    rows = []
    for name, shown, mine in _models(frame, everything=False):
        shape = " x ".join(shown(f"latent_{axis}") for axis in ("channels", "bins", "columns"))
        numbers = [shown(metric) for metric in ("clip_seconds", "sample_rate", "frame_rate")]
        rows.append([name, *numbers, shape, shown("latent_rate"), _parameters(mine)])
    return table_lines(head, rows)


def _counted(frame: pd.DataFrame) -> list[str]:
    metrics = {
        "gflop_call": "network call, GFLOP",
        "gflop_wave": "x_0 to sound, GFLOP",
        "gflop_step": "DITTO step, GFLOP",
        "saved_call_gib": "held by a network call, GiB",
        "saved_wave_gib": "held by x_0 to sound, GiB",
        "latents_gib": "latents, GiB",
        "peak_gib": "peak of a step, GiB",
        "weights_gib": "weights, GiB",
    }
    rows = [[name, *(shown(metric) for metric in metrics)] for name, shown, _ in _models(frame)]
    return [_where(frame, "counted on shapes alone"), "", *table_lines(["model", *metrics.values()], rows)]


def _measured(frame: pd.DataFrame) -> list[str]:
    metrics = {
        "seconds_call": "network call, s",
        "seconds_call_backward": "with gradient, s",
        "seconds_wave": "x_0 to sound, s",
        "seconds_wave_backward": "with gradient, s",
        "seconds_step": "DITTO step, s",
        "peak_gib": "peak of a step, GiB",
    }
    lines = []
    for _, mine in frame.groupby("device", sort=False):
        rows = [[name, *(shown(metric) for metric in metrics)] for name, shown, _ in _models(mine)]
        lines += [_where(mine, "measured"), "", *table_lines(["model", *metrics.values()], rows), ""]
    return lines


def _models(frame: pd.DataFrame, everything: bool = True) -> Iterable[tuple[str, Figure, pd.DataFrame]]:
    """Label, figures and rows of every model, with and without recomputation (`everything`) or without alone."""
    for (name, recompute), mine in frame.groupby(["model", "recompute"], sort=False):
        if everything or not recompute:
            yield f"`{name}`{', recompute' if recompute else ''}", _shown(mine), mine


def _shown(rows: pd.DataFrame) -> Figure:
    by_metric = rows.set_index("metric")

    def show(metric: str) -> str:
        if metric not in by_metric.index:
            return ""
        one = by_metric.loc[metric]
        return figure(one["value"], one["low"] if one["n"] > 1 else math.nan, one["high"])

    return show


def _parameters(rows: pd.DataFrame) -> str:
    """Every part's, in millions."""
    parts = rows[rows["metric"].str.startswith("parameters_")]
    texts = [f"{r.metric.removeprefix('parameters_')} {number(r.value / 1e6)}" for r in parts.itertuples()]
    return ", ".join(texts)


def _where(frame: pd.DataFrame, how: str) -> str:
    """The line over a table: how, where, with what, at which commit, and over how many runs."""

    def every(column: str) -> str:
        return ", ".join(dict.fromkeys(str(value) for value in frame[column]))

    line = (
        f"{how}: {every('device')}; {every('precision')}; torch {every('torch')}; T = {every('sampler_steps')}, CFG in "
        f"every step, {every('batch_size')} clip; n = {frame['n'].max()}; commit {every('commit')}."
    )
    return line + (" **The machine was busy: these times say little.**" if frame["busy"].astype(bool).any() else "")


def _not_measured() -> str:
    return "Nothing yet: no GPU was at hand. `python -m eval.models` on a GPU machine fills this in (docs/gpu.md)."
