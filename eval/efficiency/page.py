"""results/efficiency.md: the measured cost of a step, steps and seconds to τ, latencies, and the paper's beside them.

The paper's figures are of a model and a GPU of their own: its table 5 (DITTO and DOODL) and table 11 (latencies). What
can be compared are ratios: of two methods at one T, and of T = 50 to T = 20 in one method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from eval.efficiency.table import figure as row_of
from eval.orders import printed
from eval.page import figure, number, table_lines, write_block

PAPER = {"seconds_per_step": "seconds_per_step", "mean_gib": "memory_gb", "steps_to_threshold": "steps_to_threshold"}
Value = Callable[[str, int, str], float]  # (method, T, metric) -> value, NaN where there is none


def write_page(frame: pd.DataFrame, options: Mapping[str, Any], path: Path) -> None:
    """Rewrite the generated part of the page, or begin one."""
    lines = generated(frame, options)
    write_block(path, "efficiency", lines, "What an optimisation step costs", "\n## What the figures mean\n")


def generated(frame: pd.DataFrame, options: Mapping[str, Any]) -> list[str]:
    """The lines between the markers, for the first of the memory policies."""
    policies = list(dict.fromkeys(frame["memory"]))
    mine, first = frame[frame["memory"] == policies[0]], frame.iloc[0]
    lines = [
        f"Task {first['task']}, `model={first['model']}` ({first['precision']}), {first['batch_size']} clip at once, "
        f"memory policy {policies[0]}. Times: median over rounds [quartiles]; memory: allocated tensors without "
        "the model's weights, measured over one step. Definitions: `eval/efficiency/__init__.py`. By "
        f"`python -m eval.efficiency` ([{options['name']}.csv]({options['name']}.csv)).",
        f"\nDevice: {first['device']}, {first['threads']} threads; torch {first['torch']}; commit {first['commit']}; "
        f"weights {first['weights']}; others' load {frame['load'].max():g}.",
    ]
    if frame["busy"].any():
        lines.append("\n**The machine was busy with other work: these times say little.**")
    sections = {
        "One optimisation step": step_table(mine),
        "To the threshold, and all K steps": threshold_table(mine),
        "Methods without optimisation, s per clip": clip_table(mine),
        "Ratios, and the paper's": ratio_table(mine),
    }
    for title, table in sections.items():
        lines += [f"\n### {title}\n", *table] if table else []
    return [*lines, *growth(mine)]


def step_table(frame: pd.DataFrame) -> list[str]:
    """A line for each method that optimises and each T."""
    head = ["method", "T", "s", "paper, s", "network calls", "evaluations", "memory peak, GiB", "mean, GiB"]
    head += ["paper, mean GB", "held for backward, GiB", "rounds"]
    lines = []
    for method, T in _cases(frame, "calls_per_step"):
        names = ("calls_per_step", "evaluations_per_step", "peak_gib", "mean_gib")
        calls, evaluations, peak, mean = (_cell(frame, method, T, name) for name in names)
        paper = [number(_reported(method, T, name)) for name in ("seconds_per_step", "mean_gib")]
        seconds, saved = _cell(frame, method, T, "seconds_per_step"), _cell(frame, method, T, "saved_gib")
        n = row_of(frame, "seconds_per_step", method=method, sampler_steps=T)
        counted = number(float(n["n"])) if n else "0"  # type: ignore[arg-type]
        lines.append([method, str(T), seconds, paper[0], calls, evaluations, peak, mean, paper[1], saved, counted])
    return table_lines(head, lines) if lines else []


def growth(frame: pd.DataFrame) -> list[str]:
    """How the peak of memory grows with T, in latents: a checkpointed chain keeps one latent a step."""
    lines = []
    for method in dict.fromkeys(method for method, _ in _cases(frame, "saved_gib")):
        ends = sorted(T for name, T in _cases(frame, "saved_gib") if name == method)
        value, steps = _measured(frame), ends[-1] - ends[0]
        if steps:
            low, high, latent = (
                value(method, *at) for at in ((ends[0], "peak_gib"), (ends[-1], "peak_gib"), (ends[0], "latent_gib"))
            )
            grown = f"{(high - low) / steps / latent:.2f} latents ({latent * 1024:.3g} MiB each)"
            share = f"{100 * (high / low - 1):+.1f} %"
            lines.append(f"{method}: {grown} a sampling step, {share} from T = {ends[0]} to {ends[-1]}")
    return [f"\nGrowth of the peak of memory with T. {'; '.join(lines)}."] if lines else []


def threshold_table(frame: pd.DataFrame) -> list[str]:
    """Steps and seconds to τ from finished runs; who never reached it is said."""
    head = ["method", "T", "steps to τ", "clips that reached it", "paper, steps", "s to τ", "paper, s", "s for all K"]
    lines = []
    for method, T in _cases(frame, "seconds_full"):
        never = row_of(frame, "never_reached", method=method, sampler_steps=T)
        reached = f"{never['n'] - never['value']:.0f} of {never['n']:.0f}" if never else "no run"  # type: ignore[operator]
        paper = [_reported(method, T, "steps_to_threshold"), _latency(method, T)]
        cells = [
            _cell(frame, method, T, name) for name in ("steps_to_threshold", "seconds_to_threshold", "seconds_full")
        ]
        lines.append([method, str(T), cells[0], reached, number(paper[0]), cells[1], number(paper[1]), cells[2]])
    return table_lines(head, lines) if lines else []


def clip_table(frame: pd.DataFrame) -> list[str]:
    """Latency, calls and memory of the methods that do not optimise x_T."""
    head = ["method", "T", "s", "paper, s (T = 20)", "network calls", "evaluations", "memory peak, GiB"]
    lines = []
    for method, T in _cases(frame, "calls_per_clip"):
        names = ("seconds_per_clip", "calls_per_clip", "evaluations_per_clip", "peak_gib")
        seconds, *others = (_cell(frame, method, T, name) for name in names)
        paper = number(_latency(method, T)) if T == 20 else ""
        lines.append([method, str(T), seconds, paper, *others])
    return table_lines(head, lines) if lines else []


def ratio_table(frame: pd.DataFrame) -> list[str]:
    """Ours beside the paper's, where both have the two figures."""
    lines = [
        [what, number(ours), number(paper)]
        for (what, ours), (_, paper) in zip(_ratios(frame, _measured(frame)), _ratios(frame, _paper), strict=True)
        if not math.isnan(ours)
    ]
    return table_lines(["ratio", "ours", "paper"], lines) if lines else []


