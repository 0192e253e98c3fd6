"""Made-up run directories, written by `RunDirectory` itself, without a model."""

import io

import numpy as np
import soundfile
from safetensors.numpy import save

from ditto.run_directory import RunDirectory, write_json

NAMES = {"task": "intensity", "method": "ditto", "model": "toy", "sampler": "ddim"}
CLIPS = ("000", "001")


def flac(value=0.0):
    data = io.BytesIO()
    soundfile.write(data, np.full(2205, value, dtype="float32"), 22050, format="FLAC")
    return data.getvalue()


def record(clip, value=2.0):
    metrics = {"intensity_mse": value, "intensity_mse_text_only": 8.0, "seconds": 1.5, "seed": int(clip)}
    return {"metrics": {**metrics, "prompt": f"song {clip}"}, "history": {"loss": [3.0, value]}}


def begin(run, names=NAMES, config="seed: 0\nsampler:\n  steps: 50\n"):
    run.begin(config, {**NAMES, **names}, len(CLIPS), "intensity_mse")
    write_json(run.path / "environment.json", {"device": "a small one", "commit": "abc"})


def save_clips(run, clips=CLIPS, value=2.0):
    """Make the clips that are missing; which they were."""
    missing = [clip for clip in clips if not run.has_clip(clip)]
    for clip in missing:
        files = {f"audio/{clip}.flac": flac(), f"clips/{clip}.safetensors": save({"x_T": np.zeros(4, "float32")})}
        run.save_clip(clip, files, record(clip, value))
    return missing


def finish(run):
    run.finish({"x_T.safetensors": save({"x_T": np.zeros((2, 4), "float32")})}, {c: run.clip(c) for c in CLIPS})


def make(runs_dir, identity, value=2.0, **about):
    """A finished run."""
    run = RunDirectory(runs_dir, identity)
    with run.lock():
        begin(run, **about)
        save_clips(run, value=value)
        finish(run)
    return run
