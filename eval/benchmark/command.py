"""From the options of conf/benchmark.yaml to the files of results/benchmarks/."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ditto.build import pick_device
from ditto.environment import environment
from ditto.types import UserError
from eval.benchmark.expected import expected_seconds
from eval.benchmark.measure import Results, measure
from eval.benchmark.page import write_page, write_summary
from eval.benchmark.table import table
from eval.benchmark.variants import Lever, Models, Variant, levers, variants
from eval.efficiency import busy
from eval.efficiency.table import loaded, write

POSITIVE = ("sampler_steps", "rounds", "steps", "bare_calls", "matmul")


def run(asked: Mapping[str, Any]) -> Path:
    """Measure; the table and the page are written after every round. Returns the page."""
    options = sized(asked)
    load = busy.others()
    if busy.is_busy(load):
        print(busy.warning(load), file=sys.stderr)
    if options["threads"] is not None:
        torch.set_num_threads(options["threads"])
    kind = torch.device(options["device"]).type
    chosen = [lever for lever in levers(options) if kind in lever.devices]
    found = variants(options, chosen, Models())
    seconds = expected_seconds(found, options)
    print(f"{len(found)} variants, {options['rounds']} rounds: some {seconds / 60:.1f} minutes", file=sys.stderr)
    about = where(found)
    stem = _stem(options, about["device"])

    def keep(results: Results) -> None:
        nonlocal load
        load = max(load, busy.others(torch.get_num_threads()))
        written(results, chosen, options, stem, {**about, **loaded(load)})

    measure(found, options, keep)
    return stem.with_suffix(".md")


def _own_size(device: str) -> str:
    return "gpu" if device.startswith("cuda") else "cpu"


def sized(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The options with those of the size where they are null, and the device by name; UserError for what cannot be."""
    device = pick_device(asked["device"])
    size = _own_size(device) if asked["size"] == "auto" else asked["size"]
    if size not in asked["sizes"]:
        raise UserError(f"size={size}: choose auto, {', '.join(asked['sizes'])}")
    options = {**asked, "size": size, "device": device}
    options |= {name: value for name, value in asked["sizes"][size].items() if asked[name] is None}
    for name in POSITIVE:
        if not isinstance(options[name], int) or options[name] < 1:
            raise UserError(f"{name}={options[name]}: give a whole number, 1 or more")
    return options


def where(found: list[Variant]) -> dict[str, Any]:
    """The machine and the code."""
    about = environment(found[0].model)
    kept = {name: about[name] for name in ("device", "threads", "commit")}
    return {**kept, "torch": about["packages"]["torch"], "began": datetime.now().astimezone().isoformat(" ", "minutes")}


def written(
    results: Results, chosen: list[Lever], options: Mapping[str, Any], stem: Path, about: Mapping[str, Any]
) -> pd.DataFrame:
    """The table, its page, and the summary in the docs."""
    frame = table(results, chosen, about)
    write(frame, stem.with_suffix(".csv"))
    if (frame["metric"] == "seconds_per_step").any():
        write_page(frame, options, stem.with_suffix(".md"))
        write_summary(frame, options, stem.with_suffix(".md"))
    return frame


def _stem(options: Mapping[str, Any], device: str) -> Path:
    """<date>-<device>, or the first of -2, -3, ... that is not there: a measurement is not overwritten.

    With the size, where it is not the device's own.
    """
    folder = Path(options["results"])
    if options["name"]:
        return folder / str(options["name"])
    name = f"{datetime.now():%Y-%m-%d}-{re.sub(r'[^a-z0-9]+', '-', device.lower()).strip('-')}"
    if options["size"] != _own_size(options["device"]):
        name += f"-{options['size']}"
    numbered = (name if i == 1 else f"{name}-{i}" for i in count(1))
    return next(folder / one for one in numbered if not (folder / f"{one}.csv").exists())
