"""A method that fails, or waits to be killed, when a file in the working directory says so; otherwise DITTO.

fail-<seed>   there: the run of this seed raises at its first step
wait-<seed>   there: it stops after its second step until the file is gone, and job-<seed> names its Slurm job
steps-<seed>  written: the number of each step that was made, by whatever process
"""

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

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
        array = [os.environ.get(f"SLURM_ARRAY_{word}_ID") for word in ("JOB", "TASK")]
        Path(f"job-{seed}").write_text("_".join(array) if all(array) else os.environ["SLURM_JOB_ID"])
        while Path(f"wait-{seed}").exists():
            time.sleep(0.05)
