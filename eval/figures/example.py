"""The clip that a figure shows: the first one of a finished run, with its sound and the control it was made for.

Which clip is a rule, not a choice: the first that failed in none of the runs of the figure. Sound comes from the run's
files; targets and features from the control of its config.yaml, bound again to that clip.

Legend: B = 1 clip, C channels, F mel bins, T frames, N samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from ditto.audio.io import read
from ditto.build import build, build_model
from ditto.controls.base import Control, Sound
from ditto.run_directory import read_json
from ditto.types import ClipRequest, UserError
from eval.asked import Asked
from eval.cells import HERE, Cell, commands, sized
from eval.comparable import Runs, first_clips
from eval.finished import Finished
from eval.sets import Row


@dataclass(frozen=True)
class Example:
    """One clip of one finished run."""

    made: Finished
    clip: str

    @cached_property
    def wave_BN(self) -> Tensor:
        """The clip as it was generated, without what it is stitched to."""
        return self._read(dict(zip(self.made.clips["clip"], self.made.files, strict=True))[self.clip])

    @cached_property
    def heard_BN(self) -> Tensor:
        """The clip as it is heard, stitched where the control stitches (text-only clips are kept unstitched)."""
        if self.made.beside:
            return self.control.finish(self.x_0, self.wave_BN)
        return self._read(self.made.path / "audio" / f"{self.clip}.flac")

    @cached_property
    def x_0(self) -> Tensor:
        """The latent that the sound leads back to, [1, C, F, T]."""
        with torch.no_grad():
            return self.control.model.encode_audio(self.wave_BN)

    @cached_property
    def control(self) -> Control:
        """The run's control with the target of this clip."""
        config: Any = OmegaConf.to_container(OmegaConf.load(self.made.path / "config.yaml"))
        here = {"device": "cpu"} if "device" in config["model"] else {}
        model = build_model({**config["model"], **here}, "cpu", "auto")
        request = ClipRequest(
            self.clip, self.prompt, self._metrics[self.clip]["seed"], list(self._metrics).index(self.clip)
        )
        return build(config["task"]["control"], "task.control").bind(model, [request], config["frames"])

    @property
    def prompt(self) -> str:
        return self._metrics[self.clip]["prompt"]

    def achieved(self, part: Control) -> Tensor:
        """What the file reaches of one part of the control, in the shape of the part's target, [...]."""
        with torch.no_grad():
            return part.measure(Sound(part.model, self.x_0, self.wave_BN))[0]

    def value(self, metric: str) -> float:
        """The metric of this clip as the file has it."""
        return float(self.control.metrics(self.x_0, self.wave_BN)[metric][0])

    @property
    def provenance(self) -> Row:
        """The columns that every row of a figure's csv begins with."""
        return {"task": self.made.task, "method": self.made.method, "clip": self.clip, **self.made.provenance}

    @cached_property
    def _metrics(self) -> dict[str, Any]:
        return read_json(self.made.path / "metrics.json")

    def _read(self, file: Path) -> Tensor:
        return read(file, self.control.clip.sample_rate)[None]


def examples(options: dict[str, Any], task: str, methods: list[str]) -> list[Example]:
    """The same clip by each method; UserError with the command where a run is missing."""
    experiment = options["experiment"]
    cells = [Cell(experiment, task, method, sized(options.get("size", HERE))) for method in methods]
    found = Runs(list(first_clips({**options, "tasks": [task]})), {experiment: _asked(experiment)}).of(cells)
    made = [one for one in found.values() if one is not None]
    if len(made) < len(cells):
        missing = [cell for cell, one in found.items() if one is None]
        raise UserError(f"no finished run: {'; '.join(commands(missing))}")
    good = set.intersection(*(set(one.clips.get("clip", ())) for one in made))
    if not good:
        raise UserError(f"every clip of {task} failed in one of the runs: python -m ditto.runs list --failed")
    clip = next(name for name in made[0].clips["clip"] if name in good)
    return [Example(one, clip) for one in made]


@cache
def _asked(experiment: str) -> Asked:
    """Composed once for all figures of a command."""
    return Asked(experiment)


def with_text_only(options: dict[str, Any], task: str, alternatives: list[str]) -> list[Example]:
    """The first of the methods that has a run, and before it the text-only clip kept beside it, from the same noise.

    UserError about the first method where none has one.
    """
    errors = []
    for method in alternatives:
        try:
            (one,) = examples(options, task, [method])
            return [Example(one.made.beside_text_only(), one.clip), one]
        except UserError as error:
            errors.append(error)
    raise errors[0]
