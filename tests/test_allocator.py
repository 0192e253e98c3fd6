"""Freed buffers are used again: counted in page faults, which another job on the machine does not change."""

import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ditto import allocator, job
from ditto.outcome import Outcome

# Allocates and frees 64 MiB, above what glibc ever keeps by itself; the faults of the best of several times, as small
# buffers in between may end where the large one was.
COUNT = """
import resource, sys, torch
from ditto import allocator
assert getattr(allocator, sys.argv[1])()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(min(faults() for _ in range(30)))
"""


def faults(setting: str) -> int:
    done = subprocess.run([sys.executable, "-c", COUNT, setting], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not allocator.return_buffers(), reason="the C library is not glibc")
def test_a_large_buffer_is_used_again() -> None:
    pages = 2**26 // 2**12
    assert faults("return_buffers") > pages / 1024  # or fewer where the kernel gives huge pages
    assert faults("keep_buffers") < pages / 1024


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())
    assert not allocator.keep_buffers()


def test_every_job_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(allocator, "keep_buffers", lambda: asked.append(True))
    monkeypatch.setattr(job, "execute", lambda cfg, sweeping: Outcome("0", Path("0"), "done", ""))
    job.run_job(OmegaConf.create({"run_id": "0", "runs_dir": "runs"}))
    assert asked
