"""Jobs in a queue and the runs that they make, how they ended, and which of them an earlier launch left behind.

<runs_dir>/.sweeps/<sweep>/slurm/<array>_runs.json    the name of the jobs in Slurm, and the run ids of each job
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import submitit
from hydra.core.utils import JobReturn, JobStatus
from submitit.core.utils import pickle_load
from tqdm import tqdm

from ditto.outcome import Outcome
from ditto.run_directory import read_json, write_json
from ditto.runs import state
from ditto.sweeping.slurm_queue import Entry

# A file system that machines share may show a result some time after its job has left the queue.
GRACE_S = 5.0


@dataclass
class Ticket:
    """A job and the ids of its runs, in order; `recalled` from an earlier launch."""

    job: submitit.Job[Any]
    runs: Sequence[str]
    recalled: bool = False
    gone_since: float | None = None

    @property
    def folder(self) -> Path:
        return self.job.paths.folder

    @property
    def result_file(self) -> Path:
        return self.job.paths.result_pickle

    @property
    def output(self) -> Path:
        """What the job printed, all of it or its errors."""
        paths = self.job.paths
        return paths.stderr if paths.stderr.exists() else paths.stdout

    def overdue(self, gone: bool) -> bool:
        """Has the job been gone from the queue for so long that no result is to be expected?"""
        if not gone:
            self.gone_since = None
            return False
        self.gone_since = self.gone_since or time.monotonic()
        return time.monotonic() - self.gone_since > GRACE_S


def read_result(ticket: Ticket, runs_dir: Path) -> dict[str, JobReturn]:
    """What the runs of a job returned, by run id; what the job printed stays."""
    outcome, value = pickle_load(ticket.result_file)
    for file in (ticket.result_file, ticket.job.paths.submitted_pickle):
        file.unlink(missing_ok=True)
    if outcome == "success":
        return dict(zip(ticket.runs, value, strict=True))
    return without_result(ticket, f"ERROR {value.strip().splitlines()[-1]}", runs_dir)


def without_result(ticket: Ticket, why: str, runs_dir: Path) -> dict[str, JobReturn]:
    """Say that a job returned nothing; `why` begins with its state. The directories tell how far its runs came, but for

    CANCELLED    runs that had not ended are interrupted: whoever cancelled them does not want them started again now
    ERROR        runs that had not begun have failed: Python could not even call them
    """
    about = f"job {ticket.job.job_id} returned nothing ({why}); what it printed: {ticket.output}"
    tqdm.write(f"{about}; its runs: {', '.join(ticket.runs)}", file=sys.stderr)
    told = {run: _told(why.split()[0], runs_dir / run) for run in ticket.runs}
    outcomes = {run: Outcome(run, runs_dir / run, status, about) for run, status in told.items() if status}
    return {run: JobReturn(status=JobStatus.COMPLETED, _return_value=one) for run, one in outcomes.items()}


def _told(ended: str, path: Path) -> str | None:
    """The status of a run whose job ended so; None: see its directory."""
    status = state(path)[0] if (path / "status.json").exists() else "waiting"
    if ended == "CANCELLED" and status in ("waiting", "running", "killed"):
        return "interrupted"
    return "failed" if ended == "ERROR" and status == "waiting" else None


def record(folder: Path, name: str, tickets: Sequence[Ticket]) -> None:
    """Keep which runs the jobs of a submission make, for a launcher that comes after this one."""
    jobs = {ticket.job.job_id: list(ticket.runs) for ticket in tickets}
    write_json(folder / f"{name}_runs.json", {"name": name, "jobs": jobs})


def recall(folder: Path, runs: Sequence[str], queue: Mapping[str, Entry]) -> list[Ticket]:
    """The recorded jobs that are in the queue still and make some of these runs."""
    wanted, found = set(runs), []
    for file in sorted(folder.glob("*_runs.json")):
        known = read_json(file) or {"name": "", "jobs": {}}
        for job, made in known["jobs"].items():
            entry = queue.get(job)
            if entry and entry.active and entry.name == known["name"] and wanted.intersection(made):
                wanted -= set(made)
                found.append(Ticket(submitit.SlurmJob(folder=folder, job_id=job), made, recalled=True))
    return found
