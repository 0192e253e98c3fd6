"""Faults in the jobs of a sweep, at random: a Hydra callback that breaks the process in which a job runs.

    killed      SIGKILL, in the middle of a call of the network
    terminated  SIGTERM, as a scheduler sends it
    error       an exception out of the network
    memory      out of memory, out of the network: the batch is halved
    disk        no space left, at one of the files that the job writes
    clock       the clock is an hour behind for the time of the job

Each fault is noted before it strikes (`faults` in the folder), each end of a job after it (`ends`).
"""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from ditto.models.toy import Toy

CALLS = 12  # a fault strikes at one of the first calls
HOUR_S = 3600.0


class Faults(Callback):
    """folder: of the notes; chance: of a fault in a job; budget: of faults in all, over all processes.

    kinds: of faults, null for all; at: the call at which they strike, null for one at random.
    """

    def __init__(
        self, folder: str, chance: float, budget: int, kinds: Sequence[str] | None = None, at: int | None = None
    ) -> None:
        self.folder, self.chance, self.budget = Path(folder), chance, budget
        self.kinds, self.at = list(kinds or _KINDS), at
        self.active = ExitStack()

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Draw whether something happens to this job, and what."""
        chance = random.SystemRandom()
        if chance.random() < self.chance and len(lines(self.folder / "faults")) < self.budget:
            kind = chance.choice(self.kinds)
            at = chance.randrange(CALLS) if self.at is None else self.at
            self.active.enter_context(_KINDS[kind](Strike(self.folder, kind, str(config.run_id), at)))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Put everything back, and note how the job ended."""
        self.active.close()
        note(self.folder / "ends", f"{config.run_id} {getattr(job_return._return_value, 'status', 'raised')}")


class Strike:
    """Counts calls and says when the fault's turn has come: once."""

    def __init__(self, folder: Path, kind: str, run_id: str, at: int) -> None:
        self.folder, self.text = folder, f"{kind} {run_id}"
        self.at, self.calls = at, count()

    def __call__(self) -> bool:
        if next(self.calls) != self.at:
            return False
        note(self.folder / "faults", self.text)
        return True


def note(file: Path, text: str) -> None:
    """Append a line, whole even when several processes write."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, f"{text}\n".encode())
    finally:
        os.close(descriptor)


def lines(file: Path) -> list[str]:
    """The notes so far."""
    return file.read_text().splitlines() if file.exists() else []


def _in_network(happen: Callable[[], None]) -> Callable[[Strike], Any]:
    def fault(strike: Strike) -> Any:
        denoise = Toy.denoise

        def broken(self: Toy, *arguments: Any) -> Any:
            if strike():
                happen()
            return denoise(self, *arguments)

        return patch.object(Toy, "denoise", broken)

    return fault


def _full_disk(strike: Strike) -> Any:
    replace = os.replace

    def full(*arguments: Any) -> None:
        if strike():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(*arguments)

    return patch.object(os, "replace", full)


def _clock(strike: Strike) -> Any:
    note(strike.folder / "faults", strike.text)
    now = time.time
    return patch.object(time, "time", lambda: now() - HOUR_S)


def _signal(number: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def _raise(error: Exception) -> Callable[[], None]:
    def happen() -> None:
        raise error

    return happen


_KINDS: dict[str, Callable[[Strike], Any]] = {
    "killed": _in_network(_signal(signal.SIGKILL)),
    "terminated": _in_network(_signal(signal.SIGTERM)),
    "error": _in_network(_raise(RuntimeError("a fault"))),
    "memory": _in_network(_raise(torch.OutOfMemoryError("a fault: out of memory"))),
    "disk": _full_disk,
    "clock": _clock,
}
