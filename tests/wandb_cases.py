"""Runs for the tests of the W&B mirror: made by the command on the toy model, or faked where only W&B matters."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ditto.run import main

TOY = ["model=toy", "sampler.steps=3", "task.steps=3", "progress=false", "memory=store", "batch_size=2"]
PROMPTS = "prompt=[a calm song, a fast song, a slow song]"


def made(folder: Path, *arguments: str) -> Path:
    """The run directory of three clips in two batches."""
    assert main([*TOY, PROMPTS, f"runs_dir={folder}", *arguments]) == 0
    return only_run(folder)


def only_run(folder: Path) -> Path:
    (path,) = (p for p in folder.iterdir() if not p.name.startswith("."))
    return path


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def faked(path: Path, clips: int = 3, steps: int = 4) -> Path:
    """A finished run directory without sound: what the mirror reads of it."""
    path.mkdir(parents=True)
    names = {"task": "melody", "method": "ditto", "model": "toy", "sampler": "ddim", "memory": "auto"}
    config = {"names": names, "sweep": None, "objective": None, "logger": {"_target_": "ditto.loggers.NoLogger"}}
    ids = [f"{k:03d}_song_s{k}" for k in range(clips)]
    history = {c: {"loss": [k + 0.5**s for s in range(steps)], "seconds": [0.1] * steps} for k, c in enumerate(ids)}
    metrics = {
        c: {
            "melody_accuracy": 60.0 + k,
            "melody_accuracy_text_only": 20.0,
            "seconds": 2.0,
            "batch_size": 2,
            "prompt": "song",
        }
        for k, c in enumerate(ids)
    }
    status = {"status": "done", "names": names, "metric": "melody_accuracy", "clips": clips, "finished": 1.0}
    for name, value in {
        "config.yaml": config,
        "history.json": history,
        "metrics.json": metrics,
        "status.json": status,
    }.items():
        (path / name).write_text(json.dumps(value))
    return path


def config_of(path: Path) -> dict[str, Any]:
    from omegaconf import OmegaConf

    config = OmegaConf.to_container(OmegaConf.load(path / "config.yaml"))
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}


def mean(values: Any) -> float:
    return math.fsum(values) / len(values)
