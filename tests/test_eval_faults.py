"""Sweeps under faults: what is injected happens, what differs is told apart, and a small storm is weathered."""

import errno
import json
import os
import random
import shutil
import signal
import time
from types import SimpleNamespace

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ditto.models.toy import Toy
from ditto.run import CONF, main
from ditto.runs import run_paths, state
from eval.faults.__main__ import _made_twice, figures
from eval.faults.compare import compare, difference, metric_bytes
from eval.faults.damage import damage_one
from eval.faults.inject import _KINDS, CALLS, Faults, Strike, lines, note

TOY = ["model=toy", "model.frames=16", "sampler.steps=2", "task.steps=1", "progress=false", "pictures=false"]


@pytest.fixture
def two_runs(tmp_path, monkeypatch):
    """The same two runs in two folders."""
    monkeypatch.chdir(tmp_path)
    assert main(["-m", *TOY, "logger=none", "seed=1,2", "runs_dir=one"]) == 0
    shutil.copytree("one", "two")
    return tmp_path / "one", tmp_path / "two"


def struck(folder, kind, monkeypatch):
    """Make a fault of this kind strike at the first call; what the network and the disk then do."""
    strike = Strike(folder, kind, "abc", at=0)
    model = Toy(frames=16)
    with _KINDS[kind](strike):
        model.denoise(torch.zeros(1, 1, 16, 16), torch.tensor([500]), model.encode(["a"]))
        (folder / "new").write_text("new")
        os.replace(folder / "new", folder / "old")
        return time.time()


@pytest.mark.parametrize(
    ("kind", "error"),
    [("error", RuntimeError), ("memory", torch.OutOfMemoryError), ("disk", OSError), ("terminated", KeyboardInterrupt)],
)
def test_a_fault_strikes_once_and_is_noted(tmp_path, monkeypatch, kind, error):
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(error) as raised:
            struck(tmp_path, kind, monkeypatch)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert lines(tmp_path / "faults") == [f"{kind} abc"]
    assert kind != "disk" or raised.value.errno == errno.ENOSPC
    os.replace(shutil.copy(__file__, tmp_path / "a"), tmp_path / "b")  # everything is put back


def test_a_kill_is_a_real_one(tmp_path, monkeypatch):
    sent = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    struck(tmp_path, "killed", monkeypatch)
    assert sent == [(os.getpid(), signal.SIGKILL)]


def test_the_clock_is_an_hour_behind_and_then_right_again(tmp_path, monkeypatch):
    now = time.time()
    assert struck(tmp_path, "clock", monkeypatch) < now - 3000
    assert time.time() >= now


def test_faults_end_with_their_job_and_with_their_budget(tmp_path):
    config = OmegaConf.create({"run_id": "abc"})
    faults = Faults(str(tmp_path), chance=1.0, budget=2)
    for _ in range(40):
        faults.on_job_start(config)
        faults.on_job_end(config, SimpleNamespace(_return_value=SimpleNamespace(status="done")))
    struck_now = len(lines(tmp_path / "faults"))
    assert struck_now <= 2, "clocks strike at the start, the others at a call that never came"
    assert lines(tmp_path / "ends") == ["abc done"] * 40
    note(tmp_path / "faults", "error x")
    note(tmp_path / "faults", "error x")
    faults.on_job_start(config)
    assert faults.active.pop_all()._exit_callbacks == type(faults.active._exit_callbacks)()
    assert CALLS > 1


def test_equal_runs_are_equal_and_a_changed_digit_is_seen(two_runs):
    one, two = two_runs
    assert compare(one, two) == compare(one, one)
    same = compare(one, two)
    assert (same.expected, same.made, same.unexpected, same.equal_metrics, same.equal_files) == (2, 2, 0, 2, 2)
    path = run_paths(two)[0]
    metrics = json.loads((path / "metrics.json").read_text())
    clip = next(iter(metrics))
    metrics[clip]["seconds"] += 1
    (path / "metrics.json").write_text(json.dumps(metrics))
    assert metric_bytes(path) == metric_bytes(one / path.name), "seconds are measured, not computed"
    assert difference(one, two) == 0
    metrics[clip]["intensity_mse"] *= 1 + 1e-9
    (path / "metrics.json").write_text(json.dumps(metrics))
    assert metric_bytes(path) != metric_bytes(one / path.name)
    assert difference(one, two) == pytest.approx(1e-9, rel=1e-3)
    shutil.rmtree(path)
    (two / "stranger").mkdir()
    (two / "stranger" / "status.json").write_text("{}")
    less = compare(one, two)
    assert (less.made, less.unexpected) == (1, 1)


def test_damage_is_noticed_and_made_good_by_the_same_command(two_runs, monkeypatch):
    one, two = two_runs
    chance = random.Random(3)
    assert damage_one(two / "nothing", chance) is None
    for _ in range(6):
        run, before = damage_one(two, chance).split()
        assert (two / run).is_dir()
        assert before in ("done", "killed", "failed", "corrupt", "unreadable", "interrupted") or before
    assert main(["-m", *TOY, "logger=none", "seed=1,2", f"runs_dir={two}", "retry=true"]) == 0
    assert all(state(path)[0] == "done" for path in run_paths(two))
    assert compare(one, two).equal_metrics == 2


def test_what_is_made_twice_is_counted(tmp_path):
    for text in ("a done", "a done", "b done", "b skipped", "c done", "c done", "c done"):
        note(tmp_path / "ends", text)
    note(tmp_path / "damaged", "a done")
    note(tmp_path / "damaged", "c interrupted")
    assert _made_twice(tmp_path) == 2


def test_a_small_storm_is_weathered(tmp_path):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        options = OmegaConf.to_container(compose("faults"), resolve=True)
    jobs = [word for word in options["jobs"] if not word.startswith(("method=", "task=", "seed="))]
    few = {"jobs": [*jobs, "method=ditto,text_only", "seed=0,2"], "engines": ["here"], "chance": 0.5, "budget": 4}
    halved = [*(word for word in options["halved"] if not word.startswith(("method=", "task="))), "method=ditto"]
    less = {"launchers_killed": 1, "damaged": 1, "every_s": 4.0, "cost_jobs": 0, "halved": halved}
    found = figures({**options, **few, **less}, tmp_path)
    assert found["jobs"] == 4
    assert found["runs there and whole"] == found["runs equal in every byte of their metrics"] == 4
    assert found["runs equal in every byte of latents and sound"] == 4
    assert found["exit code of the same command afterwards"] == 0
    assert found["batches halved"] == 1
    assert found["largest relative difference of a metric after halving, float64"] < 1e-6
    assert found["runs made although they were there"] == found["runs that nobody asked for"] == 0
