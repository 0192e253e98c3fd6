"""W&B dead in every way that we know: the run neither stops nor waits, and one line says so."""

import importlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import wandb

from ditto.loggers import WandbMirror, mirror, service, session
from tests.wandb_cases import config_of, faked
from tests.wandb_reader import offline_folders, read

ROW = {"clips": ["000_song_s0"], "step": 0, "loss": [1.0], "seconds": 0.1}


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    yield
    mirror.hung.end()
    session.unreachable.end()
    service.end()


def mirrored(path, patience_s=20.0, between=lambda: None):
    """Seconds that the run itself waited for a mirror of `path`."""
    logger = WandbMirror(patience_s=patience_s)
    start = time.perf_counter()
    logger.start(path.name, path, config_of(path))
    logger.step(ROW)
    waited = time.perf_counter() - start
    between()
    start = time.perf_counter()
    logger.close("done")
    return waited + time.perf_counter() - start


def whole(path):
    """Does W&B have everything of this run?"""
    folders = offline_folders(path)
    return bool(folders) and read(folders[-1]).summary.get("status") == "done"


def warnings_of(capsys):
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: W&B")]


def test_init_that_hangs_costs_its_bound_once_and_later_runs_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(wandb, "init", lambda **_: time.sleep(60))
    assert mirrored(faked(tmp_path / "a"), 0.5) < 5
    assert "did not end within 0.5 s" in warnings_of(capsys)[0]
    assert mirrored(faked(tmp_path / "b"), 0.5) < 0.2
    assert warnings_of(capsys) == []


def test_finish_that_hangs_costs_its_bound(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(wandb.Run, "finish", lambda *_, **__: time.sleep(60))
    assert mirrored(faked(tmp_path / "a"), 6.0) < 12
    assert len(warnings_of(capsys)) == 1


@pytest.mark.parametrize("method", ["log", "define_metric", "finish"])
def test_an_error_anywhere_is_a_line_and_the_next_run_is_whole(tmp_path, monkeypatch, capsys, method):
    def broken(*_, **__):
        raise RuntimeError("boom")

    with monkeypatch.context() as patch:
        patch.setattr(wandb.Run, method, broken)
        mirrored(faked(tmp_path / "a"))
    assert len(warnings_of(capsys)) == 1
    mirrored(faked(tmp_path / "b"))
    assert whole(tmp_path / "b")
    assert warnings_of(capsys) == []


def test_a_killed_service_ends_one_mirror_and_the_next_starts_another(tmp_path, capsys):
    mirrored(faked(tmp_path / "a"))
    assert whole(tmp_path / "a")

    def kill():
        time.sleep(0.5)
        os.kill(wandb.setup()._connection._proc._process.pid, signal.SIGKILL)
        time.sleep(0.3)

    assert mirrored(faked(tmp_path / "b"), between=kill) < 15
    assert len(warnings_of(capsys)) == 1
    assert not (tmp_path / "b/wandb/mirrored.json").exists()
    mirrored(faked(tmp_path / "c"))
    assert whole(tmp_path / "c")


def test_a_dead_service_does_not_reach_into_the_runs_own_imports(tmp_path, monkeypatch):
    """W&B counts imports of well-known libraries, in the thread that imports them."""
    (tmp_path / "catboost.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)

    def kill_and_import():
        while not (wandb.setup()._connection and wandb.setup().most_recent_active_run):
            time.sleep(0.05)
        time.sleep(0.3)
        os.kill(wandb.setup()._connection._proc._process.pid, signal.SIGKILL)
        time.sleep(0.3)
        importlib.import_module("catboost")

    mirrored(faked(tmp_path / "a"), between=kill_and_import)


def test_no_place_to_write_in_its_folder(tmp_path, capsys):
    """A full disk looks like this to W&B: its folder cannot be made."""
    path = faked(tmp_path / "a")
    (path / "wandb").write_text("")
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    mirrored(path)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    assert len(warnings_of(capsys)) <= 1


# A process of its own each: W&B reads keys once, and what is to be shown is that the process ends.
CHILD = """
import os, signal, sys, time
from pathlib import Path
from ditto.loggers import WandbMirror
from tests.wandb_cases import config_of, faked
stop, folder = sys.argv[1] == "stopped", Path(sys.argv[2])
for name in ("a", "b"):
    path = faked(folder / name)
    logger = WandbMirror(patience_s=float(sys.argv[3]))
    logger.start(path.name, path, config_of(path))
    if stop and logger.thread:
        logger.thread.do(lambda: os.kill(__import__("wandb").setup()._connection._proc._process.pid, signal.SIGSTOP))
    start = time.monotonic()
    logger.close("done")
    print(f"{time.monotonic() - start:.1f}")
"""


def child(kind, folder, patience_s, **environment):
    command = [sys.executable, "-c", CHILD, kind, str(folder), str(patience_s)]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    cache = {"WANDB_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.Popen(
        command, env=kept | cache | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_the_process_ends_and_is_offline_whether_nothing_answers_or_a_server_is_silent_or_the_service_stands_still(
    tmp_path,
):
    key = "0" * 40
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never says a word
        urls = {"closed": "http://127.0.0.1:9", "silent": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        children = {
            name: child(name, tmp_path / name, 18, WANDB_BASE_URL=url, WANDB_API_KEY=key) for name, url in urls.items()
        }
        children["stopped"] = child("stopped", tmp_path / "stopped", 3, WANDB_MODE="offline")
        try:
            said = {name: process.communicate(timeout=120) for name, process in children.items()}
        finally:
            for process in children.values():
                process.kill()
    for name, (out, err) in said.items():
        assert children[name].returncode == 0, err
        assert len(out.split()) == 2, err
        assert err.count("warning: ") == 1, err
    for name in urls:
        assert "W&B is not online" in said[name][1]
        assert whole(tmp_path / name / "a")
        assert whole(tmp_path / name / "b")
    assert float(said["silent"][0].split()[1]) < 10, "the second run knows that it is in vain"
