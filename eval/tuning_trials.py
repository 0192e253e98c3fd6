"""The trials of a search, read from finished runs on the validation split, whatever sweeper made them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from ditto.objective import Measured, Score, measure
from eval.asked import LEFT_OUT, flat
from eval.finished import Finished

DIVERGED = 2.0  # twice the error of text-only
COMPARED = ("sampler", "task", "frames", "precision", "prompts_n", "prompts_offset", "seed")


@dataclass(frozen=True)
class Trial:
    """One value of one method's option on one task, as a finished run measured it."""

    run: Finished
    setting: float
    measured: Measured
    score: float
    group: str  # equal for runs that differ in the setting alone

    def broken(self, level_db: float) -> bool:
        """A clip without a result, sound of another level, or errors of twice text-only's."""
        return self.run.failed > 0 or not self.score < DIVERGED or not abs(self.measured.level_db) <= level_db


def trials(runs: pd.DataFrame, options: Mapping[str, Any], score: Score) -> Iterator[Trial]:
    """Every run of the search: the searched methods on the tasks that a score is defined for, one split and model."""
    if runs.empty:
        return
    wanted = runs["method"].isin(options["searched"]) & runs["task"].isin(score.metrics)
    for (path, method, task), rows in runs[wanted & (runs["model"] == options["model_name"])].groupby(
        ["path", "method", "task"]
    ):
        config: Any = OmegaConf.to_container(OmegaConf.load(Path(path) / "config.yaml"))
        own = flat(config["method"])
        setting = own.pop(options["searched"][method]["option"], None)
        if setting is None or config.get("prompts_split") != options["split"]:
            continue
        run = Finished.of(task, method, Path(path), rows)
        measured = measure(run.path, score.metrics[task])
        if measured is not None:
            same = {name: value for name, value in own.items() if LEFT_OUT not in name.split(".")}
            about = {"method": same, "weights": run.provenance["weights"], **{n: config.get(n) for n in COMPARED}}
            yield Trial(run, float(setting), measured, score.of(measured.values), json.dumps(about, sort_keys=True))
