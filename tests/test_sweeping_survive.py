"""A sweep's jobs until each has an outcome, whatever the engine does: small engines, directories made by hand."""

import json
import os
import threading
from pathlib import Path

import pytest

from ditto.outcome import Outcome
from ditto.run_directory import RunDirectory
from ditto.sweeping.plan import Planned
from ditto.sweeping.survive import make_all

NAMES = {"task": "intensity", "method": "ditto", "model": "toy"}


@pytest.fixture
def jobs(tmp_path):
    runs = [RunDirectory(tmp_path, {"job": k}) for k in range(5)]
    return [Planned(k, [f"seed={k}"], None, run.id, run.path) for k, run in enumerate(runs)]


def done(job):
    return Outcome(job.run_id, job.path, "done")


def on_disk(job, status):
    """What a process leaves behind: a whole run, or a status that nobody is at work for."""
    if status == "done":
        finish(RunDirectory(job.path.parent, {"job": job.number}))
        return
    job.path.mkdir(parents=True, exist_ok=True)
    (job.path / "status.json").write_text(json.dumps({"status": status, "reason": "", "names": NAMES}))


def finish(run):
    with run.lock():
        run.begin("", NAMES, 1)
        run.save_clip("000", {}, {"metrics": {"seconds": 1.0}, "history": {}})
        run.finish({}, {"000": run.clip("000")})


def statuses(outcomes):
    return [outcome.status for outcome in outcomes.values()]


def test_every_job_gets_the_outcome_that_the_engine_tells(jobs):
    asked = []

    def engine(batch):
        asked.append(len(batch))
        return {job.run_id: done(job) for job in batch}

    assert statuses(make_all(jobs, engine, 3)) == ["done"] * 5
    assert asked == [5]
    assert make_all([], engine, 3) == {}


def test_a_job_whose_process_dies_is_launched_again_alone_and_takes_no_other_with_it(jobs):
    asked = []

    def engine(batch):
        """The third job kills its process each time; with it the pool dies, after the first two are done."""
        asked.append([job.number for job in batch])
        for job in batch:
            if job.number == 2:
                on_disk(job, "running")
                raise RuntimeError("a worker was killed")
            on_disk(job, "done")
        return {job.run_id: done(job) for job in batch}

    outcomes = make_all(jobs, engine, 3)
    assert statuses(outcomes) == ["done", "done", "killed", "done", "done"]
    assert asked == [[0, 1, 2, 3, 4], [3, 4], [2], [2]]


def test_jobs_that_died_together_are_tried_together_and_then_alone(jobs):
    """A pool whose workers all die with one of them, twice."""
    asked = []

    def engine(batch):
        asked.append([job.number for job in batch])
        if len(batch) > 1:
            for job in batch:
                on_disk(job, "running")
            raise RuntimeError("a worker was killed")
        return {job.run_id: done(job) for job in batch}

    assert statuses(make_all(jobs[:3], engine, 3)) == ["done"] * 3
    assert asked == [[0, 1, 2], [0, 1, 2], [0], [1], [2]]


def test_what_never_began_is_not_launched_for_ever(jobs, capsys):
    def broken(batch):
        raise ConnectionError("no cluster")

    outcomes = make_all(jobs, broken, 3)
    assert statuses(outcomes) == ["failed"] * 5
    assert outcomes[jobs[0].run_id].reason == "the engine failed: ConnectionError: no cluster"
    assert outcomes[jobs[0].run_id].exit_code == 1
    assert capsys.readouterr().out.count("launched again") == 1


def test_a_job_that_the_engine_lost_is_asked_of_its_directory(jobs):
    def silent(batch):
        for job, status in zip(batch, ("done", "failed", "undefined", "interrupted", "done"), strict=False):
            on_disk(job, status)
        return {}

    assert statuses(make_all(jobs, silent, 3)) == ["done", "failed", "undefined", "interrupted", "done"]


@pytest.mark.parametrize("end_of_second", ["killed", "interrupted"])
def test_a_run_that_another_launcher_makes_is_waited_for(jobs, tmp_path, end_of_second):
    """The other launcher finishes the first job and ends in the second: one is taken as done, the other taken over."""
    asked, release = [], threading.Event()
    first, second = RunDirectory(tmp_path, {"job": 0}), RunDirectory(tmp_path, {"job": 1})

    def other():
        for run, end in ((first, True), (second, False)):
            with run.lock():
                run.begin("", NAMES, 1)
                began.set()
                release.wait(5)
                if end:
                    run.save_clip("000", {}, {"metrics": {"seconds": 1.0}, "history": {}})
                    run.finish({}, {"000": run.clip("000")})
                elif end_of_second == "interrupted":
                    run.stop("interrupted", "asked to stop")

    def engine(batch):
        asked.append([job.number for job in batch])
        busy = len(asked) == 1
        release.set()
        return {
            job.run_id: Outcome(job.run_id, job.path, "busy" if busy and job.number < 2 else "done") for job in batch
        }

    began = threading.Event()
    thread = threading.Thread(target=other)
    thread.start()
    began.wait(5)
    outcomes = make_all(jobs, engine, 3)
    thread.join()
    assert statuses(outcomes) == ["done"] * 5
    assert asked == [[0, 1, 2, 3, 4], [1]]


def test_ctrl_c_is_not_survived(jobs):
    def engine(batch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_all(jobs, engine, 3)


def test_outcomes_travel_between_processes():
    import pickle

    outcome = Outcome("ab", Path("runs/ab"), "done", objective=0.5)
    again = pickle.loads(pickle.dumps(outcome))
    assert again == outcome
    assert float(again) == 0.5
    assert os.fspath(again.path) == "runs/ab"
