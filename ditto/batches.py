"""Make the clips of a run, batch by batch: generate, measure, draw, save. `ditto.job` holds the run's lock."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import OmegaConf
from safetensors.torch import load, save
from torch import Tensor

from ditto.build import build
from ditto.controls.base import Control, rounds
from ditto.environment import environment
from ditto.kept import StateFile
from ditto.loggers import Logger
from ditto.method import Request
from ditto.models.base import MusicModel
from ditto.noise import noise, step_noise
from ditto.peak import peak_gib, start_peak
from ditto.records import MadeBatch, clip_files, clip_record, render
from ditto.run_directory import RunDirectory, run_id, write_bytes, write_json
from ditto.sampling import Sampler
from ditto.types import ClipRequest, Generation, NoSpace, UserError

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


def make_run(run: RunDirectory, options: dict[str, Any], clips: list[ClipRequest], model: MusicModel) -> None:
    """Make every clip that is missing, then finish the run. Mistakes are raised before anything is written."""
    parts = {part: build(options[part], part) for part in ("sampler", "method", "logger")}
    job = Job(run, options, model, control=build(options["task"]["control"], "task.control"), **parts)
    batches = _chunks(clips, options["batch_size"])
    first = job.control.bind(model, batches[0], job.frames)
    _check_space(job, len(clips))
    run.begin(OmegaConf.to_yaml(options), options["names"], len(clips), first.metric)
    write_json(run.path / "environment.json", environment(model))
    print(f"run {run.id}: {len(clips)} clips, {_names(options)} on {model.device} -> {run.path}", flush=True)
    status = "failed"
    try:
        _mirror(job.logger.start, run.id, run.path, options)
        for number, batch in enumerate(batches):
            # The whole batch again if one of its clips is missing: it then is the batch of an uninterrupted run.
            if not all(run.has_clip(clip.clip_id) for clip in batch):
                _save(job, _make(job, first if number == 0 else job.control.bind(model, batch, job.frames)))
        _finish(run, clips)
        status = run.status["status"]
    finally:
        _mirror(job.logger.close, status)


def _make(job: Job, control: Control) -> MadeBatch:
    """Generate one batch, with as many rounds as its control wants, and text-only beside it."""
    start_peak(job.model.device)
    start = time.perf_counter()
    try:
        made = list(rounds(control, lambda bound, number: _generate(job, bound, number)))
    except (torch.OutOfMemoryError, MemoryError) as error:
        size = len(control.clips)
        raise UserError(
            f"out of memory with {size} clips at once on {job.model.device}: set batch_size below {size} "
            "(the clips made so far are kept) or memory=checkpoint"
        ) from error
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
        _mirror(job.logger.step, {"clips": list(ids), **row})

    progress, kept = job.options["progress"], _kept(job, ids, number)
    return job.method(Request(job.model, job.sampler, control, list(prompts), x_T, seeds, progress, observe, kept))


def _kept(job: Job, clip_ids: Sequence[str], number: int) -> StateFile | None:
    """Where the state of this batch waits if the run is interrupted; a batch of other clips has another file."""
    every_s = job.options["save_every_s"]
    name = run_id({"clips": clip_ids, "round": number})
    return None if every_s is None else StateFile(job.run.path / STATE / f"{name}.state", every_s)


def _noise(job: Job, seeds: list[int]) -> Tensor:
    channels, bins, _ = job.model.shape
    return noise(seeds, (channels, bins, job.frames), job.model.device, job.model.latent_dtype)


@torch.no_grad()
def _text_only(job: Job, clips: list[ClipRequest]) -> tuple[Tensor, Tensor]:
    """x_0 and wave of the same noise and prompts without control; kept across the runs that share them."""
    paths = [job.run.path.parent / ".text_only" / f"{_text_only_key(job, clip)}.safetensors" for clip in clips]
    missing = [i for i, path in enumerate(paths) if not path.exists()]
    if missing:
        seeds = [clips[i].seed for i in missing]
        condition = job.model.encode([clips[i].prompt for i in missing])
        fresh = job.sampler(job.model, _noise(job, seeds), condition, seeds=seeds)
        for i, x_0 in zip(missing, fresh, strict=True):
            write_bytes(paths[i], save({"x_0": x_0.cpu().contiguous()}))
    x_0 = torch.stack([load(path.read_bytes())["x_0"] for path in paths]).to(job.model.device)
    return x_0, job.model.wave(x_0)


def _text_only_key(job: Job, clip: ClipRequest) -> str:
    weights = [job.model.name, job.model.weights_hash, str(job.model.dtype), job.model.device.type]
    return run_id({"sampler": job.options["sampler"], "model": weights, "clip": [clip.prompt, clip.seed, job.frames]})


def _save(job: Job, batch: MadeBatch) -> None:
    for position, clip in enumerate(batch.control.clips):
        record = clip_record(batch, position)
        job.run.save_clip(clip.clip_id, clip_files(batch, position, job.options["pictures"]), record)
        _mirror(job.logger.clip, clip.clip_id, record)
    shutil.rmtree(job.run.path / STATE, ignore_errors=True)


def _mirror(tell: Callable[..., None], *arguments: Any) -> None:
    """Tell the logger; its troubles are a warning, not the run's failure."""
    try:
        tell(*arguments)
    except Exception as error:
        print(f"warning: the logger failed ({type(error).__name__}: {error}); the run goes on", file=sys.stderr)


def _finish(run: RunDirectory, clips: list[ClipRequest]) -> None:
    """Gather the clips' records and latents."""
    latents = [load((run.path / "clips" / f"{clip.clip_id}.safetensors").read_bytes()) for clip in clips]
    stacked = {name: torch.stack([one[name] for one in latents]) for name in latents[0]}
    metadata = {"clip_ids": json.dumps([clip.clip_id for clip in clips])}
    shutil.rmtree(run.path / STATE, ignore_errors=True)
    run.finish({"x_T.safetensors": save(stacked, metadata)}, {clip.clip_id: run.clip(clip.clip_id) for clip in clips})


def _check_space(job: Job, clips: int) -> None:
    """Refuse to start what cannot be stored: latents and sound per clip, twice while a run is being finished."""
    channels, bins, _ = job.model.shape
    needed = clips * (4 * 4 * channels * bins * job.frames + 6 * job.frames * job.model.clip.hop) + 2**20
    folder = job.run.path
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise NoSpace(
            f"no space for the run directory {folder}: it needs about {needed / 2**20:.0f} MiB, "
            f"{free / 2**20:.0f} MiB are free; free some or choose another place with runs_dir=DIR"
        )


def _chunks(clips: list[ClipRequest], size: int | None) -> list[list[ClipRequest]]:
    if size is not None and size < 1:
        raise UserError(f"batch_size={size}: give 1 or more, or null for all clips together")
    size = size or len(clips)
    return [clips[start : start + size] for start in range(0, len(clips), size)]


def _names(options: dict[str, Any]) -> str:
    return " ".join(f"{key}={options['names'][key]}" for key in ("model", "task", "method"))
