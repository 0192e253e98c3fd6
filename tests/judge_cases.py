"""A network that does as it is told, and where the judges' own environment and random weights of theirs are."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from ditto.types import UserError

ROOT = Path(__file__).parents[1]
PYTHON = Path(os.environ.get("DITTO_JUDGES", ROOT / ".venv-judges/bin/python"))
needs_judges = pytest.mark.skipif(not PYTHON.is_file(), reason="no judges' environment: make judges")


class Obedient:
    """A `Network` whose prompts are commands; it behaves as badly as any package."""

    def __init__(self, factor=1.0, known=True):
        if not known:
            raise UserError("weights.pt is not here: download it")
        torch.set_grad_enabled(False)
        print("this must not reach the socket")
        self.factor = factor
        self.described = {"pid": str(os.getpid()), "isolated": str(sys.flags.isolated), "last": sys.path[-1]}

    def embed_texts(self, prompts):
        for prompt in prompts:
            if prompt == "refuse":
                raise UserError("clip seven is broken")
            if prompt == "divide":
                return np.array([1 // 0])
            if prompt == "exit":
                print("out of tune", flush=True)
                os._exit(3)
            if prompt == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if prompt == "sleep":
                time.sleep(60)
        return np.array([[len(prompt)] for prompt in prompts], dtype=np.float32)

    def embed_waves(self, waves):
        return np.stack([self.factor * wave[:2] for wave in waves])


def noise(seed, seconds, rate=48_000):
    """The waves of tests/judge_traps.py."""
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))).astype(np.float32)


def judge_script(name, folder):
    """Run a script of the tests by the judges' interpreter; what it wrote last."""
    environment = {**os.environ, "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1"}
    command = [str(PYTHON), "-I", str(ROOT / "tests" / name), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1] if done.stdout else ""


@pytest.fixture(scope="session")
def judge_folder(tmp_path_factory):
    """Random weights (tests/judge_weights.py, 1 GB) and what the bare packages do (traps.json), made once for all."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    folder = shared / "judges"
    with (shared / "judges.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "traps.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            judge_script("judge_weights.py", folder)
            (folder / "traps.json").write_text(judge_script("judge_traps.py", folder))
        _users(lock, 1)
    yield folder
    with (shared / "judges.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _users(lock, -1) == 0:
            shutil.rmtree(folder)


def _users(lock, change):
    """Count the test processes that use the folder, so that the last one takes it away."""
    lock.seek(0)
    count = int(lock.read() or 0) + change
    lock.seek(0)
    lock.truncate()
    lock.write(str(count))
    lock.flush()
    return count


@pytest.fixture(scope="session")
def traps(judge_folder):
    return json.loads((judge_folder / "traps.json").read_text())
