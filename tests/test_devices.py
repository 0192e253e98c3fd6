"""One process, one GPU: with processes that hold seats and none of the GPUs they are for."""

import os
import subprocess
import sys
import tempfile

import pytest
import torch

from ditto.build import pick_device
from ditto.sweeping import devices

CHILD = """
import sys
from ditto.sweeping.devices import sit_down
seat = sit_down(sys.argv[1:])
print(seat.device, seat.number, flush=True)
sys.stdin.read()
"""
UUIDS = ["GPU-aa", "GPU-bb", "GPU-cc"]


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Pretend that this process sees some GPUs, and forget the seat of this process afterwards."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices, "_uuids", lambda: UUIDS)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(devices, "_seat", None)

    def call(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        stand_up()

    yield call
    stand_up()


def stand_up():
    if devices._seat:
        os.close(devices._seat.descriptor)
        devices._seat = None


@pytest.fixture
def others():
    """Start processes that sit down at GPUs; they end with the test."""
    started = []

    def sit(*names):
        command = [sys.executable, "-c", CHILD, *names]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process, process.stdout.readline().strip()

    yield sit
    for process in started:
        process.kill()
        process.communicate()


def test_processes_spread_over_the_gpus_and_then_share_them_evenly(machine, others):
    machine(2)
    seats = [others("GPU-aa", "GPU-bb")[1] for _ in range(5)]
    assert seats == ["cuda:0 0", "cuda:1 0", "cuda:0 1", "cuda:1 1", "cuda:0 2"]


def test_a_process_takes_the_gpu_that_is_free_keeps_it_and_a_killed_one_gives_it_back(machine, others):
    machine(2)
    other, seat = others("GPU-aa", "GPU-bb")
    assert seat == "cuda:0 0"
    assert pick_device("auto") == "cuda:1"
    other.kill()
    other.wait()
    assert pick_device("auto") == "cuda:1"
    assert others("GPU-aa", "GPU-bb")[1] == "cuda:0 0"


def test_a_single_gpu_is_shared_with_a_note_and_nobody_waits(machine, others, capsys):
    machine(1)
    assert pick_device("auto") == "cuda"
    assert capsys.readouterr().err == ""
    machine(1)
    others("GPU-aa")
    machine(1)
    assert pick_device("auto") == "cuda"
    assert "cuda is shared with 1 more of your processes" in capsys.readouterr().err


def test_a_gpu_is_the_same_however_a_process_is_told_of_it(machine, monkeypatch, others):
    machine(2)
    assert devices.gpu_names(2) == ["GPU-aa", "GPU-bb"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-a")
    assert devices.gpu_names(2) == ["GPU-cc", "GPU-aa"]
    others("GPU-cc")
    assert pick_device("auto") == "cuda:1"
    monkeypatch.setattr(devices, "_uuids", list)
    assert devices.gpu_names(2) == ["2", "GPU-a"]


def test_what_slurm_or_ray_left_visible_is_taken(machine, monkeypatch, others):
    machine(1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    others("GPU-bb")
    assert pick_device("auto") == "cuda"


def test_without_a_gpu_it_is_the_cpu_and_a_process_a_core(machine, tmp_path):
    machine(0)
    assert pick_device("auto") == "cpu"
    assert devices.workers() >= 1
    assert devices.gpus_per_job() == 0
    assert not list(tmp_path.iterdir()), "nothing to take, no seats"
    machine(3)
    assert (devices.workers(), devices.gpus_per_job()) == (3, 1)


def test_an_explicit_device_takes_no_seat(machine, tmp_path):
    machine(2)
    assert pick_device("cuda:1") == "cuda:1"
    assert not list(tmp_path.iterdir())


def test_no_place_for_locks_is_no_reason_to_fail(machine, tmp_path, capsys):
    machine(2)
    (tmp_path / f"ditto-gpus-{os.getuid()}").write_text("in the way")
    assert pick_device("auto") == "cuda"
    assert "using the first" in capsys.readouterr().err


def test_uuids_are_the_drivers_or_none(monkeypatch):
    monkeypatch.setattr(devices, "_SMI", ["printf", "GPU-1\\nGPU-2\\n"])
    assert devices._uuids() == ["GPU-1", "GPU-2"]
    monkeypatch.setattr(devices, "_SMI", ["no-such-command"])
    assert devices._uuids() == []
