"""The rates that the search on the validation split found: `python -m eval.tuning runs=runs`.

Score of a rate: mean over the task's metrics of (mean over clips) / (mean over the text-only clips beside them), an
accuracy counted as what is missing to 100 %; lower is better, 1 is text-only. For each method and task the gentlest
rate is chosen whose score is within `tolerance` of the lowest, among the rates under the first that breaks the chain:
one with a clip without a result, with a level further than `level_db` from text-only's (mean of the clips' RMS in dB
as generated), or with a score of 2 or more. Beyond it guidance overshoots, and a good score there is luck.

Only runs on the validation split count; of the runs of one method and task, those that differ in nothing but the rate:
the largest such group, the newest of equals. Rows of <results>/tuning.csv: one per method, task, rate and metric.
The chosen rates replace the block between the two marks in `tuned_file`; everything outside it stays.
"""

from __future__ import annotations

import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from omegaconf import DictConfig, OmegaConf

from ditto.command import command
from ditto.runs import load_runs
from ditto.types import UserError
from eval.candidates import largest
from eval.finished import Finished

BEGIN, END = "# --- found by python -m eval.tuning; do not edit ---", "# --- end ---"
DIVERGED = 2.0  # twice the error of text-only
COMPARED = ("sampler", "task", "frames", "precision", "prompts_n", "prompts_offset", "seed")
COLUMNS = ["method", "task", "rate", "metric", "value", "text_only", "score", "level_db", "n", "chosen", "edge"]


@dataclass(frozen=True)
class Trial:
    """One rate of one method on one task, as a finished run measured it."""

    run: Finished
    rate: float
    values: Mapping[str, tuple[float, float]]  # metric -> its mean, that of text-only
    score: float
    level_db: float  # louder than text-only
    group: str  # equal for runs that differ in the rate alone

    def broken(self, level_db: float) -> bool:
        return self.run.failed > 0 or not self.score < DIVERGED or not abs(self.level_db) <= level_db


def trials(runs: pd.DataFrame, options: Mapping[str, Any]) -> Iterator[Trial]:
    """Every run of the search: the tuned methods and tasks, on the right split and model."""
    if runs.empty:
        return
    wanted = runs["method"].isin(options["options"]) & runs["task"].isin(options["metrics"])
    for (path, method, task), rows in runs[wanted & (runs["model"] == options["model_name"])].groupby(
        ["path", "method", "task"]
    ):
        config: Any = OmegaConf.to_container(OmegaConf.load(Path(path) / "config.yaml"))
        rate = config["method"].pop(options["options"][method], None)
        if rate is None or config.get("prompts_split") != options["split"]:
            continue
        run = Finished.of(task, method, Path(path), rows)
        values = _values(run, options["metrics"][task])
        if values is not None:
            score = float(np.mean([_ratio(*pair, options["perfect"].get(name, 0.0)) for name, pair in values.items()]))
            same = {"method": config["method"], "weights": run.provenance["weights"]}
            group = json.dumps(same | {name: config.get(name) for name in COMPARED}, sort_keys=True)
            yield Trial(run, float(rate), values, score, _level(run), group)


def _values(run: Finished, metrics: list[str]) -> dict[str, tuple[float, float]] | None:
    """Means with those of text-only; None where the run kept no text-only clips beside."""
    if run.clips.empty or not {f"{name}_text_only" for name in metrics} <= set(run.clips.columns):
        return None
    return {name: (float(run.clips[name].mean()), float(run.clips[f"{name}_text_only"].mean())) for name in metrics}


def _ratio(value: float, text_only: float, perfect: float) -> float:
    return abs(value - perfect) / abs(text_only - perfect)


def _level(run: Finished) -> float:
    """Mean over clips of how much louder than text-only they are, dB."""
    pairs = zip(run.files, run.beside_text_only().files, strict=True)
    return float(np.mean([_decibel(clip) - _decibel(beside) for clip, beside in pairs]))


def _decibel(file: Path) -> float:
    wave, _ = soundfile.read(file)
    return 20 * math.log10(float(np.sqrt(np.mean(wave**2))) + 1e-6)


