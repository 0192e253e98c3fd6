"""What the run directories hold: as pandas frames for analysis, and as the command `python -m ditto.runs`.

from ditto.runs import load_runs, summary
load_runs("runs")                                 # a row per clip of every finished run
load_runs("runs", ["task=melody", "since=2d"])    # of some (`ditto.runs.filters`)
summary("runs")                                   # a row per run, finished or not
"""

from ditto.runs.frames import load_runs, summary
from ditto.runs.reading import Run, read_run, run_paths, state

__all__ = ["Run", "load_runs", "read_run", "run_paths", "state", "summary"]
