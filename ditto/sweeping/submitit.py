"""Engines of `ditto.sweeping.launcher.Sweep` that hand a sweep's runs to a queue, by way of submitit.

Slurm     jobs of a cluster, in arrays; jobs that an earlier launch left in the queue are waited for, not made twice
Local     processes of this machine: submitit's stand-in for a cluster

Hydra's own submitit plugin reads the results in order and raises at the first job that was cancelled or killed, which
loses sight of the others. Here every job ends by itself, and a run without a result is None: `Sweep` then asks its run
directory. What jobs print is in `<runs_dir>/.sweeps/<sweep>/slurm` (or `local`).
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import submitit
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from ditto.sweeping.queued_runs import QueuedRuns, Run
from ditto.sweeping.slurm_queue import largest_array, queue
from ditto.sweeping.tickets import Ticket, read_result, recall, record, without_result


class Submitit(Launcher):
    """runs_per_job: runs that a job makes one after another; poll_s: seconds between two looks at the queue;
    max_num_timeout: how often a job goes back to the queue at its time limit. The rest are submitit's parameters."""

    config: DictConfig
    hydra_context: HydraContext
    task_function: TaskFunction
    place: str  # in messages, and the folder of the jobs' output

    def __init__(self, runs_per_job: int = 1, poll_s: float = 5.0, max_num_timeout: int = 3, **parameters: Any) -> None:
        self.runs_per_job, self.poll_s, self.max_num_timeout = runs_per_job, poll_s, max_num_timeout
        self.parameters = {key: _plain(value) for key, value in parameters.items()}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """What each run returned, in order; None for those whose job ended without a result."""
        runs = {_option(one, "run_id"): (initial_job_idx + k, list(one)) for k, one in enumerate(job_overrides)}
        folder = Path(str(self.config.hydra.sweep.dir)).absolute() / _option(job_overrides[0], "sweep") / self.place
        folder.mkdir(parents=True, exist_ok=True)
        tickets = self.still_queued(folder, list(runs))
        todo = [run for run in runs if run not in {queued for ticket in tickets for queued in ticket.runs}]
        results: dict[str, JobReturn] = {}
        with tqdm(total=len(runs), unit="run", desc=self.place, disable=None) as bar:
            try:
                while todo or tickets:
                    count = self.room(tickets) * self.runs_per_job
                    tickets += self._submit(folder, {run: runs[run] for run in todo[:count]})
                    del todo[:count]
                    time.sleep(self.poll_s)
                    tickets = self._collect(tickets, results)
                    open_runs = {*todo, *(run for ticket in tickets for run in ticket.runs)}
                    bar.update(sum(run not in open_runs for run in runs) - bar.n)
            except KeyboardInterrupt:
                print(self.farewell(tickets), file=sys.stderr)
                raise
        return [results.get(run) for run in runs]  # type: ignore[misc]

    @abstractmethod
    def room(self, tickets: Sequence[Ticket]) -> int:
        """How many more jobs may be submitted now, beside these."""

    @abstractmethod
    def submit(self, folder: Path, jobs: Sequence[QueuedRuns], runs: Sequence[Sequence[str]]) -> list[Ticket]:
        """Hand over jobs to the queue; `runs` are the ids of the runs of each."""

    @abstractmethod
    def ended(self, tickets: Sequence[Ticket]) -> dict[str, str]:
        """Job id -> last known state, of the jobs that are in the queue no more."""

    @abstractmethod
    def farewell(self, tickets: Sequence[Ticket]) -> str:
        """What happens to these jobs when the launcher ends."""

    def still_queued(self, folder: Path, runs: Sequence[str]) -> list[Ticket]:
        """The jobs of an earlier launch that will make some of these runs."""
        return []

    def environment(self) -> dict[str, str | None]:
        """Variables to be set in the jobs, or unset, whatever submitit does."""
        return {}

    def _submit(self, folder: Path, runs: Mapping[str, Run]) -> list[Ticket]:
        names, environment = list(runs), self.environment()
        groups = [names[k : k + self.runs_per_job] for k in range(0, len(names), self.runs_per_job)]
        known = (self.hydra_context, self.config, self.task_function)
        jobs = [QueuedRuns(*known, [runs[run] for run in group], environment) for group in groups]
        return self.submit(folder, jobs, groups) if jobs else []

    def _collect(self, tickets: Sequence[Ticket], results: dict[str, JobReturn]) -> list[Ticket]:
        """Add the results that are there to `results`; returns the jobs that are still to be waited for."""
        ended = self.ended(tickets)
        files = {name for folder in {ticket.folder for ticket in tickets} for name in os.listdir(folder)}
        waiting = []
        for ticket in tickets:
            if ticket.result_file.name in files:
                results |= read_result(ticket, Path(str(self.config.runs_dir)))
            elif ticket.overdue(ticket.job.job_id in ended):
                results |= without_result(ticket, ended[ticket.job.job_id], Path(str(self.config.runs_dir)))
            else:
                waiting.append(ticket)
        return waiting


