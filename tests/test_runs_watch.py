"""The view of a running sweep: made-up directories, fixed durations."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from ditto import atomic, locks
from ditto.run_directory import RunDirectory
from ditto.runs.__main__ import main
from ditto.runs.plans import read_plan
from ditto.runs.progress import Progress, SweepReader, time_left
from ditto.runs.watch import view
from tests.run_directories import CLIPS, begin, make, save_clips


def write_plan(folder, name, jobs, started=1.0):
    said = [{"run": run_id, "overrides": list(overrides)} for run_id, overrides in jobs]
    command = ["-m", "task=melody,intensity", "seed=0,8"]
    about = {"name": name, "command": command, "engine": "JoblibLauncher", "started": started}
    atomic.write_json(folder / ".sweeps" / name / "plan.json", {**about, "jobs": said})


def lasting(run, seconds):
    atomic.write_json(run.path / "status.json", {**run.status, "duration_s": seconds})


@pytest.fixture
def sweep(tmp_path):
    """Six jobs: done in 100 s, running with one of two clips, failed, interrupted, undefined, waiting."""
    runs = [RunDirectory(tmp_path, {"k": k}) for k in range(6)]
    write_plan(tmp_path, "night", [(run.id, ["task=melody", f"seed={k}"]) for k, run in enumerate(runs)])
    lasting(make(tmp_path, {"k": 0}), 100.0)
    for run, status, reason in ((runs[2], "failed", "boom\nlong story"), (runs[3], "interrupted", "asked to stop")):
        with run.lock():
            begin(run)
            run.stop(status, reason)
    with runs[4].lock():
        begin(runs[4])
        runs[4].stop("undefined", "no meaning")
    with runs[1].lock():
        begin(runs[1])
        save_clips(runs[1], CLIPS[:1])
        yield tmp_path, runs


def shown(sweep, at_once=1, rows=12, width=100):
    console = Console(width=width, file=io.StringIO())
    console.print(view(sweep, at_once, rows))
    return console.file.getvalue()


def test_states_and_text(sweep):
    folder, runs = sweep
    read = SweepReader(folder).read()
    states = [job.state for job in read.jobs]
    assert states == ["done", "running", "failed", "stopped", "undefined", "waiting"]
    text = shown(read)
    assert "6 jobs: 1 done, 1 running, 1 failed, 1 stopped, 1 waiting, 1 undefined" in text
    line = next(line for line in text.splitlines() if runs[1].id in line)
    assert "1/2" in line
    assert f"pid {os.getpid()}" in line
    assert f"{runs[2].id}  boom  [seed=2]" in text, "what all jobs have in common is left out"
    assert "long story" not in text
    assert "interrupted: asked to stop" in text
    assert "time left: about 5 min 00 s" in text or "time left: about 4 min 5" in text  # 2 x 100 s and what is missing
    assert all(len(line) <= 100 for line in text.splitlines())


def test_a_pipe_gets_one_plain_summary(sweep):
    folder, _ = sweep
    command = [sys.executable, "-m", "ditto.runs", "watch", "--runs-dir", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1], timeout=60)
    assert done.returncode == 1, "a job failed"
    assert "6 jobs: " in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


def test_a_killed_process_is_seen_although_no_file_changes(sweep):
    folder, runs = sweep
    reader = SweepReader(folder)
    assert reader.read().jobs[1].state == "running"
    (runs[1].path / locks.NAME).unlink()
    job = reader.read().jobs[1]
    assert (job.state, job.reason[:6]) == ("stopped", "killed")
    assert "nothing is running; it goes on with: python -m ditto.run -m task=melody,intensity" in shown(reader.read())


def test_finished_files_are_not_read_again(sweep, monkeypatch):
    folder, runs = sweep
    reader = SweepReader(folder)
    reader.read()
    asked = []
    monkeypatch.setattr("ditto.runs.progress.read_run", _remembering(asked))
    reader.read()
    assert asked == [runs[1].id], "what runs is looked at each time, the others only when a file is another one"


def _remembering(asked):
    from ditto.runs.reading import read_run

    def read(path):
        asked.append(path.name)
        return read_run(path)

    return read


def test_a_clock_that_is_set_back_shows_no_nonsense(sweep, monkeypatch):
    folder, runs = sweep
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 1e6)
    read = SweepReader(folder).read()
    assert read.jobs[1].state == "running"
    assert 0 <= read.jobs[1].seconds < 60
    lasting(runs[0], -50.0)
    text = shown(SweepReader(folder).read())
    assert "-" not in text.split("time left: ")[1]


def test_the_newest_sweep_is_shown_and_another_by_its_name(sweep, capsys):
    folder, _ = sweep
    write_plan(folder, "later", [("0" * 16, ["seed=1"])], started=2.0)
    assert main(["watch", "--runs-dir", str(folder)]) == 0
    assert "sweep later" in capsys.readouterr().out
    assert main(["watch", "night", "--runs-dir", str(folder)]) == 1
    assert "sweep night" in capsys.readouterr().out
    assert main(["watch", "never", "--runs-dir", str(folder)]) == 2
    assert "no sweep 'never'" in capsys.readouterr().err


def test_many_failures_do_not_fill_the_screen(tmp_path):
    runs = [RunDirectory(tmp_path, {"k": k}) for k in range(30)]
    for run in runs:
        with run.lock():
            begin(run)
            run.stop("failed", "boom")
    write_plan(tmp_path, "bad", [(run.id, []) for run in runs])
    text = shown(SweepReader(tmp_path).read(), rows=5)
    assert "and 25 more: python -m ditto.runs failed" in text
    assert "over: 30 failed" in text
    assert len(text.splitlines()) < 14


def job(state, seconds=None, *words):
    return Progress("0" * 16, words, state, seconds=seconds)


@pytest.mark.parametrize(
    ("jobs", "at_once", "left"),
    [
        ([job("done", 10.0)], 1, 0.0),
        ([job("waiting")], 4, None),
        ([job("done", 10.0), job("waiting"), job("waiting")], 0, None),
        ([job("done", 10.0), job("done", 20.0), job("running", 5.0), job("waiting")], 1, 25.0),
        ([job("done", 10.0), *[job("waiting")] * 8], 4, 20.0),
        ([job("done", 10.0), *[job("waiting")] * 2], 4, 10.0),  # no faster than the longest
        ([job("done", 10.0), job("running", 500.0)], 1, 0.0),  # late, not early
        ([job("done", -10.0), job("waiting")], 1, 0.0),
        ([job("done", 10.0), job("stopped")], 1, 10.0),  # it will be made again
        ([job("done", 10.0), job("failed"), job("undefined")], 1, 0.0),
        # Text-only runs are quick; what is left of DITTO takes as long as DITTO does, whatever its seed.
        (
            [
                job("done", 1.0, "method=text_only", "seed=0"),
                job("done", 100.0, "method=ditto", "seed=0"),
                job("waiting", None, "method=ditto", "seed=8"),
            ],
            1,
            100.0,
        ),
        # A setting that was not run yet: as its method.
        (
            [
                job("done", 1.0, "method=a", "x=1"),
                job("done", 9.0, "method=b", "x=1"),
                job("waiting", None, "method=b", "x=2"),
            ],
            1,
            9.0,
        ),
    ],
)
def test_time_left(jobs, at_once, left):
    assert time_left(jobs, at_once) == left


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"jobs": 3}', b'{"jobs": [7, {"run": 3}, {}]}', b"\xff"])
def test_a_damaged_plan_is_none_or_empty(tmp_path, data):
    file = tmp_path / ".sweeps/x/plan.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(data)
    plan = read_plan(file)
    assert plan is None or plan.jobs == ()
    assert main(["watch", "--runs-dir", str(tmp_path)]) in (0, 2)


def test_live_view_on_a_terminal_ends_with_ctrl_c(sweep):
    pty = pytest.importorskip("pty")
    folder, runs = sweep
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "ditto.runs", "watch", "--every", "0.1", "--runs-dir", str(folder)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    root = Path(__file__).parents[1]
    process = subprocess.Popen(command, stdout=follower, stderr=follower, stdin=follower, env=environment, cwd=root)
    os.close(follower)
    seen = b""
    while b"time left" not in seen:
        seen += os.read(leader, 4096)
    assert runs[1].id.encode() in seen
    process.send_signal(signal.SIGINT)
    while True:
        try:
            more = os.read(leader, 4096)
        except OSError:
            break
        seen += more
        if not more:
            break
    assert process.wait(20) == 0
    assert b"Traceback" not in seen
    os.close(leader)
