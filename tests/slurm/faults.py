"""A method that fails, or waits to be killed, when a file in the working directory says so; otherwise DITTO.

fail-<seed>   there: the run of this seed raises at its first step
wait-<seed>   there: after its second step it waits until the file is gone; job-<seed> says where (Slurm job, process)
steps-<seed>  written: the number of each step that was made, by whatever process
"""

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import submitit

from ditto.optimization import Ditto


@dataclass
class Faulty(Ditto):
    """Ditto under observation."""

    def __call__(self, request):
        def observe(row):
            request.observe(row)
            _observe(row["step"], request.seeds[0])

        return super().__call__(replace(request, observe=observe))


def _observe(step, seed):
    with open(f"steps-{seed}", "a") as file:
        file.write(str(step))
    if Path(f"fail-{seed}").exists():
        raise RuntimeError(f"injected into seed {seed}")
    if step == 1 and Path(f"wait-{seed}").exists():
        Path(f"job-{seed}").write_text(f"{submitit.JobEnvironment().job_id} {os.getpid()}")
        while Path(f"wait-{seed}").exists():
            time.sleep(0.05)
