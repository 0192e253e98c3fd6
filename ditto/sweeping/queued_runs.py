"""What a job of a queue does (Slurm, or submitit's processes of this machine): its runs one after another.

Being stopped, with the signals that Slurm sends:

    SIGTERM   scancel, and the end of every other polite kill: the run saves what it has and says "interrupted"
    SIGUSR2   the time limit is near, or the job is preempted (`signal_delay_s` before): the same, and the job goes back
              to the queue, to continue from what is saved

A stopped job leaves no result, because Slurm may start it again by itself; its run directories say how far it came.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import submitit
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from ditto.job import end_on_sigterm, interrupt
from ditto.outcome import Outcome

Run = tuple[int, list[str]]  # its number in the sweep, and its overrides


@dataclass
class QueuedRuns:
    """Pickled by the launcher, called in the job: what the runs return, in order. `environment` is set first."""

    context: HydraContext
    config: DictConfig
    task: TaskFunction
    runs: Sequence[Run]
    environment: dict[str, str | None] = field(default_factory=dict)
    singletons: dict[type, Singleton] = field(default_factory=Singleton.get_state)

    def __call__(self) -> list[JobReturn]:
        _set_environment(self.environment)
        Singleton.set_state(self.singletons)
        setup_globals()
        notices: list[int] = []
        go_back = _on_notice(notices)
        try:
            end_on_sigterm()
            return [self._make(*run) for run in self.runs]
        except KeyboardInterrupt:
            _leave(go_back if notices else None)

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """What to do when the job starts again: the same, since runs that are done are skipped and others go on."""
        return submitit.helpers.DelayedSubmission(self)

    def _make(self, number: int, overrides: list[str]) -> JobReturn:
        config = self.context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config.hydra.job):
            config.hydra.job.id, config.hydra.job.num = submitit.JobEnvironment().job_id, number
        made = run_job(self.task, config, "hydra.sweep.dir", None, self.context)
        value = made._return_value
        if isinstance(value, Outcome) and value.status == "interrupted":
            raise KeyboardInterrupt
        return JobReturn(overrides=overrides, status=made.status, _return_value=value)  # its configurations are large


def _set_environment(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


def _on_notice(notices: list[int]) -> Callable[..., Any]:
    """End the current run when the scheduler gives notice; returns submitit's own handler, which requeues the job."""
    number = getattr(signal, f"SIG{submitit.JobEnvironment.USR_SIG}")
    requeue = signal.getsignal(number)

    def notice(*_: Any) -> None:
        notices.append(number)
        if signal.getsignal(signal.SIGTERM) != signal.SIG_IGN:  # else the run is being saved already
            interrupt()

    signal.signal(number, notice)
    assert callable(requeue)
    return lambda: requeue(number, None)


def _leave(requeue: Callable[[], Any] | None) -> NoReturn:
    """End the process without a result; first back to the queue, where the scheduler gave notice."""
    if requeue is not None:
        requeue()  # ends the process, or raises why the job cannot go back
    sys.exit(128 + signal.SIGTERM)
