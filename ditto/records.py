"""What is kept of a finished clip: metrics and history as JSON, sound, latents and picture as files."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from ditto.audio.io import flac_bytes
from ditto.controls.base import Control
from ditto.plots import Column, clip_picture
from ditto.types import Generation


@dataclass
class Rendition:
    """One batch of sound: x_0 [B, C, F, T], wave [B, N], and the wave as it is heard once stitched [B, N']."""

    x_0: Tensor
    wave_BN: Tensor
    heard_BN: Tensor
    metrics: dict[str, Tensor]  # [B] each


@dataclass
class MadeBatch:
    """One batch as its method made it: one generation per round, with the control it was made for."""

    rounds: list[tuple[Control, Generation]]
    result: Rendition  # of the last round; its metrics are means over the rounds
    beside: Rendition | None  # text-only, of the first round
    seconds: float
    peak_memory_gib: float

    @property
    def control(self) -> Control:
        """The control that was bound first: its clips are the batch's."""
        return self.rounds[0][0]


@torch.no_grad()
def render(control: Control, x_0: Tensor, wave_BN: Tensor, stitch: bool = True) -> Rendition:
    """Measure a batch, and stitch it where the control edits a recording."""
    heard_BN = control.finish(x_0, wave_BN) if stitch else wave_BN
    metrics = {**control.metrics(x_0, wave_BN), "loss": control.loss(x_0)}
    return Rendition(x_0.detach(), wave_BN.detach(), heard_BN.detach(), metrics)


def clip_record(batch: MadeBatch, position: int) -> dict[str, Any]:
    """{"metrics": ..., "history": ...} of one clip; a clip without a usable result has "failed" and no metrics."""
    clip, size = batch.control.clips[position], len(batch.control.clips)
    histories = [_history(generation, position) for _, generation in batch.rounds]
    stopped = [history["stopped"] for history in histories if history["stopped"]]
    about: dict[str, Any] = {
        "prompt": clip.prompt,
        "seed": clip.seed,
        "seconds": batch.seconds / size,
        "batch_size": size,
        "steps": sum(len(history["loss"]) for history in histories),
        "stopped": stopped[-1] if stopped else None,
        "model_calls": sum(generation.history.model_calls for _, generation in batch.rounds),
        "peak_memory_gib": batch.peak_memory_gib,
    }
    values = {name: float(value[position]) for name, value in batch.result.metrics.items()}
    reason = _failure(batch, position, about["stopped"])
    if reason:
        return {"metrics": {"failed": reason, **about}, "history": _join(histories)}
    if batch.beside is not None:
        values |= {f"{name}_text_only": float(value[position]) for name, value in batch.beside.metrics.items()}
    return {"metrics": {**values, **about}, "history": _join(histories)}


def clip_files(batch: MadeBatch, position: int, picture: bool) -> dict[str, bytes]:
    """The clip's files by their name in the run directory."""
    clip_id, result = batch.control.clips[position].clip_id, batch.result
    rate = batch.control.clip.sample_rate
    latents: dict[str, Tensor] = {}
    for number, (_, generation) in enumerate(batch.rounds):
        suffix = f"_{number}" if number else ""
        latents |= {f"x_T{suffix}": generation.x_T[position], f"x_0{suffix}": generation.x_0[position]}
    files = {f"clips/{clip_id}.safetensors": save({k: v.detach().cpu().contiguous() for k, v in latents.items()})}
    if not result.heard_BN[position].isfinite().all():
        return files
    files[f"audio/{clip_id}.flac"] = flac_bytes(result.heard_BN[position], rate)
    if result.heard_BN is not result.wave_BN and not _same(result.heard_BN, result.wave_BN):
        files[f"audio/{clip_id}.raw.flac"] = flac_bytes(result.wave_BN[position].nan_to_num(), rate)
    if batch.beside is not None:
        files[f"audio/{clip_id}.text_only.flac"] = flac_bytes(batch.beside.wave_BN[position].nan_to_num(), rate)
    if picture:
        files[f"pictures/{clip_id}.png"] = _picture(batch, position)
    return files


def _picture(batch: MadeBatch, position: int) -> bytes:
    control = batch.rounds[-1][0]
    columns = [Column(_title("controlled", control, batch.result, position), control, batch.result)]
    if batch.beside is not None:
        columns.append(Column(_title("text only", control, batch.beside, position), batch.control, batch.beside))
    return clip_picture(columns, position)


def _title(name: str, control: Control, rendition: Rendition, position: int) -> str:
    return f"{name}: {control.metric} {float(rendition.metrics[control.metric][position]):.3g}"


def _history(generation: Generation, position: int) -> dict[str, Any]:
    """Per-step lists of one clip, cut where it stopped (`stopped` ends in "at step k")."""
    stopped = generation.history.stopped[position] if generation.history.stopped else None
    step = re.search(r"step (\d+)", stopped or "")
    rows = [row for row in generation.history.rows if step is None or row["step"] <= int(step[1])]
    per_clip = [key for key in (rows[0] if rows else ()) if isinstance(rows[0][key], list)]
    lists = {key: [row[key][position] for row in rows] for key in per_clip}
    return {"loss": [], **lists, "seconds": [row["seconds"] for row in rows], "stopped": stopped}


def _join(histories: list[dict[str, Any]]) -> dict[str, Any]:
    """One history for all rounds of a clip: lists one after the other."""
    joined = dict(histories[0])
    for history in histories[1:]:
        for key, value in history.items():
            joined[key] = joined[key] + value if isinstance(value, list) else value or joined[key]
    return joined


def _failure(batch: MadeBatch, position: int, stopped: str | None) -> str:
    if stopped and "non-finite" in stopped:
        return stopped
    if not batch.result.wave_BN[position].isfinite().all():
        return "the sound holds NaN or infinity"
    unclear = [name for name, value in batch.result.metrics.items() if math.isinf(float(value[position]))]
    return f"{unclear[0]} is infinite" if unclear else ""


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(torch.equal(a, b))