class Slurm(Submitit):
    """array_size: jobs of one array, null for as many as the cluster allows. The next array is submitted when one has
    ended, so `array_parallelism` holds for the sweep. setup: shell lines before each job."""

    place = "slurm"

    def __init__(
        self,
        array_size: int | None = None,
        setup: Sequence[str] | None = None,
        additional_parameters: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> None:
        # Since Slurm 22.05 a job's step has one CPU, whatever the job has, unless it is said again.
        threads = [f"export {name}=${{SLURM_CPUS_PER_TASK:-1}}" for name in ("SRUN_CPUS_PER_TASK", "OMP_NUM_THREADS")]
        sbatch = {"requeue": True, **(additional_parameters or {})}  # there are clusters where it has to be asked for
        super().__init__(**parameters, setup=[*threads, *(setup or ())], additional_parameters=sbatch)
        self.array_size = array_size
        self.silent = False

    def room(self, tickets: Sequence[Ticket]) -> int:
        return (self.array_size or largest_array()) if all(ticket.recalled for ticket in tickets) else 0

    def submit(self, folder: Path, jobs: Sequence[QueuedRuns], runs: Sequence[Sequence[str]]) -> list[Ticket]:
        name = f"{folder.parent.name}-{secrets.token_hex(3)}"
        executor = submitit.AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=self.max_num_timeout)
        generic = executor._valid_parameters()
        named = {key if key in generic else f"slurm_{key}": value for key, value in self.parameters.items()}
        executor.update_parameters(**named, name=name)
        tickets = [Ticket(*both) for both in zip(executor.submit_array(jobs), runs, strict=True)]
        record(folder, name, tickets)
        print(f"Slurm job {_arrays(tickets)}: {len(jobs)} jobs; what they print: {folder}", flush=True)
        return tickets

    def ended(self, tickets: Sequence[Ticket]) -> dict[str, str]:
        now = queue()
        if (now is None) != self.silent:
            tqdm.write(
                "Slurm does not answer; waiting for it" if now is None else "Slurm answers again", file=sys.stderr
            )
        self.silent = now is None
        if now is None:
            return {}
        ids = [ticket.job.job_id for ticket in tickets]
        return {one: now[one].state if one in now else "gone" for one in ids if one not in now or not now[one].active}

    def still_queued(self, folder: Path, runs: Sequence[str]) -> list[Ticket]:
        found = recall(folder, runs, queue() or {})
        if found:
            print(f"{len(found)} jobs of an earlier launch are in Slurm's queue and are waited for", flush=True)
        return found

    def farewell(self, tickets: Sequence[Ticket]) -> str:
        ending = f"to end them: scancel {_arrays(tickets)}; the same command waits for them"
        return f"{len(tickets)} jobs stay in Slurm's queue; {ending}"


class Local(Submitit):
    """processes: how many at once."""

    place = "local"

    def __init__(self, processes: int = 1, poll_s: float = 1.0, **parameters: Any) -> None:
        super().__init__(poll_s=poll_s, **parameters)
        self.processes = processes

    def room(self, tickets: Sequence[Ticket]) -> int:
        return self.processes - len(tickets)

    def submit(self, folder: Path, jobs: Sequence[QueuedRuns], runs: Sequence[Sequence[str]]) -> list[Ticket]:
        executor = submitit.LocalExecutor(folder, max_num_timeout=self.max_num_timeout)
        executor.update_parameters(**self.parameters)
        return [Ticket(*both) for both in zip(executor.submit_array(jobs), runs, strict=True)]

    def ended(self, tickets: Sequence[Ticket]) -> dict[str, str]:
        return {ticket.job.job_id: ticket.job.state for ticket in tickets if ticket.job.done()}

    def environment(self) -> dict[str, str | None]:
        return {
            "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES")
        }  # submitit hides GPUs that nobody counted

    def farewell(self, tickets: Sequence[Ticket]) -> str:
        return f"{len(tickets)} processes are asked to stop"


def _arrays(tickets: Sequence[Ticket]) -> str:
    """The numbers that name jobs, or all jobs of an array, to Slurm's commands."""
    return " ".join(sorted({ticket.job.job_id.partition("_")[0] for ticket in tickets}))


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _option(overrides: Sequence[str], name: str) -> str:
    """The value that `Sweep` gave an option: the last one counts."""
    values = [word.partition("=")[2].strip("'\"") for word in overrides if word.startswith(f"{name}=")]
    return values[-1]
