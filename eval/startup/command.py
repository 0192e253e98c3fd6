"""From the options of conf/startup.yaml to <results>/startup.csv and the table of docs/profile.md."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import trange

from ditto.types import UserError
from eval.efficiency import busy
from eval.efficiency.cases import composed
from eval.efficiency.rows import spread
from eval.efficiency.table import loaded, write
from eval.page import figure, table_lines, write_block
from eval.sets import Row
from eval.startup.measure import Started, start

WORDS = {
    "help": "`python -m ditto.run --help`",
    "import": "import PyTorch, diffusers, transformers and the model's code",
    "load": "read the weights",
    "loaded": "from nothing to a model that is ready",
    "encode": "encode a prompt",
    "sample": "sample {steps} steps, with guidance",
    "sound": "decoder and vocoder",
    "clip": "the whole command, from nothing to a clip on disk",
}


def run(options: Mapping[str, Any]) -> pd.DataFrame:
    """Measure, write the table and the page, return the table."""
    if not isinstance(options["rounds"], int) or options["rounds"] < 1:
        raise UserError(f"rounds={options['rounds']}: give a whole number, 1 or more")
    load = busy.others()
    if busy.is_busy(load):
        print(busy.warning(load), file=sys.stderr)
    case = composed(options, [f"sampler.steps={options['sampler_steps']}"])
    rounds = []
    for i in trange(options["rounds"], desc="start", disable=not options["progress"]):
        with tempfile.TemporaryDirectory() as runs:
            clip = [*options["clip"], f"model={options['model_name']}", f"runs_dir={runs}"] if options["clip"] else []
            rounds.append(start(case["model"], case["sampler"], f"a calm song {i}", clip))
        load = max(load, busy.others(1))
    frame = table(rounds, options, load)
    write(frame, Path(options["results"]) / f"{options['name']}.csv")
    if options["page"]:
        write_page(frame, options, Path(options["page"]))
    return frame


def table(rounds: Sequence[Started], options: Mapping[str, Any], load: float) -> pd.DataFrame:
    """Median and quartiles over the rounds: seconds, and <stage>_cpu, seconds of a processor."""
    rows: list[Row] = []
    for name in rounds[0].spent:
        for suffix, which in (("", 0), ("_cpu", 1)):
            rows.append(spread(f"{name}{suffix}", (one.spent[name][which] for one in rounds)))
    about = rounds[0].about
    kept = {name: about[name] for name in ("device", "threads", "commit", "weights")}
    where = {**kept, "torch": about["packages"]["torch"], "precision": about["network_dtype"], **loaded(load)}
    case = {"model": options["model_name"], "sampler_steps": options["sampler_steps"]}
    return pd.DataFrame([{**case, **one, "target": options["targets"].get(one["metric"]), **where} for one in rows])


def write_page(frame: pd.DataFrame, options: Mapping[str, Any], page: Path) -> None:
    """The table, between its markers."""
    known = {str(one["metric"]): one for one in frame.to_dict("records")}
    first = next(iter(known.values()))
    lines = [
        f"{first['device']}, torch {first['torch']}, {first['threads']} threads, {first['precision']}; median of "
        f"{first['n']} fresh processes with quartiles, commit {first['commit']}"
        + (f"; **the machine was busy (load {first['load']}): times mean little**" if first["busy"] else "")
        + ".",
        "",
    ]
    cells = [
        (
            WORDS[name].format(steps=options["sampler_steps"]),
            *(_cell(known[key]) for key in (name, f"{name}_cpu")),
            goal,
        )
        for name in WORDS
        if name in known
        for goal in [f"{options['targets'][name]:g}" if name in options["targets"] else ""]
    ]
    lines += table_lines(("", "seconds", "processor seconds", "target"), cells)
    write_block(page, "startup", lines, "Where the time goes besides the optimisation")


def _cell(one: Mapping[Any, Any]) -> str:
    return figure(one["value"], one["low"], one["high"])
