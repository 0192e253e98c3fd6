"""Launch jobs until each has an outcome, whatever happens to the processes that run them."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from ditto import locks
from ditto.outcome import Outcome
from ditto.runs import state
from ditto.sweeping.plan import Planned

Engine = Callable[[Sequence[Planned]], Mapping[str, Outcome | None]]
_SETTLED = ("done", "failed", "undefined")
_ENDED = (*_SETTLED, "interrupted")
_OPEN = ("waiting", "killed", "busy")


def make_all(jobs: Sequence[Planned], engine: Engine, attempts: int) -> dict[str, Outcome]:
    """The outcome of every job, by run id.

    `engine` launches some jobs and returns the outcomes that it knows; where it raises, or leaves a job out, the run
    directories tell. Jobs that never began are launched again. So are jobs whose process died, together with those that
    died with it; after a second death each by itself, so that one that always kills its process takes no other with it;
    at most `attempts` times in all. Runs that another launcher is making are waited for, and taken over if it dies.
    """
    outcomes: dict[str, Outcome] = {}
    died: Counter[str] = Counter()
    queue, elsewhere = [list(jobs)] if jobs else [], []
    while queue:
        batch = queue.pop(0)
        made, trouble = _launch(engine, batch)
        outcomes |= made
        waiting, suspects, busy = ([job for job in batch if made[job.run_id].status == kind] for kind in _OPEN)
        died.update(job.run_id for job in suspects)
        if waiting and len(waiting) < len(batch):
            queue.insert(0, waiting)
        elif waiting:  # nothing began: the engine itself is broken
            outcomes |= {job.run_id: Outcome(job.run_id, job.path, "failed", trouble) for job in waiting}
        once = [job for job in suspects if died[job.run_id] == 1 < attempts]
        queue += [once] * bool(once) + [[job] for job in suspects if 1 < died[job.run_id] < attempts]
        elsewhere += busy
        if elsewhere and not queue:
            settled = {job.run_id: _settled(job) for job in elsewhere}
            outcomes |= settled
            # Interrupted is for the launcher that was: this one goes on with it.
            again = [job for job in elsewhere if settled[job.run_id].status not in _SETTLED]
            queue, elsewhere = [again] if again else [], []
    return outcomes


def outcome_on_disk(job: Planned) -> Outcome:
    """How a run stands by its directory; "waiting" where it did not begin."""
    if not (job.path / "status.json").exists():
        return Outcome(job.run_id, job.path, "waiting", "it did not begin; the same command makes it")
    status, reason = state(job.path)
    if status in _ENDED:
        return Outcome(job.run_id, job.path, status, reason)
    return Outcome(job.run_id, job.path, "busy" if status == "running" else "killed", reason)


def _launch(engine: Engine, batch: Sequence[Planned]) -> tuple[dict[str, Outcome], str]:
    """The outcomes of a batch, and what the engine said if it failed."""
    made: Mapping[str, Outcome | None] = {}
    trouble = "the engine did not run it"
    try:
        made = engine(batch)
    except Exception as error:
        trouble = f"the engine failed: {type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"
        print(f"warning: {trouble}; what is missing is launched again", flush=True)
        traceback.print_exc()
    return {job.run_id: made.get(job.run_id) or outcome_on_disk(job) for job in batch}, trouble


def _settled(job: Planned) -> Outcome:
    """Wait until nobody is making the run; what its directory then says."""
    owner = locks.holder(job.path)
    if owner:
        print(f"waiting for run {job.run_id}, which {owner} is making", flush=True)
    locks.wait(job.path)
    return outcome_on_disk(job)