def _ratios(frame: pd.DataFrame, value: Value) -> Iterator[tuple[str, float]]:
    """(what, value) of every ratio that is asked of both."""
    steps = sorted(frame["sampler_steps"].unique())
    shown = {"seconds_per_step": "s per step", "mean_gib": "mean memory"}
    for metric, words in shown.items():
        for T in steps:
            yield f"{words}, doodl / ditto, T = {T}", value("doodl", T, metric) / value("ditto", T, metric)
        for method in ("ditto", "doodl") if len(steps) > 1 else ():
            ends = value(method, steps[-1], metric), value(method, steps[0], metric)
            yield f"{words}, {method}, T = {steps[-1]} / T = {steps[0]}", ends[0] / ends[1]
    for method in dict.fromkeys(frame["method"]):
        pair = value(method, 20, "seconds_per_clip"), value("text_only", 20, "seconds_per_clip")
        if method != "text_only":
            yield f"s per clip (to τ where it optimises), {method} / text_only, T = 20", pair[0] / pair[1]


def _measured(frame: pd.DataFrame) -> Value:
    def value(method: str, T: int, metric: str) -> float:
        names = ("seconds_per_clip", "seconds_to_threshold") if metric == "seconds_per_clip" else (metric,)
        rows = [row_of(frame, name, method=method, sampler_steps=T) for name in names]
        return next((float(one["value"]) for one in rows if one), math.nan)  # type: ignore[arg-type]

    return value


def _paper(method: str, T: int, metric: str) -> float:
    return _latency(method, T) if metric == "seconds_per_clip" else _reported(method, T, metric)


def _reported(method: str, T: int, metric: str) -> float:
    """Of the paper's table 5; NaN where it has none."""
    rows = printed([5])
    chosen = (rows["method"] == method) & (rows["setting"] == f"T={T}") & (rows["metric"] == PAPER[metric])
    return float(rows["value"][chosen].iloc[0]) if chosen.any() else math.nan


def _latency(method: str, T: int) -> float:
    """Of the paper's table 11 (T = 20); of an optimisation at another T its steps to τ x seconds a step."""
    rows = printed([11])
    chosen = (rows["method"] == method) & (rows["metric"] == "latency_seconds")
    if T == 20:
        return float(rows["value"][chosen].iloc[0]) if chosen.any() else math.nan
    return _reported(method, T, "steps_to_threshold") * _reported(method, T, "seconds_per_step")


def _cases(frame: pd.DataFrame, metric: str) -> list[tuple[str, int]]:
    found = frame[frame["metric"] == metric]
    return [(str(m), int(T)) for m, T in zip(found["method"], found["sampler_steps"], strict=True)]


def _cell(frame: pd.DataFrame, method: str, T: int, metric: str) -> str:
    one = row_of(frame, metric, method=method, sampler_steps=T)
    if one is None:
        return ""
    return figure(*(float(one[name]) for name in ("value", "low", "high")))  # type: ignore[arg-type]
