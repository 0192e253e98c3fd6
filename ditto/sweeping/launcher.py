"""Hydra's launcher of every sweep of `python -m ditto.run`: any other launcher is an engine inside it.

plan      compose every job, find its run id, drop what is done and what is asked for twice
launch    give the others to the engine, or run them in this process
survive   launch again what was lost with a process, wait for what another launcher makes (ditto.sweeping.survive)
return    one outcome a job, in order: searching sweepers read a number from each
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, env_override, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from tqdm import tqdm

from ditto.job import in_launching_process
from ditto.objective import with_objective
from ditto.outcome import Outcome, remember
from ditto.sweeping.composing import Composer
from ditto.sweeping.plan import Planned, plan_job, sweep_name, write_plan
from ditto.sweeping.survive import make_all, outcome_on_disk


class Sweep(Launcher):
    """engine: a launcher of Hydra or of its plugins, null for this process; attempts: of a job whose process dies;
    env: environment variables of the processes that the engine starts."""

    config: DictConfig
    hydra_context: HydraContext
    task_function: TaskFunction

    def __init__(self, engine: Launcher | None = None, attempts: int = 3, env: Mapping[str, Any] | None = None) -> None:
        self.engine = engine
        self.attempts = attempts
        self.env = {name: str(value) for name, value in (env or {}).items()}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config
        if self.engine is not None:
            self.engine.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    @classmethod
    def around(cls, launcher: Launcher) -> Sweep:
        """`launcher` itself if it is one of these; otherwise one whose engine it is, already set up."""
        if isinstance(launcher, cls):
            return launcher
        sweep, known = cls(launcher), vars(launcher)
        sweep.hydra_context, sweep.task_function = known["hydra_context"], known["task_function"]
        sweep.config = known["config"]
        return sweep

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """One JobReturn a job, in order; its value is an Outcome."""
        setup_globals()
        jobs = self._plan(job_overrides, initial_job_idx)
        known = {job.run_id: job.outcome for job in jobs if job.outcome and job.run_id}
        todo = list({job.run_id: job for job in jobs if not job.outcome}.values())
        token = in_launching_process.set(True)
        try:
            known |= make_all(todo, self._here if self.engine is None else self._elsewhere, self.attempts)
        finally:
            in_launching_process.reset(token)
            outcomes = [job.outcome or known.get(job.run_id) or outcome_on_disk(job) for job in jobs]
            remember(*outcomes)
        return [_returned(job, outcome) for job, outcome in zip(jobs, outcomes, strict=True)]

    def _plan(self, job_overrides: Sequence[Sequence[str]], first: int) -> list[Planned]:
        name = sweep_name(self.config)
        # Which run it is does not depend on the device: a launching process must not take a GPU from its workers.
        device = None if self.engine is None else "cpu"
        numbered = tqdm(job_overrides, desc="planning", unit="job", leave=False, delay=2.0)
        compose = Composer(self.hydra_context.config_loader, self.config)
        jobs = [plan_job(compose, overrides, first + k, name, device) for k, overrides in enumerate(numbered)]
        write_plan(Path(str(self.config.runs_dir)), name, type(self.engine).__name__ if self.engine else "here", jobs)
        ready = sum(job.outcome is not None for job in jobs)
        print(f"sweep {name}: {len(jobs)} jobs, {ready} need nothing", flush=True)
        return jobs

    def _here(self, jobs: Sequence[Planned]) -> dict[str, Outcome | None]:
        outcomes: dict[str, Outcome | None] = {}
        for k, job in enumerate(jobs, start=1):
            print(f"[{k}/{len(jobs)}] {' '.join(job.overrides)}", flush=True)
            returned = run_job(self.task_function, job.config, "hydra.sweep.dir", None, self.hydra_context)
            outcomes[job.run_id] = _outcome(job, returned)
        return outcomes

    def _elsewhere(self, jobs: Sequence[Planned]) -> dict[str, Outcome | None]:
        assert self.engine is not None
        with env_override(self.env):
            returned = self.engine.launch([job.launched_as for job in jobs], jobs[0].number)
        return {job.run_id: _outcome(job, one) for job, one in zip(jobs, returned, strict=True) if one is not None}


def _outcome(job: Planned, returned: JobReturn) -> Outcome | None:
    """What a job returned; None where it says nothing, so that its directory is asked."""
    value = returned._return_value
    if isinstance(value, BaseException):  # an error outside of what `ditto.job` records
        print(f"error: run {job.run_id}: {type(value).__name__}: {value}", file=sys.stderr)
        return Outcome(job.run_id, job.path, "failed", f"{type(value).__name__}: {value}")
    return value if isinstance(value, Outcome) else None


def _returned(job: Planned, outcome: Outcome) -> JobReturn:
    scored = with_objective(outcome, job.config.objective)
    return JobReturn(overrides=job.overrides, cfg=job.config, status=JobStatus.COMPLETED, _return_value=scored)
