"""The record of the searches: `python -m eval.studies runs=runs` writes <results>/<search>.csv, a row per trial.

A study keeps nothing of its own (`ditto.sweeping.search`): its trials stand in the plans that its sweeps left under
runs/.sweeps, in the order they were asked for, and what each came to in its run directory. So the record is read anew
whenever it is wanted, of studies that go on too. A value that was asked for again, by the sampler or by another sweep
of the search, is the same run and one row.

Columns: task, trial (from 0, of its task), a column for each option that is searched, score (ditto/objective.py; empty
with the reason in `why`), run, state, n clips, seconds that its clips took, and model, device, commit, weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from ditto.atomic import read_json
from ditto.build import build
from ditto.command import command
from ditto.objective import Score
from ditto.run import CONF
from ditto.runs import state
from ditto.runs.plans import Job, read_plans
from ditto.types import UserError
from eval.asked import flat

SEARCHES = CONF.parent / "sweeps" / "search"


def searched(name: str) -> list[str]:
    """The options that sweeps/search/<name>.yaml searches."""
    file = SEARCHES / f"{name}.yaml"
    config = OmegaConf.load(file) if file.exists() else OmegaConf.create()
    return [str(option) for option in OmegaConf.select(config, "hydra.sweeper.params") or ()]


def search_of(job: Job) -> str:
    """The search that a job is a trial of; "" where it is of none."""
    return next((word.partition("=")[2] for word in job.overrides if word.startswith("+search=")), "")


def studies(runs_dir: Path, model: str, score: Score) -> dict[str, pd.DataFrame]:
    """Search -> its trials with a model, those of a task together."""
    jobs = {job.run: job for plan in read_plans(runs_dir) for job in plan.jobs if search_of(job)}
    by_search: dict[str, list[Mapping[str, Any]]] = {}
    for job in jobs.values():
        row = trial(runs_dir / job.run, searched(search_of(job)), score)
        if row and row["model"] == model:
            by_search.setdefault(search_of(job), []).append(row)
    return {name: _numbered(pd.DataFrame(rows)) for name, rows in by_search.items()}


def _numbered(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.sort_values("task", kind="stable").reset_index(drop=True)
    rows.insert(1, "trial", rows.groupby("task").cumcount())
    return rows


def trial(path: Path, options: list[str], score: Score) -> Mapping[str, Any]:
    """The row of one run; {} of one that has not begun."""
    if not (path / "config.yaml").exists():
        return {}
    config = flat(OmegaConf.to_container(OmegaConf.load(path / "config.yaml")))
    value, why = score.judge(path)
    ended, reason = state(path)
    clips = [clip for clip in (read_json(path / "metrics.json") or {}).values() if "failed" not in clip]
    environment = read_json(path / "environment.json") or {}
    return {
        "task": config["task.name"],
        **{option.removeprefix("method."): config.get(option) for option in options},
        "score": None if math.isnan(value) else value,
        "why": why if ended in ("done", "running") else reason,
        "run": path.name,
        "state": ended,
        "n": len(clips),
        "seconds": sum(clip["seconds"] for clip in clips),
        "model": config["names.model"],
        **{name: environment.get(name, "unknown") for name in ("device", "commit", "weights")},
    }


def run(cfg: DictConfig) -> dict[str, Path]:
    """Write a file for each search that has trials in `runs`; returns them by name."""
    options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    made = studies(Path(options["runs"]), options["model_name"], build(options["objective"], "objective"))
    if not made:
        raise UserError(f"no search left trials in {options['runs']}: python -m ditto.run -m +search=freedom")
    folder = Path(options["results"])
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in made.items():
        rows.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
    return {name: folder / f"{name}.csv" for name in made}


@command("studies")
def main(cfg: DictConfig) -> None:
    for name, file in run(cfg).items():
        rows = pd.read_csv(file)
        print(f"{name}: {len(rows)} trials, {int(rows['score'].notna().sum())} with a score -> {file}")


if __name__ == "__main__":
    main()