def search(found: list[Trial]) -> list[Trial]:
    """One trial a rate, of the largest group (the newest of equals); says which runs were left out."""
    kept = largest(found, group=lambda one: one.group, key=lambda one: one.rate, made=lambda one: one.run)
    return sorted(kept, key=lambda one: one.rate)


def choose(found: list[Trial], level_db: float, tolerance: float) -> tuple[Trial | None, bool]:
    """The chosen trial of those sorted by rate, and whether the lowest score lies at an edge of the rates tried."""
    sound = list(takewhile(lambda one: not one.broken(level_db), found))
    if not sound:
        return None, False
    best = min(sound, key=lambda one: one.score)
    gentlest = next(one for one in sound if one.score <= best.score + tolerance)
    return gentlest, best.rate in (found[0].rate, found[-1].rate)


def table(runs: pd.DataFrame, options: Mapping[str, Any]) -> pd.DataFrame:
    """All rates tried, the chosen ones marked; warns of a best rate at the edge, and where nothing was usable."""
    by_pair: dict[tuple[str, str], list[Trial]] = defaultdict(list)
    for trial in trials(runs, options):
        by_pair[trial.run.method, trial.run.task].append(trial)
    if not by_pair:
        raise UserError(
            f"no finished run of {', '.join(options['options'])} on the {options['split']} split in {options['runs']}: "
            "python -m ditto.run -m +experiment=tune_guidance"
        )
    rows = [row for pair in sorted(by_pair) for row in _rows(search(by_pair[pair]), options)]
    return pd.DataFrame(rows, columns=[*COLUMNS, "model", "device", "commit", "weights", "run"])


def _rows(found: list[Trial], options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    best, edge = choose(found, options["level_db"], options["tolerance"])
    where = f"{found[0].run.method} on {found[0].run.task}"
    if best is None:
        print(f"warning: {where}: no rate made sound clips; its default stays", file=sys.stderr)
    elif best.score >= 1:
        print(f"warning: {where}: no rate is better than text-only", file=sys.stderr)
    elif edge:
        print(f"warning: {where}: the best rate is at the edge of the grid", file=sys.stderr)
    for trial in found:
        chosen = trial is best
        for metric, (value, text_only) in trial.values.items():
            about = {"method": trial.run.method, "task": trial.run.task, "rate": trial.rate, "metric": metric}
            figures = {"value": value, "text_only": text_only, "score": trial.score, "level_db": trial.level_db}
            judged = {"n": len(trial.run.clips), "chosen": chosen, "edge": chosen and edge}
            yield {**about, **figures, **judged, **trial.run.provenance}


def write_tuned(result: pd.DataFrame, file: Path) -> None:
    """Put the chosen rates between the marks of `file`; without marks, at its end."""
    rates: dict[str, Any] = {}
    for line in result[result["chosen"]].itertuples():
        rates.setdefault(line.method, {"rate": {}})["rate"][line.task] = float(line.rate)
    text = file.read_text() if file.exists() else ""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    block = f"{BEGIN}\n{OmegaConf.to_yaml(OmegaConf.create(rates))}{END}\n"
    file.write_text(f"{before.rstrip()}\n\n{block}{after.lstrip()}" if before.strip() else block + after.lstrip())


def run(cfg: DictConfig) -> pd.DataFrame:
    """Read the search, write the table and the chosen rates, return the table."""
    options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    result = table(load_runs(options["runs"]), options)
    folder = Path(options["results"])
    folder.mkdir(parents=True, exist_ok=True)
    result.to_csv(folder / "tuning.csv", index=False, float_format="%.6g")
    write_tuned(result, Path(options["tuned_file"]))
    return result


@command("tuning")
def main(cfg: DictConfig) -> None:
    result = run(cfg)
    print(result[COLUMNS].to_string(index=False, float_format="%.4g"))
    print(f"written to {cfg.results}/tuning.csv and {cfg.tuned_file}")


if __name__ == "__main__":
    main()
