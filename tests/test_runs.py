"""Run directories: the id, atomic files, the lock, and what the listing says."""

import errno
import json
import os
import socket

import pytest

from ditto import atomic, locks, runs
from ditto.run_directory import RunDirectory, run_id, write_bytes
from ditto.runs.__main__ import main
from ditto.types import UserError

NAMES = {"task": "intensity", "method": "ditto", "model": "toy"}


def finished(runs_dir, identity, **metrics):
    run = RunDirectory(runs_dir, identity)
    with run.lock():
        run.begin("a: 1\n", NAMES, 2, "intensity_mse")
        run.save_clip("000", {}, {"metrics": {"intensity_mse": 2.0, "seconds": 1.0, **metrics}, "history": {}})
        run.save_clip("001", {}, {"metrics": {"failed": "non-finite loss at step 3"}, "history": {}})
        run.finish({}, {clip: run.clip(clip) for clip in ("000", "001")})
    return run


def test_id_ignores_the_order_of_keys_and_nothing_else():
    assert run_id({"a": 1, "b": [1, 2]}) == run_id({"b": [1, 2], "a": 1})
    assert run_id({"a": 1}) != run_id({"a": 2})
    assert len(run_id({})) == 16


def test_failed_clips_are_named_and_not_averaged(tmp_path):
    run = finished(tmp_path, {"a": 1})
    assert run.status["failed_clips"] == {"001": "non-finite loss at step 3"}
    row = runs.summary(tmp_path).iloc[0]
    assert (row.status, row.clips, row["mean"]) == ("done", "1/2", 2.0)
    clips = runs.load_runs(tmp_path)
    assert list(clips["clip"]) == ["000", "001"]
    assert clips.failed.iloc[1] == "non-finite loss at step 3"
    assert clips.intensity_mse.isna().tolist() == [False, True]


def test_finished_run_keeps_no_partial_files(tmp_path):
    run = finished(tmp_path, {"a": 1})
    assert not (run.path / "clips").exists()
    assert not (run.path / locks.NAME).exists()
    assert not list(run.path.rglob("*.tmp"))


def test_only_one_launcher_holds_a_run(tmp_path):
    run, other = RunDirectory(tmp_path, {}), RunDirectory(tmp_path, {})
    with run.lock(), pytest.raises(locks.Busy, match=str(os.getpid())), other.lock():
        pass
    with other.lock():
        pass


def test_a_lock_left_by_a_killed_process_is_no_lock(tmp_path):
    run = RunDirectory(tmp_path, {})
    with run.lock():
        run.begin("", NAMES, 1)
    (run.path / locks.NAME).write_text(json.dumps({"pid": 2**22 + 1, "host": socket.gethostname()}))
    assert runs.state(run.path)[0] == "killed"
    with run.lock():
        assert runs.state(run.path)[0] == "running"


def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    write_bytes(path, b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic.os, "replace", full)
    with pytest.raises(UserError, match=r"no space left on device.*runs_dir="):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.json"]


def test_list_and_show(tmp_path, capsys):
    run = finished(tmp_path, {"a": 1})
    stopped = RunDirectory(tmp_path, {"a": 2})
    with stopped.lock():
        stopped.begin("", NAMES, 1)
        stopped.stop("failed", "out of memory", "Traceback ...")
    assert main(["--runs-dir", str(tmp_path)]) == 0
    assert run.id in capsys.readouterr().out
    assert main(["list", "--failed", "--runs-dir", str(tmp_path)]) == 0
    assert "out of memory" in capsys.readouterr().out
    assert main(["show", run.id[:6], "--runs-dir", str(tmp_path)]) == 0
    assert "intensity_mse" in capsys.readouterr().out
    assert main(["show", "nothing", "--runs-dir", str(tmp_path)]) == 2
