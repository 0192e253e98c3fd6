"""From the options of conf/models.yaml to results/models.csv."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from omegaconf import OmegaConf
from tqdm import tqdm

from ditto.out_of_memory import is_out_of_memory
from ditto.run import CONF
from ditto.types import UserError
from eval.efficiency import busy
from eval.efficiency.cases import Case, cases
from eval.models import table
from eval.models.counted import counted_rows
from eval.models.measured import call_rows, step_rows
from eval.sets import Row

MEASURES = ("auto", "none", "calls", "steps")
Job = tuple[str, Case, Callable[[], list[Row]]]  # how, of what, and what makes the rows


def run(options: Mapping[str, Any]) -> pd.DataFrame:
    """Count and measure, keep the table after every model, return it; what fails is said, and left empty."""
    if options["measure"] not in MEASURES:
        raise UserError(f"measure={options['measure']}: choose {', '.join(MEASURES)}")
    if options["threads"] is not None:
        torch.set_num_threads(options["threads"])
    path, rows = Path(options["results"]) / f"{options['name']}.csv", list[Row]()
    work = list(jobs(options))
    if not work:
        raise UserError("nothing to do: give models, and count=true or measure=calls")
    with tqdm(work, unit="case", disable=not options["progress"]) as bar:
        for how, case, make in bar:
            bar.set_description(f"{how} {case.model_name}{' recompute' if table.recomputes(case) else ''}")
            load = busy.others(torch.get_num_threads())
            rows += table.labelled(_tried(make, how, case), case, how, load)
            frame = table.keep(rows, path)
    return frame


def jobs(options: Mapping[str, Any]) -> Iterator[Job]:
    """Every model with and without recomputation: counted, then measured where that is asked for."""
    device = _device(options)
    for name in options["models"]:
        for recompute in ("false", "true") if _recomputes(name) else (None,):
            chosen = [] if recompute is None else [f"model.recompute={recompute}"]
            if options["count"]:
                case = _case(options, name, chosen, "cpu")
                yield "counted", case, lambda case=case: counted_rows(case)  # type: ignore[misc]
            if options["measure"] == "calls" or device:
                case = _case(options, name, chosen, device or "cpu")
                yield "measured", case, lambda case=case: _measured(case, options)  # type: ignore[misc]


def _measured(case: Case, options: Mapping[str, Any]) -> list[Row]:
    rows = call_rows(case, options["rounds"])
    return rows if options["measure"] == "calls" else [*rows, *step_rows(case, options["rounds"])]


def _tried(make: Callable[[], list[Row]], how: str, case: Case) -> list[Row]:
    """The rows; where something fails one row without a number, that says why."""
    try:
        return make()
    except Exception as error:  # one model must not cost the others their figures
        short = "out of memory" if is_out_of_memory(error) else f"{type(error).__name__}: {str(error).splitlines()[0]}"
        print(f"{case.model_name} could not be {how}: {short}", file=sys.stderr)
        return [{"metric": "failed", "value": float("nan"), "low": None, "high": None, "n": 0, "note": short}]


def _device(options: Mapping[str, Any]) -> str | None:
    """Where to measure; None: nowhere."""
    if options["measure"] == "none" or (options["measure"] == "auto" and not torch.cuda.is_available()):
        return None
    return str(options["device"]) if options["device"] != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def _recomputes(model: str) -> bool:
    """Whether this choice of conf/model has the option."""
    path = CONF / "model" / f"{model}.yaml"
    return path.exists() and "recompute" in OmegaConf.load(path)


def _case(options: Mapping[str, Any], model: str, chosen: list[str], device: str) -> Case:
    overrides = [*options["overrides"], *options["models_overrides"].get(model, []), *chosen]
    asked = {
        **options,
        "model_name": model,
        "methods": [options["method"]],
        "sampler_steps": [options["sampler_steps"]],
        "policies": {"checkpoint": ["memory=checkpoint"]},
        "batch_size": 1,
        "device": device,
        "overrides": overrides,
    }
    return cases(asked)[0]
