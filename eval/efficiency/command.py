"""From the options of conf/efficiency.yaml to the files of results/."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf

from ditto.types import UserError
from eval.efficiency import busy
from eval.efficiency.cases import Case, cases
from eval.efficiency.page import write_page
from eval.efficiency.rounds import Measured, measure
from eval.efficiency.table import loaded, table, where, write
from eval.efficiency.thresholds import Reached, command, finished, reached

SMALLEST = {"rounds": 0, "steps": 1, "batch_size": 1}


def run(cfg: DictConfig) -> pd.DataFrame:
    """Measure, write the table after every call and the page at the end, return the table."""
    options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    _check(options)
    load = busy.others()
    if busy.is_busy(load):
        print(busy.warning(load), file=sys.stderr)
    if options["threads"] is not None:
        torch.set_num_threads(options["threads"])
    chosen = cases(options)
    reach, about = _reached(chosen, options), where(chosen[0])
    stem = Path(options["results"]) / options["name"]

    def keep(measured: list[Measured]) -> pd.DataFrame:
        nonlocal load
        load = max(load, busy.others(torch.get_num_threads()))
        frame = table(measured, reach, {**about, **loaded(load)})
        write(frame, stem.with_suffix(".csv"))
        return frame

    result = keep(measure(chosen, options["rounds"], options["steps"], keep, options["progress"]))
    if options["page"]:
        write_page(result, options, stem.with_suffix(".md"))
    return result


def _check(options: Mapping[str, Any]) -> None:
    for name, least in SMALLEST.items():
        if not isinstance(options[name], int) or options[name] < least:
            raise UserError(f"{name}={options[name]}: give a whole number, {least} or more")


def _reached(chosen: list[Case], options: Mapping[str, Any]) -> dict[Case, Reached | None]:
    """Steps to τ of every case that optimises; what is missing is said with the command that makes it."""
    optimising = [case for case in chosen if case.full_steps is not None and case.threshold is not None]
    if not options["rounds"] or not optimising:  # memory and calls alone
        return {}
    runs = finished(options)
    found = {case: reached(case, runs, options["split"]) for case in optimising}
    for line in dict.fromkeys(command(case, options["split"]) for case, one in found.items() if one is None):
        print(f"no run to take steps to τ from: {line}", file=sys.stderr)
    return dict(found)
