"""Locks: real processes that are killed, other machines by their heartbeat, and clocks that nobody may trust."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from ditto import lock_owner, locks
from ditto.lock_owner import Owner

HOLD = """
import sys, time
from pathlib import Path
from ditto import locks
with locks.held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
RACE = """
import sys, time
from pathlib import Path
from ditto import locks
from ditto.run_directory import RunDirectory
root = Path(sys.argv[1])
while not (root / "go").exists():
    time.sleep(0.001)
for k in range(50):
    run = RunDirectory(root, {"k": k})
    if run.whole:
        continue
    try:
        with run.lock():
            if not run.whole:
                with open(root / "made.txt", "a") as file:
                    file.write(f"{k}\\n")
                run.begin("", {}, 1)
                run.save_clip("000", {}, {"metrics": {"loss": k}, "history": {}})
                run.finish({}, {"000": run.clip("000")})
    except locks.Busy:
        pass
"""


def child(script, *arguments):
    words = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def holding(tmp_path):
    """A real process that holds the lock of tmp_path / "run"."""
    process = child(HOLD, tmp_path / "run")
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def elsewhere(**about):
    return Owner(**{"pid": 7, "host": "another-machine", "boot": "another boot", "token": "t", **about})


def leave(folder, owner):
    """A lock file whose writer is not heard of any more, or is on another machine."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / locks.NAME).write_bytes(owner.bytes())


def no_kernel_locks(*_):
    raise OSError(errno.ENOLCK, "No locks available")


def test_a_killed_process_holds_nothing(tmp_path, holding):
    folder = tmp_path / "run"
    assert locks.holder(folder) == f"pid {holding.pid} on {socket.gethostname()}"
    with pytest.raises(locks.Busy, match=f"pid {holding.pid} "), locks.held(folder):
        pass
    holding.kill()
    time.sleep(0.2)  # not waited for: its parent is busy, and it stays behind as a zombie
    assert locks.holder(folder) is None
    assert (folder / locks.NAME).exists()
    with locks.held(folder):
        assert locks.holder(folder) == f"pid {os.getpid()} on {socket.gethostname()}"
    assert not (folder / locks.NAME).exists()


def test_a_stopped_process_still_holds(tmp_path, holding):
    holding.send_signal(signal.SIGSTOP)
    assert locks.holder(tmp_path / "run")
    holding.send_signal(signal.SIGCONT)


def test_two_processes_make_each_of_50_runs_once(tmp_path):
    racers = [child(RACE, tmp_path) for _ in range(2)]
    time.sleep(0.5)
    (tmp_path / "go").touch()
    assert [racer.wait(60) for racer in racers] == [0, 0]
    assert sorted(map(int, (tmp_path / "made.txt").read_text().split())) == list(range(50))
    assert not list(tmp_path.glob(f"*/{locks.NAME}"))


def test_an_id_that_was_used_again_is_another_process(tmp_path):
    me = Owner.me()
    leave(tmp_path, Owner(me.pid, me.host, me.boot, me.namespace, me.born - 1, "t"))
    assert locks.holder(tmp_path) is None
    leave(tmp_path, me)
    assert locks.holder(tmp_path)


def test_a_file_of_an_older_version_is_understood(tmp_path):
    (tmp_path / locks.NAME).write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
    assert locks.holder(tmp_path)
    (tmp_path / locks.NAME).write_text(json.dumps({"pid": 2**22 + 1, "host": socket.gethostname()}))
    assert locks.holder(tmp_path) is None


@pytest.mark.parametrize("jump_s", [-86400.0, 86400.0])
def test_no_clock_of_ours_decides_who_lives(tmp_path, monkeypatch, holding, jump_s):
    far = tmp_path / "far"
    leave(far, elsewhere())  # written just now, by another machine
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + jump_s)
    monkeypatch.setattr(lock_owner, "_offsets", {})
    assert locks.holder(tmp_path / "run")
    assert locks.holder(far)
    holding.kill()
    holding.wait()
    assert locks.holder(tmp_path / "run") is None


@pytest.mark.parametrize("age_s", [-3600.0, 3600.0])
def test_a_dead_job_elsewhere_is_not_shown_as_running_when_the_clock_is_set_back(tmp_path, age_s):
    """-3600: its last heartbeat is in the future, since the clock was set back after it."""
    leave(tmp_path, elsewhere())
    then = time.time() - age_s
    os.utime(tmp_path / locks.NAME, (then, then))
    assert locks.holder(tmp_path) is None


def test_who_counts_on_is_left_alone_and_who_stands_still_is_followed(tmp_path, monkeypatch):
    """The kernel gives the lock, as it does where locks end at the machine; the heartbeat decides."""
    monkeypatch.setattr(lock_owner, "STALE_S", 0.4)
    leave(tmp_path, elsewhere())
    past = time.time() - 86400  # by its time it died yesterday: that must not count
    os.utime(tmp_path / locks.NAME, (past, past))
    beat = threading.Timer(0.1, lambda: leave(tmp_path, elsewhere(beat=1)))
    beat.start()
    with pytest.raises(locks.Busy, match="pid 7 on another-machine"), locks.held(tmp_path):
        pass
    beat.join()
    start = time.monotonic()
    with locks.held(tmp_path):
        assert time.monotonic() - start >= 0.4
        assert str(os.getpid()) in locks.holder(tmp_path)


def test_after_a_restart_of_this_machine_nobody_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("waited"))
    leave(tmp_path, elsewhere(host=socket.gethostname()))
    assert locks.holder(tmp_path) is None
    with locks.held(tmp_path):
        pass


def test_without_kernel_locks_the_names_decide(tmp_path, monkeypatch):
    monkeypatch.setattr(locks.fcntl, "flock", no_kernel_locks)
    monkeypatch.setattr(locks, "SETTLE_S", 0.05)
    with locks.held(tmp_path), pytest.raises(locks.Busy, match=str(os.getpid())), locks.held(tmp_path):
        pass
    with locks.held(tmp_path):
        pass
    # Another one that started at the same moment and wrote its name last.
    monkeypatch.setattr(time, "sleep", lambda _: leave(tmp_path, elsewhere()))
    with pytest.raises(locks.Busy, match="another-machine"), locks.held(tmp_path):
        pass
    assert b"another-machine" in (tmp_path / locks.NAME).read_bytes(), "the lock of another is not removed"


def test_the_heartbeat_counts_and_tells_how_long(tmp_path, monkeypatch):
    monkeypatch.setattr(lock_owner, "HEARTBEAT_S", 0.05)
    with locks.held(tmp_path):
        monkeypatch.setattr(time, "time", lambda: 0.0)  # 1970
        first = locks.living(tmp_path)
        time.sleep(0.3)
        later = locks.living(tmp_path)
        assert later.beat > first.beat
        assert 0.1 < later.held_s < 5
        assert later.held_s <= locks.held_s(tmp_path) < 5
    assert locks.held_s(tmp_path) is None


@pytest.mark.parametrize(
    "garbage", [b"", b"{", b"[]", b"7", b"\0" * 512, b'{"pid": "x", "host": 3}', b"\xff\xfe", None]
)
def test_garbage_is_no_lock(tmp_path, garbage):
    path = tmp_path / locks.NAME
    path.mkdir() if garbage is None else path.write_bytes(garbage)
    assert locks.holder(tmp_path) is None
    locks.wait(tmp_path)
    with locks.held(tmp_path):
        assert locks.holder(tmp_path)
    assert not path.exists()


def test_wait_ends_with_the_process_or_with_its_heartbeat(tmp_path, monkeypatch, holding):
    threading.Timer(0.2, holding.kill).start()
    start = time.monotonic()
    locks.wait(tmp_path / "run", poll_s=0.02)
    assert 0.1 < time.monotonic() - start < 10

    monkeypatch.setattr(lock_owner, "STALE_S", 0.3)
    leave(tmp_path / "far", elsewhere())
    timer = threading.Timer(0.2, lambda: leave(tmp_path / "far", elsewhere(beat=1)))
    timer.start()
    start = time.monotonic()
    locks.wait(tmp_path / "far", poll_s=0.02)
    assert time.monotonic() - start >= 0.45, "the beat after 0.2 s makes it wait 0.3 s more"


def test_a_lock_that_was_taken_over_belongs_to_its_new_holder(tmp_path, monkeypatch):
    monkeypatch.setattr(lock_owner, "HEARTBEAT_S", 0.02)
    with locks.held(tmp_path):
        leave(tmp_path, elsewhere())
        time.sleep(0.2)
        assert Owner.parse((tmp_path / locks.NAME).read_bytes()) == elsewhere(), "our heartbeat must not overwrite it"
    assert (tmp_path / locks.NAME).exists()
