"""Sweeps in processes of joblib and of a local Ray cluster: a killed worker, a broken job, the same command again."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import joblib
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from ditto import runs
from ditto.run import CONF, main

ROOT = Path(__file__).resolve().parents[1]
SEEDS, KILLED, BROKEN = 12, 4, 7
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
FAULTY = [
    "method._target_=tests.engine_faults.Faulty",
    "+method.seed=${seed}",
    "+method.folder=.",
    f"+method.killed={KILLED}",
    f"+method.broken={BROKEN}",
]
JOBS = [
    "-m",
    f"seed=range({SEEDS})",
    "model=toy",
    "sampler.steps=3",
    "task.steps=2",
    "progress=false",
    "pictures=false",
    "device=cpu",
    *FAULTY,
]
TWO = {"processes": "hydra.launcher.engine.n_jobs=2", "ray_local": "hydra.launcher.engine.ray.init.num_cpus=2"}


@pytest.mark.parametrize("engine", TWO)
def test_a_sweep_in_two_processes_survives_a_kill_and_is_completed(engine, tmp_path, monkeypatch, capsys):
    pytest.importorskip({"processes": "hydra_plugins.hydra_joblib_launcher", "ray_local": "ray"}[engine])
    first = sweep(tmp_path, f"hydra/launcher={engine}", TWO[engine])
    assert first.returncode == 1, first.stderr
    assert first.stdout.splitlines()[-1] == f"{SEEDS} runs: {SEEDS - 1} done, 1 failed"
    assert "RuntimeError: broken on purpose" in first.stdout
    states = {path: runs.state(path)[0] for path in runs.run_paths(tmp_path / "runs")}
    assert Counter(states.values()) == {"done": SEEDS - 1, "failed": 1}
    assert threads(tmp_path) == {1}
    calls = called(tmp_path)
    assert set(calls) == set(range(SEEDS))
    assert calls[KILLED] == 2
    # Ray loses the one process; joblib ends the other too.
    assert sum(calls.values()) <= SEEDS + 1 + (engine == "processes")
    assert len(processes(tmp_path)) <= 4, "a process serves many jobs"

    (tmp_path / "mended").touch()
    monkeypatch.chdir(tmp_path)
    assert main([*JOBS, "retry=true"]) == 0  # another engine goes on with it
    assert capsys.readouterr().out.splitlines()[-1] == f"{SEEDS} runs: 1 done, {SEEDS - 1} skipped"
    assert called(tmp_path) - calls == {BROKEN: 1}


ORPHAN = """
import signal, sys, time
from ditto.sweeping.orphans import end_with_launcher
deaf = sys.argv[1] == "deaf"
if deaf:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
end_with_launcher(poll_s=0.05, grace_s=0.5 if deaf else 60)
print("ready", flush=True)
time.sleep(60)
"""
LAUNCHER = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"


@pytest.mark.parametrize("kind", ["polite", "deaf"])
def test_a_process_of_a_pool_ends_with_its_killed_launcher(kind):
    command = [sys.executable, "-c", LAUNCHER, ORPHAN, kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout.readline() == "ready\n"
        launcher.kill()
        start = time.monotonic()
        assert launcher.stdout.read() == "", "the end of file comes when the orphan has ended"
        assert time.monotonic() - start < 20


@pytest.mark.parametrize("gpus", [0, 3])
@pytest.mark.parametrize("name", ["processes", "ray_local", "ray_cluster"])
def test_the_launchers_can_be_made_and_fill_the_machine(name, gpus, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("run", [f"hydra/launcher={name}"], return_hydra_config=True)
    made = instantiate(cfg.hydra.launcher)
    full = gpus or joblib.cpu_count()
    if name == "processes":
        assert made.engine.joblib["n_jobs"] == full
        assert made.env["OMP_NUM_THREADS"] == "1"
    else:
        known = {"ray_local": full, "ray_cluster": None}  # a cluster has what it has: Ray refuses to be told
        assert made.engine.ray_cfg.init.get("num_cpus") == known[name]
        assert made.engine.ray_cfg.remote.num_gpus == (min(gpus, 1) if name == "ray_local" else 0)


def sweep(folder, *words):
    """Run the command in `folder`, without what the tests' own environment says of threads."""
    env = {name: value for name, value in os.environ.items() if name not in THREADS}
    path = os.pathsep.join([str(ROOT), env.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    command = [sys.executable, "-m", "ditto.run", *JOBS, *words]
    env |= {"PYTHONPATH": path, "WANDB_MODE": "disabled"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)


def threads(folder):
    return {json.loads(path.read_text())["threads"] for path in folder.glob("runs/*/environment.json")}


def called(folder):
    return Counter(int(line.split()[0]) for line in (folder / "calls").read_text().splitlines())


def processes(folder):
    return {line.split()[1] for line in (folder / "calls").read_text().splitlines()}
