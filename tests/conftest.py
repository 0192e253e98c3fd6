"""What all tests share: the command on the toy model, and the surroundings.

No test talks to Weights & Biases, nor pays for it, unless it asks: tests/test_wandb*.py set WANDB_MODE. No test loads
from the Hugging Face hub, where a checkpoint has gigabytes.
"""

import os
import signal

import pytest

os.environ["WANDB_MODE"] = "disabled"
os.environ["HF_HUB_OFFLINE"] = "1"
for _name in ("WANDB_API_KEY", "WANDB_SERVICE", "WANDB_BASE_URL", "WANDB_DIR", "WANDB_DATA_DIR"):
    os.environ.pop(_name, None)

# A shell that starts tests in the background has them ignore Ctrl-C, and so would the commands that they interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

TOY = ["model=toy", "sampler.steps=3", "task.steps=2", "progress=false", "pictures=false", "memory=store"]


@pytest.fixture
def go(tmp_path, monkeypatch):
    """Run the command in an empty directory; returns the exit code and the run directories it made."""
    from ditto import runs
    from ditto.run import main

    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = main([*TOY, *arguments])
        return code, runs.run_paths("runs")

    return call
