"""Damaged run directories: nothing crashes on them, none counts as done, and the same command makes what is missing."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ditto import atomic, run_directory, runs
from ditto.run_directory import RunDirectory
from ditto.run_files import damage, read_clips
from ditto.runs.__main__ import main
from tests.run_directories import CLIPS, begin, finish, make, save_clips

FINISHED = [
    *("status.json", "metrics.json", "history.json", "config.yaml", "environment.json", "x_T.safetensors"),
    *("audio/000.flac", "audio/001.flac"),
]
PARTIAL = [
    *("status.json", "config.yaml", "clips/000.json", "clips/000.safetensors", "audio/000.flac"),
    *("clips", "audio", "lock"),
]
CORRUPTIONS = {
    "gone": lambda path: shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True),
    "empty": lambda path: put(path, b""),
    "cut short": lambda path: put(path, content(path)[: len(content(path)) // 2]),
    "zeros": lambda path: put(path, bytes(max(8, len(content(path))))),
    "garbage": lambda path: put(path, b"\xff{[\x00 not what was written"),
    "another kind": lambda path: put(path, b'["a list", 7]'),
    "a directory": lambda path: (put(path, b""), path.unlink(), path.mkdir(), (path / "x").write_text("x")),
}
SAME_SIZE = {("zeros", name) for name in FINISHED if not name.endswith("s.json") and name != "history.json"}


def content(path):
    return path.read_bytes() if path.is_file() else b""


def put(path, data):
    if path.is_dir():
        shutil.rmtree(path)
    path.write_bytes(data)


def look(folder):
    """Everything that reads run directories, as a user would."""
    where = ["--runs-dir", str(folder)]
    assert main(where) == 0
    assert main(["failed", *where]) == 0
    assert main(["compare", *where]) == 0
    assert main(["watch", "--once", *where]) == 0
    assert main(["seed=0", *where]) in (0, 2)
    return runs.load_runs(folder), runs.summary(folder)


def plan(folder, *ids):
    jobs = [{"run": run_id, "overrides": []} for run_id in ids]
    atomic.write_json(folder / ".sweeps/one/plan.json", {"name": "one", "command": [], "engine": "here", "jobs": jobs})


@pytest.mark.parametrize("name", FINISHED)
@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_damaged_run_is_not_done_and_is_made_again(tmp_path, capsys, kind, name):
    run, other = make(tmp_path, {"a": 1}), make(tmp_path, {"a": 2})
    plan(tmp_path, run.id, other.id)
    metrics = (run.path / "metrics.json").read_bytes()
    CORRUPTIONS[kind](run.path / name)
    table, _ = look(tmp_path)
    if (kind, name) not in SAME_SIZE:  # those are found by reading every byte, which `verify` does
        assert not run.whole
        assert set(table["run"]) == {other.id}, "a damaged run must not be counted"
        assert "damaged runs are left out" in capsys.readouterr().err or not (run.path / "status.json").exists()
    known = (run.path / "status.json").exists()
    assert main(["verify", "--repair", "--runs-dir", str(tmp_path)]) == (1 if known else 0)
    assert (f"{run.path}: " in capsys.readouterr().out) == known
    assert not run.whole
    assert other.whole
    again = make(tmp_path, {"a": 1})
    assert again.whole
    assert (run.path / "metrics.json").read_bytes() == metrics
    assert main(["verify", "--runs-dir", str(tmp_path)]) == 0


@pytest.mark.parametrize("name", PARTIAL)
@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_damaged_clip_of_an_unfinished_run_is_made_again(tmp_path, kind, name):
    run = RunDirectory(tmp_path, {"a": 1})
    with run.lock():
        begin(run)
        save_clips(run, CLIPS[:1])
    plan(tmp_path, run.id)
    CORRUPTIONS[kind](run.path / name)
    look(tmp_path)
    again = RunDirectory(tmp_path, {"a": 1})
    with again.lock():
        begin(again)
        made = save_clips(again)
        finish(again)
    keeps = name in ("status.json", "config.yaml", "lock")
    assert made == list(CLIPS[1:] if keeps else CLIPS)
    assert again.whole
    assert (run.path / "metrics.json").read_bytes() == (make(tmp_path, {"a": 2}).path / "metrics.json").read_bytes()


@pytest.mark.parametrize("wrong", [None, "words", {"x": [1]}], ids=str)
@pytest.mark.parametrize(
    "entry", ["names", "clips", "metric", "started", "finished", "failed_clips", "files", "reason"]
)
def test_a_status_that_parses_and_means_nothing(tmp_path, entry, wrong):
    run = make(tmp_path, {"a": 1})
    status = atomic.read_json(run.path / "status.json")
    atomic.write_json(run.path / "status.json", {**status, entry: wrong})
    plan(tmp_path, run.id)
    look(tmp_path)
    assert main(["show", run.id, "--runs-dir", str(tmp_path)]) == 0


def test_a_run_of_an_older_version_is_held_to_less(tmp_path):
    run = make(tmp_path, {"a": 1})
    status = atomic.read_json(run.path / "status.json")
    del status["files"]
    atomic.write_json(run.path / "status.json", status)
    assert run.whole
    assert main(["verify", "--runs-dir", str(tmp_path)]) == 0
    (run.path / "audio/001.flac").write_bytes(b"no sound")
    assert run.whole
    assert main(["verify", "--runs-dir", str(tmp_path)]) == 1
    (run.path / "audio/001.flac").unlink()
    assert damage(run.path) == "audio/001.flac is missing"


def test_shared_text_only_latents_that_cannot_be_read_are_removed_by_repair(tmp_path, capsys):
    make(tmp_path, {"a": 1})
    bad = tmp_path / ".text_only/abc.safetensors"
    bad.parent.mkdir()
    bad.write_bytes(b"\0" * 100)
    assert main(["verify", "--runs-dir", str(tmp_path)]) == 1
    assert bad.exists()
    assert main(["verify", "--repair", "--runs-dir", str(tmp_path)]) == 1
    assert "removed" in capsys.readouterr().out
    assert not bad.exists()


WRITER = """
import sys
from ditto.run_directory import RunDirectory
from tests.run_directories import begin, finish, save_clips
run = RunDirectory(sys.argv[1], {"a": 1})
print(run.path, flush=True)
while True:
    with run.lock():
        begin(run)
        save_clips(run)
        finish(run)
        (run.path / "audio/000.flac").unlink()
