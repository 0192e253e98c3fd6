"""One batch of a run: its method, round by round, and text-only beside it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ditto.controls.base import Control, rounds
from ditto.kept import StateFile
from ditto.loggers import Logger
from ditto.method import Request
from ditto.models.base import MusicModel
from ditto.noise import noise, step_noise
from ditto.peak import peak_gib, start_peak
from ditto.records import MadeBatch, render
from ditto.run_directory import RunDirectory, run_id, write_bytes
from ditto.sampling import Sampler
from ditto.types import ClipRequest, Generation

STATE = "state"  # folder of the run directory


@dataclass
class Job:
    """Everything that the clips of one run share."""

    run: RunDirectory
    options: dict[str, Any]
    model: MusicModel
    sampler: Sampler
    method: Any
    control: Control
    logger: Logger

    @property
    def frames(self) -> int:
        return self.options["frames"] or self.model.clip.frames


def make_batch(job: Job, control: Control) -> MadeBatch:
    """Generate one batch, with as many rounds as its control wants, and text-only beside it."""
    start_peak(job.model.device)
    start = time.perf_counter()
    made = list(rounds(control, lambda bound, number: _generate(job, bound, number)))
    before = sum(generation.history.seconds_before for _, generation in made)
    seconds, peak = before + time.perf_counter() - start, peak_gib(job.model.device)
    renditions = [render(bound, generation.x_0, generation.wave_BN) for bound, generation in made]
    result = renditions[-1]
    means = {name: torch.stack([r.metrics[name] for r in renditions]).mean(0) for name in result.metrics}
    result.metrics = means
    beside = None
    if job.options["text_only_beside"] and job.options["names"]["method"] != "text_only":
        beside = render(control, *_text_only(job, control.clips), stitch=False)
    return MadeBatch(made, result, beside, seconds, peak)


def _generate(job: Job, control: Control, number: int) -> Generation:
    seeds = [clip.seed for clip in control.clips]
    x_T = _noise(job, seeds)
    if number:  # later rounds continue the piece from noise of their own
        x_T = step_noise(seeds, x_T, "round", number)
    ids, prompts = zip(*[(clip.clip_id, clip.prompt) for clip in control.clips], strict=True)

    def observe(row: dict[str, Any]) -> None:
        mirror(job.logger.step, {"clips": list(ids), **row})

    progress, kept = job.options["progress"], _kept(job, ids, number)
    return job.method(Request(job.model, job.sampler, control, list(prompts), x_T, seeds, progress, observe, kept))


def _kept(job: Job, clip_ids: Sequence[str], number: int) -> StateFile | None:
    """Where the state of this batch waits if the run is interrupted; a batch of other clips has another file."""
    every_s = job.options["save_every_s"]
    name = run_id({"clips": clip_ids, "round": number})
    return None if every_s is None else StateFile(job.run.path / STATE / f"{name}.state", every_s)


def _noise(job: Job, seeds: list[int]) -> Tensor:
    return noise(seeds, job.model.shape_of(job.frames), job.model.device, job.model.latent_dtype)


@torch.no_grad()
def _text_only(job: Job, clips: list[ClipRequest]) -> tuple[Tensor, Tensor]:
    """x_0 and wave of the same noise and prompts without control; kept across the runs that share them."""
    paths = [job.run.path.parent / ".text_only" / f"{_text_only_key(job, clip)}.safetensors" for clip in clips]
    found = [_shared(path) for path in paths]
    missing = [i for i, x_0 in enumerate(found) if x_0 is None]
    if missing:
        seeds = [clips[i].seed for i in missing]
        condition = job.model.encode([clips[i].prompt for i in missing])
        fresh = job.sampler(job.model, _noise(job, seeds), condition, seeds=seeds)
        for i, made in zip(missing, fresh.cpu(), strict=True):
            found[i] = made.contiguous()
            write_bytes(paths[i], save({"x_0": made.contiguous()}))
    x_0 = torch.stack([one for one in found if one is not None]).to(job.model.device)
    return x_0, job.model.wave(x_0)


def _shared(path: Path) -> Tensor | None:
    """A text-only x_0 [C, F, T]; None where it is not there, or damaged: then it is made again."""
    try:
        return load(path.read_bytes())["x_0"]
    except (OSError, SafetensorError, KeyError):
        return None


def _text_only_key(job: Job, clip: ClipRequest) -> str:
    weights = [job.model.name, job.model.weights_hash, str(job.model.dtype), job.model.device.type]
    return run_id({"sampler": job.options["sampler"], "model": weights, "clip": [clip.prompt, clip.seed, job.frames]})


def mirror(tell: Callable[..., None], *arguments: Any) -> None:
    """Tell the logger; its troubles are a warning, not the run's failure."""
    try:
        tell(*arguments)
    except Exception as error:
        print(f"warning: the logger failed ({type(error).__name__}: {error}); the run goes on", file=sys.stderr)
