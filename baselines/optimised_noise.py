"""The x_T* that a finished run has left in its directory, for the clips of another run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ditto.method import Request
from ditto.run_directory import read_json
from ditto.types import UserError


def optimised_noise(path: Path, request: Request) -> Tensor:
    """x_T* [B, C, F, T] of the clips with these prompts and seeds; UserError where the run at `path` has others.

    The run must be finished, be made with the same weights and judged by the same metric, and have the same length.
    """
    control, pairs = request.control, list(zip(request.prompts, request.seeds, strict=True))
    status = read_json(path / "status.json") or {}
    if status.get("status") != "done":
        raise UserError(f"run={path} is not the directory of a finished run: give runs/<id> of a method=ditto run")
    weights = (read_json(path / "environment.json") or {}).get("weights")
    if weights != request.model.weights_hash:
        raise UserError(f"run={path} was made with other weights than this model's: reuse it with the same model")
    if status.get("metric") != control.metric:
        raise UserError(f"run={path} was optimised for {status.get('metric')}, not {control.metric}: take its own task")
    metrics = read_json(path / "metrics.json") or {}
    found = {(m.get("prompt"), m.get("seed")): place for place, m in enumerate(metrics.values()) if "failed" not in m}
    missing = [pair for pair in pairs if pair not in found]
    if missing:
        prompt, seed = missing[0]
        raise UserError(f"run={path} has no finished clip '{prompt}' with seed={seed}: ask for the run's own clips")
    x_T = _read(path / "x_T.safetensors")[[found[pair] for pair in pairs]]
    if x_T.shape[-1] != control.clip.latent_frames:
        frames = x_T.shape[-1] * control.clip.stride
        raise UserError(f"the clips of run={path} have {frames} frames: set frames={frames}")
    return x_T


def _read(path: Path) -> Tensor:
    try:
        latents: dict[str, Any] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read {path}: make that run again with overwrite=true") from error
    return torch.as_tensor(latents["x_T"])