"""


def test_kill_9_at_any_moment_leaves_something_to_go_on_with(tmp_path):
    run = RunDirectory(tmp_path, {"a": 1})
    for k in range(5):
        command = [sys.executable, "-c", WRITER, str(tmp_path)]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
        writer.stdout.readline()
        time.sleep(0.02 + 0.013 * k)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        plan(tmp_path, run.id)
        look(tmp_path)
        with run.lock():
            assert not list(run.path.rglob("*.tmp"))
    assert make(tmp_path, {"a": 1}).whole


def test_what_killed_writers_left_is_cleared(tmp_path):
    run = RunDirectory(tmp_path, {"a": 1})
    for name in ("audio/.000.flac.123.tmp", ".status.json.7.tmp", "clips/.000.json.7.tmp"):
        (run.path / name).parent.mkdir(parents=True, exist_ok=True)
        (run.path / name).write_bytes(b"half")
    with run.lock():
        begin(run)
    assert not list(run.path.rglob(".*.tmp"))


def test_a_clock_that_is_set_back_makes_no_negative_times(tmp_path, monkeypatch):
    run = RunDirectory(tmp_path, {"a": 1})
    now = time.time
    with run.lock():
        begin(run)
        monkeypatch.setattr(time, "time", lambda: now() - 86400)
        save_clips(run)
        finish(run)
    status = run.status
    assert status["finished"] >= status["started"]
    assert 0 <= status["duration_s"] < 60
    assert 0 <= runs.read_run(run.path).seconds < 60
    assert len(runs.load_runs(tmp_path, ["since=1h"])) == 2
    old = {**status, "finished": status["started"] - 5.0}  # as an older version would have written it
    del old["duration_s"]
    atomic.write_json(run.path / "status.json", old)
    assert runs.read_run(run.path).seconds == 0.0


@pytest.mark.parametrize("costly", [True, False])
def test_nothing_is_removed_before_the_run_is_on_the_disk(tmp_path, monkeypatch, costly):
    """A power cut may take what was written in the last half minute, unless it was synced."""
    events = []
    run = RunDirectory(tmp_path, {"a": 1})
    monkeypatch.setattr(run_directory, "SYNC_S", 3.0 if costly else 3.1)  # two clips of 1.5 s
    monkeypatch.setattr(run_directory, "sync", lambda *paths: events.extend(path.name for path in paths))
    monkeypatch.setattr(run_directory.shutil, "rmtree", lambda path, **_: events.append("removed"))
    with run.lock():
        begin(run)
        save_clips(run)
        finish(run)
    kept = {
        "metrics.json",
        "history.json",
        "x_T.safetensors",
        "000.flac",
        "001.flac",
        "config.yaml",
        "environment.json",
    }
    assert set(events[:-2]) == (kept if costly else set())
    assert events[-2:] == (["status.json", "removed"] if costly else ["removed"])


def test_the_command_makes_a_damaged_run_again(tmp_path, monkeypatch, capsys):
    from ditto.run import main as run

    monkeypatch.chdir(tmp_path)
    words = ["model=toy", "sampler.steps=2", "task.steps=2", "progress=false", "pictures=false", "memory=store"]
    assert run(words) == 0
    (path,) = runs.run_paths("runs")
    values = read_clips(path / "metrics.json")
    next((path / "audio").iterdir()).write_bytes(b"")
    (shared,) = Path("runs/.text_only").iterdir()
    shared.write_bytes(b"no latents")
    assert runs.state(path)[0] == "damaged"
    assert run(words) == 0
    assert "already done" not in capsys.readouterr().out
    assert runs.state(path)[0] == "done"
    again = read_clips(path / "metrics.json")
    assert {c: v["intensity_mse"] for c, v in again.items()} == {c: v["intensity_mse"] for c, v in values.items()}
    assert run(words) == 0
    assert "already done" in capsys.readouterr().out
