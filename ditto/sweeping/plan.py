"""What a sweep wants: its jobs with their run ids, composed before anything runs, and written down for whoever watches.

    runs/.sweeps/<name>/plan.json    name, command, engine, started, jobs: [{run, overrides}]

The state of a job is never in the plan: it is read from its run directory. The name is a hash of what the command
asks for, so the same command is the same sweep.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from ditto.identity import prepare
from ditto.job import already
from ditto.outcome import Outcome
from ditto.run_directory import NOT_IDENTITY, read_json, write_json
from ditto.sweeping.composing import Composer
from ditto.types import UserError

FOLDER = ".sweeps"


@dataclass(frozen=True)
class Planned:
    """One job: its overrides as Hydra's sweeper gave them, its configuration, and where it goes."""

    number: int
    overrides: list[str]
    config: DictConfig
    run_id: str
    path: Path
    outcome: Outcome | None = None  # known without running it: it is there, or it is a mistake

    @property
    def launched_as(self) -> list[str]:
        """Overrides for a process that composes the configuration again: it has to become the same run."""
        return [*self.overrides, f"run_id={self.run_id!r}", f"sweep={self.config.sweep!r}"]


def plan_job(compose: Composer, overrides: Sequence[str], number: int, sweep: str, device: str | None) -> Planned:
    """Compose one job of a sweep and find its run; a mistake in it becomes its outcome."""
    config = compose(overrides)
    with open_dict(config):
        config.hydra.job.id, config.hydra.job.num, config.sweep = number, number, config.sweep or sweep
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)  # the configuration asks it for the names of its choices
    try:
        asked = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        prepared = prepare(asked, device)
        run = prepared.run
        with open_dict(config):
            config.run_id = run.id
        found = already(run, prepared.options, sweeping=True)
        return Planned(number, list(overrides), config, run.id, run.path, found)
    except UserError as error:
        path = Path(str(config.runs_dir))
        return Planned(number, list(overrides), config, "", path, Outcome("", path, "error", str(error)))
    finally:
        HydraConfig.instance().cfg = before


def sweep_name(master: DictConfig) -> str:
    """The option `sweep`, or the experiment and a hash of what is asked for; how it is run does not count."""
    if master.get("sweep"):
        return str(master.sweep)
    words = [word for word in master.hydra.overrides.task if word.partition("=")[0].lstrip("+~") not in NOT_IDENTITY]
    params = OmegaConf.to_container(master.hydra.sweeper, resolve=False)
    text = json.dumps([sorted(words), params], sort_keys=True, default=str)
    choices = master.hydra.runtime.choices
    named = choices.get("experiment") or choices.get("search") or "sweep"
    return f"{str(named).replace(',', '+')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def write_plan(runs_dir: Path, name: str, engine: str, jobs: Sequence[Planned]) -> None:
    """Write or extend the plan of a sweep; a search adds its jobs batch by batch."""
    file = runs_dir / FOLDER / name / "plan.json"
    known = read_json(file) or {}
    listed = {job["run"]: job for job in known.get("jobs", [])}
    listed |= {job.run_id: {"run": job.run_id, "overrides": job.overrides} for job in jobs if job.run_id}
    started = known.get("started", time.time())
    command = [word for word in sys.argv[1:] if not word.startswith("hydra.searchpath=")]  # ditto.run adds that itself
    about = {"name": name, "command": command, "engine": engine, "started": started}
    write_json(file, {**about, "jobs": list(listed.values())})
