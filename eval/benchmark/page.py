"""The page of one measurement, and its summary in docs/speed.md."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ditto.run_directory import write_bytes
from eval.benchmark.figures import find, shown
from eval.benchmark.lever_table import lever_lines
from eval.benchmark.table import DEVICE
from eval.benchmark.targets import target_rows
from eval.page import markers, number, table_lines, write_block

SPEED = {
    "seconds_per_step": "s a step",
    "seconds_per_clip_step": "s a clip and step",
    "clips_per_hour": "clips an hour",
    "speedup": "over the reference",
}
BOUND = {
    "calls_forward": "network calls",
    "calls_recomputed": "recomputed",
    "seconds_bare": "bare calls, s",
    "overhead": "overhead of the loop",
    "gflop_per_step": "GFLOP a step",
    "gflops": "GFLOP/s",
    "matmul_share": "share of the matmul rate",
}
MEMORY = {"peak_gib": "peak, GiB", "saved_gib": "held for backward, GiB"}
CALLS = {
    "seconds_forward": "network",
    "seconds_forward_grad": "recorded",
    "seconds_backward": "its gradient",
    "seconds_wave": "to sound",
    "seconds_wave_backward": "its gradient",
}
TARGET_HEAD = ["target", "model", "wanted", "measured", "variant", ""]


def write_page(frame: pd.DataFrame, options: Mapping[str, Any], path: Path) -> None:
    """The whole page; nothing on it is written by hand."""
    lines = [
        f"# Speed of an optimisation step: {frame['device'].iloc[0]}\n",
        *provenance(frame, options, Path(path.name)),
    ]
    lines += ["\n## Targets\n", *table_lines(TARGET_HEAD, target_rows(frame))]
    for model in dict.fromkeys(frame["model"]):
        if model != DEVICE:
            lines += model_lines(frame[frame["model"] == model], str(model), options)
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def write_summary(frame: pd.DataFrame, options: Mapping[str, Any], page: Path) -> None:
    """Targets and levers, between the markers of this size; docs without them are left alone, as by a part of a run."""
    name = f"benchmark-{options['size']}"
    docs = Path(options["docs"] or "")
    if options["only"] or not docs.is_file() or markers(name)[0] not in docs.read_text():
        return
    lines = provenance(frame, options, Path(os.path.relpath(page, docs.parent)))
    lines += ["", *table_lines(TARGET_HEAD, target_rows(frame))]
    for model in dict.fromkeys(frame["model"]):
        if model != DEVICE:
            mine = frame[frame["model"] == model]
            lines += [
                f"\n`model={model}`\n",
                *_table(mine, _mains(mine, options), SPEED | {"overhead": "overhead of the loop"}),
            ]
            lines += ["", *lever_lines(mine, options)]
    write_block(docs, name, lines, "Speed")


def provenance(frame: pd.DataFrame, options: Mapping[str, Any], page: Path) -> list[str]:
    """Of what, where and how it was measured."""
    first, by_device = frame.iloc[0], frame["model"] == DEVICE
    rounds = int(frame["n"][frame["metric"] == "seconds_per_step"].max())
    rates = frame[by_device]
    products = ", ".join(f"{p} {number(v)} GFLOP/s" for p, v in zip(rates["precision"], rates["value"], strict=True))
    weights = ", ".join(" ".join(one) for one in frame[~by_device][["model", "weights"]].drop_duplicates().to_numpy())
    lines = [
        f"By `python -m eval.benchmark`, {first['began']}: [page]({page}), [figures]({page.with_suffix('.csv')}); "
        "`eval/benchmark/__init__.py` says what each means.\n",
        f"Device: {first['device']}, {first['threads']} threads; torch {first['torch']}; commit {first['commit']}; "
        f"weights {weights}; others' load {frame['load'].max():g}.\n",
        f"Task {options['task_name']}, T = {options['sampler_steps']}, CFG in every step. {rounds} rounds of all "
        f"variants in turn, optimisation steps in a pass: {options['steps']}; medians [quartiles]. "
        f"Matrix products of size {options['matmul']}: {products}.",
    ]
    if rounds < options["rounds"]:
        lines.append(f"\n{options['rounds']} rounds were asked for in {options['minutes']} minutes.")
    if frame["busy"].any():
        lines.append("\n**The machine was busy with other work: these times say little.**")
    return lines


def model_lines(frame: pd.DataFrame, model: str, options: Mapping[str, Any]) -> list[str]:
    """The tables of one model."""
    mains = _mains(frame, options)
    others = [name for name in _names(frame, "seconds_per_step") if name not in mains]
    lines = [f"\n## model={model}", "\n### Variants\n", *_table(frame, mains, SPEED)]
    lines += [
        "\n### What bounds a step\n",
        *_table(frame, mains, BOUND),
        "\n### Memory\n",
        *_table(frame, mains, MEMORY),
    ]
    lines += ["\n### One call, s\n", *_table(frame, [n for n in mains if find(frame, "seconds_bare", n)], CALLS)]
    lines += ["\n### Levers\n", *lever_lines(frame, options), "\n### Variants of the levers\n"]
    lines += _table(frame, others, SPEED | {"peak_gib": "peak, GiB"})
    failed = frame[frame["metric"] == "failed"]
    return [
        *lines,
        "",
        *(f"Left out: {name}, {note}." for name, note in zip(failed["variant"], failed["note"], strict=True)),
    ]


def _table(frame: pd.DataFrame, names: Sequence[str], metrics: Mapping[str, str]) -> list[str]:
    rows = ([*_about(frame, name), *(shown(frame, metric, name) for metric in metrics)] for name in names)
    return table_lines(["variant", "precision", "memory", "clips", *metrics.values()], rows)


def _about(frame: pd.DataFrame, name: str) -> list[str]:
    one = frame[(frame["variant"] == name) & frame["metric"].eq("seconds_per_step")].iloc[0]
    return [name, str(one["precision"]), str(one["memory"]), str(int(one["batch_size"]))]


def _mains(frame: pd.DataFrame, options: Mapping[str, Any]) -> list[str]:
    """All but those that are there for one lever."""
    of_levers = tuple(f"{words} {lever}" for words in ("only", "all but", "all and") for lever in options["levers"])
    return [name for name in _names(frame, "seconds_per_step") if name not in of_levers]


def _names(frame: pd.DataFrame, metric: str) -> list[str]:
    return [str(name) for name in dict.fromkeys(frame["variant"][frame["metric"] == metric])]
