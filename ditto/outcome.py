"""How a job ended, as it travels from the process that ran it to the one that launched it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

EXIT_CODES = {"failed": 1, "interrupted": 1, "killed": 1, "error": 2}  # of the others: 0


@dataclass(frozen=True)
class Outcome:
    """status, one of

    done         made now
    skipped      there already, or failed earlier and not to be tried again
    undefined    the method has no meaning for the task
    busy         another process is making it
    failed       an error of ours, or every clip failed; the traceback is in status.json
    interrupted  asked to stop (Ctrl-C, SIGTERM): the same command goes on with it
    killed       its process ended without a word
    error        a mistake in the command
    """

    run_id: str
    path: Path
    status: str
    reason: str = ""
    objective: float = math.nan  # what a search minimises; NaN where the run has no such figure

    @property
    def exit_code(self) -> int:
        """What the command ends with if this is its worst job."""
        return EXIT_CODES.get(self.status, 0)

    def __float__(self) -> float:
        """For Hydra's sweepers that search. A ValueError, which is a failed trial to them, where there is no number."""
        if math.isnan(self.objective):
            raise ValueError(f"run {self.run_id or '?'} has nothing to minimise: {self.status} {self.reason}".strip())
        return self.objective


_ended: list[Outcome] = []


def remember(*outcomes: Outcome) -> None:
    """Keep how jobs of the current command ended, for its exit code."""
    _ended.extend(outcomes)


def outcomes() -> list[Outcome]:
    """How the jobs of the current command ended."""
    return list(_ended)


def forget() -> None:
    """To be called at the start of a command."""
    _ended.clear()
