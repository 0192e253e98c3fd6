"""What Slurm's queue says of our jobs. By squeue, which every Slurm has; sacct needs an accounting database."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

# States of a job that is still to begin or to end.
_TO_BEGIN = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT")
_TO_END = ("RUNNING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT", "COMPLETING")


@dataclass(frozen=True)
class Entry:
    """A job of the queue: its state in Slurm's words, and the name it was submitted under."""

    state: str
    name: str

    @property
    def active(self) -> bool:
        return self.state in (*_TO_BEGIN, *_TO_END)


def queue() -> dict[str, Entry] | None:
    """Job id ("12" or, in an array, "12_3") -> entry of every job of this user; None where Slurm does not answer.

    Jobs that ended stay listed for a while (Slurm's MinJobAge), then are gone.
    """
    command = ["squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}", "--format=%i|%T|%j"]
    try:
        text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    rows = (line.split("|", 2) for line in text.splitlines() if line.count("|") >= 2)
    return {job: Entry(state, name) for job, state, name in rows}


def largest_array(default: int = 1001) -> int:
    """How many jobs one array may have (Slurm's MaxArraySize)."""
    try:
        text = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, timeout=120).stdout
    except (OSError, subprocess.SubprocessError):
        return default
    values = [line.partition("=")[2].strip() for line in text.splitlines() if line.startswith("MaxArraySize")]
    return int(values[0]) if values and values[0].isdigit() and int(values[0]) else default
