"""Sweeps on a real Slurm of this machine: cancelled, killed, failed and requeued jobs, and launchers that die."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ditto import runs

ROOT = Path(__file__).resolve().parents[1]
CLUSTER = ROOT / "tests" / "slurm" / "cluster.sh"
ENGINE = "hydra.launcher.engine"
PATIENCE_S = 900  # with a machine that has other things to do; none of it is waited where all goes well
TOY = [
    "hydra/launcher=slurm", f"{ENGINE}.cpus_per_task=1", f"{ENGINE}.poll_s=1", f"{ENGINE}.array_parallelism=2",
    "+debug=default", "method._target_=tests.slurm.faults.Faulty", "text_only_beside=false", "pictures=false",
    "progress=false", "memory=store",
]  # fmt: skip


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """The environment of commands that talk to a Slurm of two slots."""
    if not (shutil.which("slurmctld") and shutil.which("munged")):
        if os.getuid() or not shutil.which("apt-get"):
            pytest.skip("Slurm is not installed, and only root installs it")
    elif os.getuid():
        pytest.skip("a Slurm of one's own runs as root")
    folder = tmp_path_factory.mktemp("slurm")
    started = subprocess.run([CLUSTER, "start", folder], capture_output=True, text=True)
    if "could not install" in started.stderr:
        pytest.skip(started.stderr.strip())
    assert started.returncode == 0, started.stderr
    threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    yield {**os.environ, **threads, "SLURM_CONF": str(folder / "slurm.conf"), "PYTHONPATH": str(ROOT)}
    subprocess.run([CLUSTER, "stop", folder], check=True)
    assert not _alive(str(folder)), "daemons or jobs were left behind"


def _alive(words):
    """Processes whose command line has these words."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            found += [line for line in [file.read_bytes().replace(b"\0", b" ").decode()] if words in line]
    return found


@pytest.fixture
def launch(slurm, tmp_path, monkeypatch):
    """Starts a sweep in an empty folder; it is stopped, with its jobs, when the test ends."""
    monkeypatch.chdir(tmp_path)
    processes = []

    def start(*arguments):
        command = [sys.executable, "-m", "ditto.run", "-m", *TOY, *arguments]
        with open(tmp_path / "output", "a") as file:
            processes.append(subprocess.Popen(command, env=slurm, stdout=file, stderr=subprocess.STDOUT))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
    subprocess.run(["scancel", "--user=root"], env=slurm)


def until(true, launcher):
    """Wait for it, as long as the launcher lives."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert launcher.poll() is None, Path("output").read_text()
        assert time.monotonic() < end, Path("output").read_text()
        time.sleep(0.1)


def where(seed, launcher):
    """The Slurm job that waits at this seed, and its process."""
    file = Path(f"job-{seed}")
    until(lambda: file.exists() and len(file.read_text().split()) == 2, launcher)
    return file.read_text().split()


def steps():
    """seed -> the steps that were made for it."""
    return {int(path.name.partition("-")[2]): path.read_text() for path in Path().glob("steps-*")}


def test_a_sweep_of_twenty_jobs_loses_some_and_is_completed_by_the_same_command(slurm, launch):
    for name in ("fail-2", "wait-0", "wait-1"):
        Path(name).touch()
    first = launch("seed=range(20)")
    job, _ = where(0, first)
    subprocess.run(["scancel", job], env=slurm, check=True)
    _, process = where(1, first)
    os.kill(int(process), signal.SIGKILL)
    Path("wait-1").unlink()  # it is tried again by the same launcher
    assert first.wait(PATIENCE_S) == 1, Path("output").read_text()
    said = Path("output").read_text()
    assert "20 runs: 18 done, 1 failed, 1 interrupted" in said
    assert "RuntimeError: injected into seed 2" in said
    assert f"job {job} returned nothing (CANCELLED)" in said
    done = {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/metrics.json")}
    assert len(done) == 18

    for name in ("fail-2", "wait-0"):
        Path(name).unlink()
    assert launch("seed=range(20)", "retry=true").wait(PATIENCE_S) == 0
    said = Path("output").read_text().split("20 runs:")[-1]
    assert "18 skipped" in said or "18 done" in said
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())
    table = runs.load_runs("runs")
    assert sorted(table.seed) == list(range(20))
    # Each step was made once, but for those of the job that was killed outright.
    assert steps() == {seed: "012" if seed != 1 else "01012" for seed in range(20)}


def test_a_job_that_slurm_requeues_goes_on_under_another_launcher(slurm, launch):
    Path("wait-0").touch()
    asked = ["seed=0,1", f"{ENGINE}.runs_per_job=2"]
    first = launch(*asked)
    job, _ = where(0, first)
    first.send_signal(signal.SIGINT)
    assert first.wait(PATIENCE_S) == 130
    assert f"1 jobs stay in Slurm's queue; to end them: scancel {job}" in Path("output").read_text()
    second = launch(*asked)
    until(lambda: "1 jobs of an earlier launch are in Slurm's queue" in Path("output").read_text(), second)
    subprocess.run(["scancel", "--signal=USR2", job], env=slurm, check=True)  # as before the time limit
    until(lambda: b"PENDING" in subprocess.check_output(["squeue", "--noheader", "--format=%T"], env=slurm), second)
    (interrupted,) = [json.loads(path.read_text()) for path in Path("runs").glob("*/status.json")]
    assert interrupted["status"] == "interrupted"
    Path("wait-0").unlink()
    assert second.wait(PATIENCE_S) == 0, Path("output").read_text()
    said = Path("output").read_text()
    assert said.count("Slurm job") == 1, "nothing was submitted twice"
    assert steps() == {0: "012", 1: "012"}
    assert len(runs.load_runs("runs")) == 2
