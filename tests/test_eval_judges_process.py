"""A network in its own process: the same answers, its errors here, and no worker that outlives its use."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from ditto.types import UserError
from eval.judges import process
from tests.judge_cases import ROOT, Obedient

TARGET = "tests.judge_cases.Obedient"


def remote(**options):
    return process.network(TARGET, sys.executable, "evaluator.text.python", **options)


@pytest.fixture(scope="module")
def network():
    one = remote(factor=2.0)
    yield one
    one.close()


def gone(pid, seconds=10.0):
    """Whether a process ends in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_it_answers_as_in_this_process(network):
    waves = [np.arange(3, dtype=np.float32), np.ones(2, dtype=np.float32)]
    with torch.enable_grad():
        here = process.network(TARGET, None, "", factor=2.0)
    torch.set_grad_enabled(True)  # what the bare network does to its process
    assert isinstance(here, Obedient)
    np.testing.assert_array_equal(network.embed_waves(waves), here.embed_waves(waves))
    np.testing.assert_array_equal(network.embed_texts(["a", "é ♪"]), [[1], [3]])
    assert network.described["pid"] != here.described["pid"] == str(os.getpid())


def test_what_the_worker_switches_stays_with_it(network):
    assert torch.is_grad_enabled()
    assert network.embed_texts(["a"]).dtype == np.float32


def test_its_errors_are_errors_here_and_it_goes_on(network):
    with pytest.raises(UserError, match=r"^clip seven is broken$"):
        network.embed_texts(["refuse"])
    with pytest.raises(UserError, match="ZeroDivisionError: integer"):
        network.embed_texts(["divide"])
    assert network.embed_texts(["abc"]).tolist() == [[3]]


@pytest.mark.parametrize(
    ("command", "says"),
    [("exit", "ended with exit code 3: out of tune"), ("kill", r"SIGKILL \(out of memory\?\): this must not")],
)
def test_a_dead_worker_is_said(command, says):
    one = remote()
    with pytest.raises(UserError, match=says):
        one.embed_texts([command])
    assert gone(int(one.described["pid"]))
    with pytest.raises(UserError, match="the judges' process"):
        one.embed_texts(["again"])


def test_what_cannot_be_made_is_said_in_one_line(tmp_path):
    with pytest.raises(UserError, match=r"^weights\.pt is not here: download it$"):
        remote(known=False)
    with pytest.raises(UserError, match=r"make judges.*requirements\.txt.*evaluator\.text\.python=null") as caught:
        process.network(TARGET, str(tmp_path / "python"), "evaluator.text.python")
    assert "\n" not in str(caught.value)


def test_this_environment_stands_in_for_nothing(network):
    """A PYTHONPATH of this one, or its packages before the judges' own, would give the worker the wrong NumPy."""
    assert (network.described["isolated"], network.described["last"]) == ("1", str(ROOT))


SCRIPT = f"""
import sys, time
from eval.judges import process
one = process.network({TARGET!r}, sys.executable, "")
print(one.described["pid"], flush=True)
one.embed_texts(["sleep"])
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_command(how):
    """Ctrl-C reaches both processes of the group; a command that is killed says nothing to its busy worker."""
    command = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    worker = int(command.stdout.readline())
    (os.killpg if how == signal.SIGINT else os.kill)(command.pid, how)
    said = command.communicate(timeout=20)[1].decode()
    assert ("KeyboardInterrupt" in said) == (how == signal.SIGINT)
    assert gone(worker)
