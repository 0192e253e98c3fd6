"""Finished runs with sound, as the report page reads them: toy model, the repository's own experiment and targets."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from omegaconf import OmegaConf

from ditto.audio.io import write_flac
from ditto.models.toy import Toy
from ditto.noise import noise
from tests.run_cases import options, write_run

FRAMES = 320
TASKS = {
    "intensity": "intensity_mse",
    "melody": "melody_accuracy",
    "outpainting": "overlap_mse",
    "structure": "structure_mse",
}
METHODS = ("text_only", "freedom", "ditto")


def report_options(folder: Path, *overrides: str) -> object:
    """The options of `python -m eval.report` for these runs."""
    few = (f"tasks=[{','.join(TASKS)}]", f"methods=[{','.join((*METHODS, 'doodl'))}]", "n=2", "prompts=2")
    return options("report", folder, *few, *overrides)


def write_runs(folder: Path, tasks: dict[str, str] = TASKS) -> None:
    """One run of two clips for each task and method; freedom's second clip failed on intensity."""
    model = Toy(frames=FRAMES)
    waves_BN = model.wave(noise([0, 1], model.shape))
    for task, metric in tasks.items():
        for number, method in enumerate(METHODS):
            losses = [] if method == "text_only" else [3.0, 1.0, 0.4]
            clips = [{metric: 1.5 + number + 0.25 * k, "losses": losses} for k in range(2)]
            if (task, method) == ("intensity", "freedom"):
                clips[1] = {"failed": "the loss became non-finite at step 3"}
            name = f"{task}_{method}"
            write_run(folder, name, "methods", {"task": task, "method": method}, clips)
            _use_toy(folder / name)
            for clip, wave_N in zip(json.loads((folder / name / "metrics.json").read_text()), waves_BN, strict=True):
                _write_sound(folder / name / "audio" / clip, wave_N * (number + 1) / 3, model, task)


def _use_toy(run: Path) -> None:
    config = OmegaConf.load(run / "config.yaml")
    config.model = {"_target_": "ditto.models.toy.Toy", "frames": FRAMES}
    (run / "config.yaml").write_text(OmegaConf.to_yaml(config))


def _write_sound(stem: Path, wave_N: torch.Tensor, model: Toy, task: str) -> None:
    rate = model.clip.sample_rate
    stitched = task == "outpainting"
    write_flac(f"{stem}.raw.flac" if stitched else f"{stem}.flac", wave_N, rate)
    if stitched:  # as long as the recording and the clip without the overlap of 2 s
        write_flac(
            f"{stem}.flac", torch.cat([wave_N, wave_N])[: 2 * len(wave_N) - model.clip.frames_of(2.0) * 256], rate
        )
