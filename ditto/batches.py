"""Make the clips of a run, batch by batch: generate, measure, draw, save. `ditto.job` holds the run's lock."""

from __future__ import annotations

import json
import math
import shutil
import sys
from typing import Any

import torch
from omegaconf import OmegaConf
from safetensors.torch import load, save

from ditto import packing
from ditto.build import build
from ditto.controls.base import Control
from ditto.environment import environment
from ditto.making import STATE, Job, make_batch, mirror
from ditto.models.base import MusicModel
from ditto.need import Asked
from ditto.out_of_memory import is_out_of_memory, release
from ditto.packing import Packing
from ditto.records import MadeBatch, clip_files, clip_record
from ditto.run_directory import RunDirectory, write_json
from ditto.types import ClipRequest, NoSpace, UserError


def make_run(run: RunDirectory, options: dict[str, Any], clips: list[ClipRequest], model: MusicModel) -> None:
    """Make every clip that is missing, then finish the run. Mistakes are raised before anything is written."""
    parts = {part: build(options[part], part) for part in ("sampler", "method", "logger")}
    job = Job(run, options, model, control=build(options["task"]["control"], "task.control"), **parts)
    asked = Asked(model, job.sampler, job.method, job.control, job.frames)
    packed = packing.pack(asked, options, clips, run.path)
    first = job.control.bind(model, packed.batches[0], job.frames)
    _check_space(job, len(clips))
    run.begin(OmegaConf.to_yaml(options), options["names"], len(clips), first.metric)
    write_json(run.path / "environment.json", environment(model))
    packing.keep(packed.batches, options, run.path)
    about = f"{len(clips)} clips, {_names(options)} on {model.device}"
    print("\n".join(filter(None, [f"run {run.id}: {about} -> {run.path}", packed.words])), flush=True)
    status = "failed"
    try:
        mirror(job.logger.start, run.id, run.path, options)
        _make_all(job, packed, first)
        _finish(run, clips)
        status = run.status["status"]
    finally:
        mirror(job.logger.close, status)


def _make_all(job: Job, packed: Packing, first: Control) -> None:
    """Every batch that is not there; one that does not fit into memory is halved, and so are those after it."""
    done, waiting = 0, list(packed.batches)
    while done < len(waiting):
        batch = waiting[done]
        control = first if batch == first.clips else None
        if _is_made(job, batch) or _make(job, batch, control):
            done += 1
            continue
        release()
        size = packing.halve(packed.kind, len(batch))
        device = job.model.device
        print(f"warning: out of memory with {len(batch)} clips at once on {device}: on with {size}", file=sys.stderr)
        waiting[done:] = packing.smaller(waiting[done:], size)
        packing.keep(waiting, job.options, job.run.path)


def _is_made(job: Job, batch: list[ClipRequest]) -> bool:
    """The whole batch is made again if one of its clips is missing: it then is the batch of an uninterrupted run."""
    return all(job.run.has_clip(clip.clip_id) for clip in batch)


def _make(job: Job, batch: list[ClipRequest], control: Control | None) -> bool:
    """Make and save a batch, with its control if that is bound already; False where fewer clips may fit into memory."""
    try:
        made = make_batch(job, control or job.control.bind(job.model, batch, job.frames))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        if len(batch) > 1:
            return False
        raise UserError(
            f"out of memory with a single clip on {job.model.device}: choose memory=checkpoint or fewer frames "
            "(the clips made so far are kept)"
        ) from error
    _save(job, made)
    return True


def _save(job: Job, batch: MadeBatch) -> None:
    for position, clip in enumerate(batch.control.clips):
        record = clip_record(batch, position)
        job.run.save_clip(clip.clip_id, clip_files(batch, position, job.options["pictures"]), record)
        mirror(job.logger.clip, clip.clip_id, record)
    shutil.rmtree(job.run.path / STATE, ignore_errors=True)


def _finish(run: RunDirectory, clips: list[ClipRequest]) -> None:
    """Gather the clips' records and latents."""
    latents = [load((run.path / "clips" / f"{clip.clip_id}.safetensors").read_bytes()) for clip in clips]
    stacked = {name: torch.stack([one[name] for one in latents]) for name in latents[0]}
    metadata = {"clip_ids": json.dumps([clip.clip_id for clip in clips])}
    shutil.rmtree(run.path / STATE, ignore_errors=True)
    (run.path / packing.FILE).unlink(missing_ok=True)
    run.finish({"x_T.safetensors": save(stacked, metadata)}, {clip.clip_id: run.clip(clip.clip_id) for clip in clips})


def _check_space(job: Job, clips: int) -> None:
    """Refuse to start what cannot be stored: latents and sound per clip, twice while a run is being finished."""
    latent, samples = math.prod(job.model.shape_of(job.frames)), job.frames * job.model.clip.hop
    needed = clips * (4 * 4 * latent + 6 * samples) + 2**20
    folder = job.run.path
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise NoSpace(
            f"no space for the run directory {folder}: it needs about {needed / 2**20:.0f} MiB, "
            f"{free / 2**20:.0f} MiB are free; free some or choose another place with runs_dir=DIR"
        )


def _names(options: dict[str, Any]) -> str:
    return " ".join(f"{key}={options['names'][key]}" for key in ("model", "task", "method"))
